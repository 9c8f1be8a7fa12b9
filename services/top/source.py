"""Where `coordctl top` reads: how far a project has come, and what is shown of it at a moment.

It reads the log and the read models, and changes nothing. One thread may wait for events while another reads.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
from msgspec import Struct

from domain.catalog import EVENTS, upcast
from domain.errors import NotFound
from projections.views import MAX_OFFSET_ROWS
from services.log.codec import Codec
from services.log.database import LogMissing, connect, in_a_line, unavailable
from services.log.event_log import EventLog
from services.log.tail import HEAD
from services.projector.tables import connected
from services.reading.points import parse_point, resolve
from services.reading.reads import Item, NotYetVisible, Reads
from services.reading.travel import Travel
from services.top.looks import Counts, Look, Moment, Now, history, moment_of, past
from services.top.stories import Story, Subject, tell
from services.top.tabs import Choice

CATCH_UP_S = 0.5
"""How long new events are waited for in the read models, before they are said to be behind."""

MAX_HELD_TASKS = 1_000
"""Of how many tasks in work the fleet's leases and progress are known."""

_POOL_CONNECTIONS = 2


class Standing(Struct, frozen=True, kw_only=True):
    """How far the log and a project have come, and by how many positions the read models are behind."""

    head: int
    last: Moment
    behind: int = 0


class Question(Struct, frozen=True, kw_only=True):
    """What is to be shown: so many rows of a choice from the `first` on, of those that contain the text.

    A `sequence` of None asks for now. `counted_from` says how many events there were when `first` was right,
    for a list that grows at its beginning.
    """

    choice: Choice
    sequence: int | None = None
    text: str = ""
    first: int = 0
    limit: int = 100
    counted_from: int | None = None


class Frame(Struct, frozen=True, kw_only=True):
    """The answer. `total` is how many rows there are, or so far as is known if that is not `exact`.

    `tasks` are those that are worked on, by id.
    """

    question: Question
    moment: Moment
    counts: Counts
    rows: Sequence[Item]
    first: int
    total: int
    exact: bool
    tasks: Mapping[str, Item] = {}
    factor: Item | None = None


class Chapter(Struct, frozen=True, kw_only=True):
    """The story of one thing at a moment; none if it was not there."""

    moment: Moment
    counts: Counts
    story: Story | None = None


class Source:
    """Reads one project. Close it in the end."""

    def __init__(self, url: str, project: str) -> None:
        """Raises LogUnavailable or LogMissing if there is nothing to read."""
        self.url = url
        self.project = project
        self._codec = Codec(EVENTS, upcast)
        with _told():
            self._connection = connect(url, impatient=True)
        self._log = EventLog(url)
        self._reads = Reads(url, pool_connections=_POOL_CONNECTIONS)

    def close(self) -> None:
        self._connection.close()
        self._log.close()
        self._reads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def standing(self, known: Standing | None = None, timeout_s: float = 0.0) -> Standing:
        """How far all has come; with what is known, only when there is more than that, or after the timeout.

        Raises what stands in the way of reading.
        """
        if known is not None and not known.behind:
            self._log.wait_past(known.head, timeout_s)
        head = self._head()
        sequence, _ = self._log.project_head(self.project)
        behind = max(head - self._visible(head), 0)
        return Standing(head=head, last=self.moment(sequence), behind=behind)

    def moment(self, sequence: int) -> Moment:
        """The moment right after an event."""
        return moment_of(self._log, self._codec, self.project, sequence)

    def find(self, point: str) -> int:
        """The sequence of the last event that a POINT includes, as `replay --until` takes it.

        Raises BadPoint, PointNotReached or UnknownBookmark.
        """
        with connected(self.url) as connection:
            travel = Travel(self._log, self._codec, connection)
            position = resolve(parse_point(point), self._log, travel, self.project, datetime.now(UTC))
        return self._log.sequence_at(self.project, position)

    def frame(self, question: Question) -> Frame:
        """What is to be shown. Raises BadInput, or what stands in the way of reading."""
        choice = question.choice
        with self._look(question.sequence) as look:
            counts = look.counts()
            first, rows, total, exact = _listed(look, question, counts)
            held: list[Item] = []
            if choice.view == "agents":
                held = look.read("queue", status="in_progress,claimed", limit=MAX_HELD_TASKS)
            return Frame(
                question=question,
                moment=look.moment,
                counts=counts,
                rows=rows,
                first=first,
                total=total,
                exact=exact,
                tasks={task["task"]: task for task in held},
                factor=look.factor() if choice.view == "estimates" else None,
            )

    def chapter(self, subject: Subject, sequence: int | None = None) -> Chapter:
        """All that is known of one thing, now or right after an event."""
        with self._look(sequence) as look:
            moment, counts = look.moment, look.counts()
            with history(self._log, self._codec, self.project, moment.position) as told:
                try:
                    return Chapter(moment=moment, counts=counts, story=tell(subject, look, told))
                except NotFound:
                    return Chapter(moment=moment, counts=counts)

    @contextmanager
    def _look(self, sequence: int | None) -> Iterator[Look]:
        if sequence is None:
            last, _ = self._log.project_head(self.project)
            yield Now(self._reads, self.project, self.moment(last))
        else:
            with past(self._log, self._codec, self.project, self.moment(sequence)) as look:
                yield look

    def _head(self) -> int:
        """The position of the log's last event; read on a connection whose loss is noticed at once."""
        with _told():
            row = self._connection.execute(HEAD).fetchone()
        return row[0] if row else 0

    def _visible(self, head: int) -> int:
        """The position that the read models have reached, given some time to reach the head."""
        try:
            self._reads.wait_for(head, CATCH_UP_S)
        except NotYetVisible as error:
            return int(error.facts["position"])
        return head


@contextmanager
def _told() -> Iterator[None]:
    """What can befall a connection, raised as LogUnavailable or LogMissing."""
    try:
        yield
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable) as error:
        raise LogMissing(why=in_a_line(error)) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise unavailable(error) from error


_Listed = tuple[int, list[Item], int, bool]
"""The first row's place, the rows, how many there are, and whether that is exact."""


def _listed(look: Look, question: Question, counts: Counts) -> _Listed:
    choice = question.choice
    if choice.counted and not question.text:
        return _by_status(look, question, counts[choice.counted])
    everything = choice.view == "activity" and not question.text and not choice.events
    first = question.first
    if everything and question.counted_from is not None:
        first += max(look.moment.sequence - question.counted_from, 0)
    first = min(first, MAX_OFFSET_ROWS)
    rows = look.read(choice.view, **_params(question), offset=first, limit=question.limit + 1)
    if everything:
        return first, rows[: question.limit], look.moment.sequence, True
    return first, rows[: question.limit], first + len(rows), len(rows) <= question.limit


def _by_status(look: Look, question: Question, held: Mapping[str, int]) -> _Listed:
    """One status after the other; what of them comes before the first row is skipped by its count."""
    rows: list[Item] = []
    skip = min(question.first, MAX_OFFSET_ROWS)
    for status in question.choice.statuses:
        there = held.get(status, 0)
        left = question.limit - len(rows)
        if skip < there and left > 0:
            rows += look.read(question.choice.view, status=status, offset=skip, limit=left)
        skip = max(skip - there, 0)
    total = sum(held.get(status, 0) for status in question.choice.statuses)
    return question.first, rows, total, True


def _params(question: Question) -> dict[str, Any]:
    choice = question.choice
    text = question.text if choice.searched else ""
    chosen = {"status": choice.statuses, "event": choice.events, "text": text, **dict(choice.params)}
    return {name: value for name, value in chosen.items() if value}
