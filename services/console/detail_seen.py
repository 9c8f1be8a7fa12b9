"""A project as a page shows it: as it stands, or frozen as it was right after one of its events.

The present is read from the tables, every past moment through time travel; nothing is folded here. It reads
the log and the read models, and changes nothing.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from psycopg.sql import SQL

from domain.errors import UnknownSequence
from domain.messages import Recorded
from projections.dependencies import DEPENDENCIES
from projections.queue import QUEUE, TaskRow
from services.console.sight import Desk
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.log.history import History
from services.projector.tables import Connection
from services.reading.reads import Item, Reads
from services.reading.travel import Travel

_DEPENDENTS = """
SELECT task, depends_on FROM {source} AS edges WHERE project = %s AND depends_on = ANY(%s)
ORDER BY task LIMIT %s
"""


class Present(Travel):
    """Travel that lists the present as the tables have it, without folding what came after the last mark."""

    def __init__(self, log: EventLog, codec: Codec, connection: Connection, reads: Reads, now: int) -> None:
        super().__init__(log, codec, connection)
        self._reads = reads
        self._now = now

    def view(
        self, project: str, view: str, position: int, params: Mapping[str, Any] | None = None
    ) -> list[Item]:
        if position >= self._now:
            return self._reads.read(project, view, params)
        return super().view(project, view, position, params)


class Seen:
    """One project at one moment. `sequence` and `position` are of the last event that it includes.

    It holds while the connection is open that `seen` made.
    """

    def __init__(self, desk: Desk, connection: Connection, project: str, as_of: int | None) -> None:
        self._desk = desk
        self.log = log = desk.log
        self.codec = desk.codec
        self.connection = connection
        self.project = project
        self.frozen = as_of is not None
        self.head, self.position = log.project_head(project)
        self.sequence = self.head if as_of is None else as_of
        if not 0 <= self.sequence <= self.head:
            raise UnknownSequence(project=project, sequence=as_of, last=self.head)
        if as_of is None:
            self.travel: Travel = Present(log, self.codec, connection, desk.reads, self.position)
        else:
            self.position = log.at_sequence(project, as_of)
            self.travel = Travel(log, self.codec, connection)

    @property
    def at(self) -> datetime:
        """When it was so: now, or the time of the last event."""
        if not self.frozen:
            return datetime.now(UTC)
        found = self.events([self.sequence])
        return found[0].at if found else datetime.fromtimestamp(0, UTC)

    def view(self, view: str, **params: Any) -> list[Item]:
        """The rows of a view. Raises UnknownView or BadInput."""
        return self.travel.view(self.project, view, self.position, params)

    def events(self, sequences: Collection[int]) -> list[Recorded]:
        """The events of these sequences, in order; those that do not exist are left out."""
        return self._desk.events(self.project, sequences)

    def history(self) -> History:
        """What its events tell up to this moment."""
        return History(self.log, self.codec, self.travel, self.project, self.position)

    def tasks(self, names: Collection[str]) -> dict[str, TaskRow]:
        """Those of these tasks that there are."""
        keys = [(self.project, name) for name in names]
        found = self.travel.rows(QUEUE, self.project, self.position, keys) if keys else {}
        return {row.task: row for row in found.values()}

    def dependents(self, names: Collection[str], limit_rows: int) -> list[tuple[str, str]]:
        """Which tasks wait for these, as pairs (task, what it waits for), in order."""
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            point = self.travel.point(DEPENDENCIES, self.project, self.position)
            found: set[tuple[str, str]] = set()
            if point.source is not None:
                statement = SQL(_DEPENDENTS).format(source=point.source)
                found |= set(
                    self.connection.execute(statement, (self.project, [*names], limit_rows)).fetchall()
                )
        wanted = {*names}
        for _, (_, task, awaited), _ in DEPENDENCIES.touches(point.tail):
            if awaited in wanted:
                found.add((str(task), str(awaited)))
        return sorted(found)[:limit_rows]


@contextmanager
def seen(desk: Desk, project: str, as_of: int | None) -> Iterator[Seen]:
    """A project as it stands, or right after the event of a sequence. Raises UnknownSequence."""
    with desk.connected(as_of) as connection:
        yield Seen(desk, connection, project, as_of)
