"""A look at one project: now, from the read models, or right after an event of the past, by time travel.

Both are asked in the same way and answer alike. They read, and change nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec import Struct

from projections.agents import AGENTS
from projections.framework import Projection
from projections.handoffs import HANDOFFS
from projections.queue import QUEUE
from projections.views import MAX_ROWS
from projections.words import words
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.log.history import History
from services.projector.tables import connected
from services.reading.listing import query
from services.reading.reads import Item, Reads
from services.reading.still import Still
from services.reading.travel import Travel

FACTOR_DAYS = 90
"""How far back closed estimates count towards the factor."""

_COUNTED: Mapping[str, Projection[Any]] = {"agents": AGENTS, "tasks": QUEUE, "handoffs": HANDOFFS}

Counts = Mapping[str, Mapping[str, int]]
"""By kind and status."""


class Moment(Struct, frozen=True, kw_only=True):
    """A project right after one of its events; sequence 0 is before the first."""

    sequence: int = 0
    position: int = 0
    at: datetime | None = None
    words: str = ""


class Look(Protocol):
    """What may be asked about a project at a moment."""

    @property
    def moment(self) -> Moment:
        """The moment it is a look at."""

    def read(self, view: str, **params: Any) -> list[Item]:
        """The rows of a view."""

    def counts(self) -> Counts:
        """How many agents, tasks and handoffs there are of each status."""

    def factor(self) -> Item:
        """The correction `factor`, None if there is none, and from how many `estimates` it comes."""


class Now:
    """A project as the read models have it; they may be a little behind the log."""

    def __init__(self, reads: Reads, project: str, moment: Moment) -> None:
        self.moment = moment
        self._reads = reads
        self._project = project

    def read(self, view: str, **params: Any) -> list[Item]:
        return self._reads.read(self._project, view, params)

    def counts(self) -> Counts:
        (counts,) = self.read("counts")
        return {kind: counts[kind] for kind in _COUNTED}

    def factor(self) -> Item:
        (factor,) = self.read("factor")
        return factor


class Then:
    """A project right after an event of its past."""

    def __init__(self, travel: Still, project: str, moment: Moment) -> None:
        self.moment = moment
        self._travel = travel
        self._project = project

    def read(self, view: str, **params: Any) -> list[Item]:
        return self._travel.view(self._project, view, self.moment.position, params)

    def counts(self) -> Counts:
        return {kind: self._count(projection) for kind, projection in _COUNTED.items()}

    def factor(self) -> Item:
        until = self.moment.at
        if until is None:
            return {"factor": None, "estimates": 0}
        since = until - timedelta(days=FACTOR_DAYS)
        closed = [row for row in self.read("estimates", limit=MAX_ROWS) if row["ratio"] is not None]
        ratios = [row["ratio"] for row in closed if since < row["closed_at"] <= until]
        return {"factor": sum(ratios) / len(ratios) if ratios else None, "estimates": len(ratios)}

    def _count(self, projection: Projection[Any]) -> dict[str, int]:
        """Counted where the rows are kept, but for those that changed since: they are counted one by one."""
        travel = self._travel
        point = travel.point(projection, self._project, self.moment.position)
        before, after = travel.changes(point)
        counts = Counter(row.status for row in after.values())
        if point.source is not None:
            kept = query(travel.connection, projection, "counts", {"project": self._project}, point.source)
            counts.update({row["status"]: row["count"] for row in kept})
        counts.subtract(row.status for row in before.values())
        return {status: count for status, count in counts.items() if count}


@contextmanager
def past(log: EventLog, codec: Codec, project: str, moment: Moment) -> Iterator[Then]:
    """A look at a moment of the past, as long as it is needed."""
    with connected(log.url) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield Then(Still(log, codec, connection), project, moment)


@contextmanager
def history(log: EventLog, codec: Codec, project: str, position: int) -> Iterator[History]:
    """What a project's events tell up to a position."""
    with connected(log.url) as connection:
        yield History(log, codec, Travel(log, codec, connection), project, position)


def moment_of(log: EventLog, codec: Codec, project: str, sequence: int) -> Moment:
    """The moment right after a project's event of this sequence."""
    rows = log.read_at(project, [sequence])
    if not rows:
        return Moment()
    recorded = codec.decode(rows[0])
    return Moment(sequence=sequence, position=recorded.position, at=recorded.at, words=words(recorded))
