"""The writer's books: every project's ledger in memory, folded from the log, with the answers it remembers.

Reads the log, and asks whoever knows a shortcut where to begin; writes nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from eventsourcing.persistence import StoredEvent
from msgspec import Struct
from msgspec.structs import replace

from domain.decider import check_turn, evolve, turn
from domain.ledger import Ledger
from domain.lineage import Segments
from domain.messages import SYSTEM_PROJECT, TICKER, Context, Data, Event, Recorded
from domain.project import Bounds, ForkProject, ProjectCommand
from domain.settings import SettingId
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.writer.answers import MAX_ANSWERS_PER_PROJECT, Answers
from services.writer.defaults import Defaults
from services.writer.requests import Request

FOLD_CHUNK_EVENTS = 10_000
ANSWERED_EVENTS = MAX_ANSWERS_PER_PROJECT  # how far back commands are remembered after a restart
COMMAND_CHUNK_EVENTS = 1_000
MAX_BRIEFS = 32_768
MAX_BRIEF_BYTES = 8_192  # larger ones are read from the log again when they are needed


class Shortcut(Protocol):
    """Whoever knows ledgers of the past."""

    def begin(
        self, project: str, segments: Segments, position: int, defaults: Mapping[SettingId, Data]
    ) -> Ledger:
        """A ledger from which the rest of the segments' events lead to the position; maybe an empty one."""
        ...


def _everything(_: str) -> bool:
    return True


Asked = tuple[str, str]
"""The actor and the command id of a request."""


class Parked(Struct, frozen=True):
    """A claim that waits for work, until a moment."""

    request: Request
    until: datetime


class Book:
    """One project: its ledger, its remembered answers and the claims that wait for work."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.answers = Answers()
        self.parked: OrderedDict[Asked, Parked] = OrderedDict()
        self.last_at: datetime | None = None

    def now(self, clock: datetime) -> datetime:
        """The project's time: the clock's, but never before its last event."""
        return clock if self.last_at is None or clock > self.last_at else self.last_at


class Briefs:
    """What tasks and handoffs are about, by project and sequence: a bounded cache over the log."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._events: OrderedDict[tuple[str, int], Event] = OrderedDict()

    def keep(self, project: str, stored: StoredEvent, event: Event) -> None:
        if len(stored.state) > MAX_BRIEF_BYTES:
            return
        self._events[project, stored.originator_version] = event
        if len(self._events) > MAX_BRIEFS:
            self._events.popitem(last=False)

    def fetch(self, project: str, sequences: Iterable[int]) -> dict[int, Event]:
        """The events at these sequences, from the cache or the log."""
        found: dict[int, Event] = {}
        missing = []
        for sequence in sequences:
            event = self._events.get((project, sequence))
            if event is None:
                missing.append(sequence)
            else:
                found[sequence] = event
        if missing:
            for row in self._log.read_at(project, missing):
                recorded = self._codec.decode(row)
                found[recorded.sequence] = recorded.event
        return found


class Library:
    """All books. A book is folded when it is first opened, from where the shortcut leads if there is one."""

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        shortcut: Shortcut | None = None,
        defaults: Defaults | None = None,
    ) -> None:
        self._log = log
        self._codec = codec
        self._shortcut = shortcut
        self._books: dict[str, Book] = {}
        self._defaults = defaults or Defaults()

    def books(self) -> list[Book]:
        return list(self._books.values())

    def opened(self, project: str) -> Book | None:
        return self._books.get(project)

    def open_all(self, now: datetime, owns: Callable[[str], bool] = _everything) -> None:
        """Fold every project of ours that has events, the system's first: its settings are all's defaults."""
        self._books.clear()
        if owns(SYSTEM_PROJECT):
            self.open(SYSTEM_PROJECT, now)
        for project in filter(owns, self._log.projects()):
            if project != SYSTEM_PROJECT:
                self.open(project, now)

    def open(self, project: str, now: datetime) -> Book:
        """Fold a project, and give everyone in it a fresh term from `now`.

        What was taken back is not folded, but commands of that time keep their answers too.
        """
        last, _ = self._log.project_head(project)
        book = Book(self.ledger_at(project, last))
        if project == SYSTEM_PROJECT:
            self._defaults.keep(book.ledger)
        own = self._log.lineage(project).own
        for recorded in self._events(project, (own,), max(own.first - 1, last - ANSWERED_EVENTS)):
            if recorded.actor != TICKER:
                book.answers.carried_out(recorded.actor, recorded.command_id, recorded.sequence)
            book.last_at = recorded.at
        book.ledger.renew_all(book.now(now))
        self._books[project] = book
        return book

    def ledger_at(self, project: str, sequence: int) -> Ledger:
        """What a project's ledger was right after this event."""
        segments = self._log.lineage(project).effective(sequence)
        ledger = Ledger(project, self._defaults.values)
        if self._shortcut is not None and sequence:
            position = self._log.at_sequence(project, sequence)
            ledger = self._shortcut.begin(project, segments, position, self._defaults.values)
        for recorded in self._events(project, segments, ledger.sequence):
            evolve(ledger, recorded.event, recorded.sequence, recorded.at)
        return ledger

    def turn(
        self, ledger: Ledger, command: ProjectCommand, context: Context
    ) -> tuple[Ledger, tuple[Event, ...], Context]:
        """Decide a fork or a restore of a project whose ledger is all in the log.

        Its time is never before the last event of a fork's origin, which another writer may decide. Returns
        the ledger that takes its place, and the events, which that has applied, with their context. Raises a
        Rejection, or another CoordError if the log cannot be read.
        """
        source = command.origin if isinstance(command, ForkProject) else ledger.project
        context = replace(context, at=max(context.at, self._last_at(source) or context.at))
        check_turn(ledger, command, context, self._bounds(source, command.sequence))
        then = self.ledger_at(source, command.sequence)
        return then, turn(ledger, command, context, then), context

    def close_if_empty(self, book: Book) -> None:
        """Forget a project that nothing ever happened in, so that wild names fill no memory."""
        if book.ledger.sequence == 0 and not book.parked and book.ledger.project != SYSTEM_PROJECT:
            self._books.pop(book.ledger.project, None)

    def _last_at(self, project: str) -> datetime | None:
        last, _ = self._log.project_head(project)
        return next((self._codec.decode(row).at for row in self._log.read_at(project, [last])), None)

    def _bounds(self, project: str, sequence: int) -> Bounds:
        last, _ = self._log.project_head(project)
        ends = [each.sequence for each in command_events(self._log, self._codec, project, sequence)]
        return Bounds(last=last, command_ends=ends[-1] if ends else sequence)

    def _events(self, project: str, segments: Segments, after: int) -> Iterator[Recorded]:
        while rows := self._log.read_segments(project, segments, after, FOLD_CHUNK_EVENTS):
            yield from map(self._codec.decode, rows)
            after = rows[-1][2]


def command_events(log: EventLog, codec: Codec, project: str, sequence: int) -> Iterator[Recorded]:
    """What a command brought about, from this event of it on."""
    asked: tuple[str, str] | None = None
    after = sequence - 1
    while rows := log.read_project(project, after, limit_events=COMMAND_CHUNK_EVENTS):
        for recorded in map(codec.decode, rows):
            if asked not in (None, (recorded.actor, recorded.command_id)):
                return
            asked = (recorded.actor, recorded.command_id)
            yield recorded
        after = rows[-1][2]
