"""The writer's books: every project's ledger in memory, folded from the log, with the answers it remembers.

Reads the log; writes nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from datetime import datetime

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from domain.decider import evolve
from domain.ledger import Ledger
from domain.messages import SYSTEM_PROJECT, TICKER, Data, Event
from domain.settings import SettingId
from services.answers import Answers
from services.codec import Codec
from services.log import EventLog
from services.requests import Request

FOLD_CHUNK_EVENTS = 10_000
MAX_BRIEFS = 32_768
MAX_BRIEF_BYTES = 8_192  # larger ones are read from the log again when they are needed


class Parked(Struct, frozen=True):
    """A claim that waits for work, until a moment."""

    request: Request
    until: datetime


class Book:
    """One project: its ledger, its remembered answers and the claims that wait for work."""

    def __init__(self, project: str, defaults: Mapping[SettingId, Data]) -> None:
        self.ledger = Ledger(project, defaults)
        self.answers = Answers()
        self.parked: deque[Parked] = deque()
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
    """All books. A book is folded from the log when it is first opened."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._books: dict[str, Book] = {}
        self._system_settings: dict[SettingId, Data] = {}

    def books(self) -> list[Book]:
        return list(self._books.values())

    def opened(self, project: str) -> Book | None:
        return self._books.get(project)

    def open_all(self, now: datetime) -> None:
        """Fold every project that has events, the system's first: its settings are the others' defaults."""
        self._books.clear()
        self.open(SYSTEM_PROJECT, now)
        for project in self._log.projects():
            if project != SYSTEM_PROJECT:
                self.open(project, now)

    def open(self, project: str, now: datetime) -> Book:
        """Fold a project from its first event, and give everyone in it a fresh term from `now`."""
        book = Book(project, self._system_settings)
        if project == SYSTEM_PROJECT:
            self._system_settings.clear()
            book.ledger.settings = self._system_settings
        after = 0
        while rows := self._log.read_project(project, after, limit_events=FOLD_CHUNK_EVENTS):
            for row in rows:
                recorded = self._codec.decode(row)
                evolve(book.ledger, recorded.event, recorded.sequence, recorded.at)
                if recorded.actor != TICKER:
                    book.answers.carried_out(recorded.actor, recorded.command_id, recorded.sequence)
                book.last_at = recorded.at
            after = recorded.sequence
        book.ledger.renew_all(book.now(now))
        self._books[project] = book
        return book

    def close_if_empty(self, book: Book) -> None:
        """Forget a project that nothing ever happened in, so that wild names fill no memory."""
        if book.ledger.sequence == 0 and not book.parked and book.ledger.project != SYSTEM_PROJECT:
            self._books.pop(book.ledger.project, None)
