"""A project at one moment: as it is now, or as it was right after one of its events.

Every view of the console takes its rows from here, so that all of them can be moved through time. Now is read
from the live tables, the past through `Travel`. Changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import cached_property
from typing import Any

from msgspec import Struct

from domain.catalog import EVENTS, upcast
from domain.messages import Recorded
from projections.agents import AGENTS
from projections.framework import Projection
from projections.handoffs import HANDOFFS
from projections.queue import QUEUE
from projections.words import words
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import Connection, connected
from services.reading.listing import query
from services.reading.reads import Item, NotYetVisible, Reads, data_of
from services.reading.travel import Travel

Counts = Mapping[str, Mapping[str, int]]
"""Of `agents`, `tasks` and `handoffs`: how many have a status."""

VISIBLE_WAIT_S = 0.5
"""How long now may wait for the event that the page was told of."""

_COUNTED: Mapping[str, Projection[Any]] = {"agents": AGENTS, "tasks": QUEUE, "handoffs": HANDOFFS}


class Moment(Struct, frozen=True, kw_only=True):
    """Right after the event `sequence` of the project, which has `head` events in all.

    `position` is that of the event in the log, `words` what happened in it. `live` if it is now, and goes on.
    """

    sequence: int
    head: int
    position: int
    live: bool
    at: datetime | None = None
    words: str = ""


class Desk:
    """Looks at projects; safe to use from several threads."""

    def __init__(self, database_url: str, log: EventLog, reads: Reads) -> None:
        self.log = log
        self.reads = reads
        self._url = database_url
        self._codec = Codec(EVENTS, upcast)

    @contextmanager
    def sight(self, project: str, as_of: int | None, seen: int = 0) -> Iterator["Sight"]:
        """The project right after its event of this sequence, or now; now includes what was `seen`.

        `seen` is a position. Raises UnknownSequence or LogUnavailable.
        """
        if as_of is None and seen:
            with suppress(NotYetVisible):
                self.reads.wait_for(seen, VISIBLE_WAIT_S)
        moment = self.moment(project, as_of)
        with ExitStack() as stack:
            yield Sight(self, project, moment, lambda: stack.enter_context(connected(self._url)))

    def moment(self, project: str, as_of: int | None) -> Moment:
        """Raises UnknownSequence."""
        head, position = self.log.project_head(project)
        if as_of is not None:
            position = self.log.at_sequence(project, as_of)
        sequence = head if as_of is None else as_of
        found = self.events(project, [sequence])
        return Moment(
            sequence=sequence, head=head, position=position, live=as_of is None,
            at=found[0].at if found else None, words=words(found[0]) if found else "",
        )  # fmt: skip

    def events(self, project: str, sequences: Collection[int]) -> list[Recorded]:
        """The events of these sequences, in order; those that do not exist are left out."""
        return [self._codec.decode(row) for row in self.log.read_at(project, [*sequences])]

    def travel(self, connection: Connection) -> Travel:
        return Travel(self.log, self._codec, connection)


class Sight:
    """What there is to see of a project at a moment."""

    def __init__(self, desk: Desk, project: str, moment: Moment, connect: Any) -> None:
        self.project = project
        self.moment = moment
        self._desk = desk
        self._connect = connect

    def view(self, view: str, **params: Any) -> list[Item]:
        """The rows of a view. Raises what Reads.read does."""
        given = {name: value for name, value in params.items() if value not in (None, "", ())}
        if self.moment.live:
            return self._desk.reads.read(self.project, view, given)
        return self._travel.view(self.project, view, self.moment.position, given)

    def before(self, sequence: int, view: str, **params: Any) -> list[Item]:
        """The rows of a view as they were right after an earlier event."""
        position = self._desk.log.at_sequence(self.project, sequence)
        given = {name: value for name, value in params.items() if value not in (None, "", ())}
        return self._travel.view(self.project, view, position, given)

    def tasks(self, names: Collection[str]) -> dict[str, Item]:
        """These tasks, by name."""
        if self.moment.live:
            found = (self._desk.reads.read(self.project, "queue", {"entity": name}) for name in names)
            return {row["task"]: row for rows in found for row in rows}
        keys = [(self.project, name) for name in names]
        rows = self._travel.rows(QUEUE, self.project, self.moment.position, keys)
        return {row.task: data_of(row) for row in rows.values()}

    def counts(self) -> Counts:
        """By kind and status; what does not occur is left out."""
        if self.moment.live:
            (found,) = self._desk.reads.read(self.project, "counts")
            return {kind: found[kind] for kind in _COUNTED}
        return {kind: self._counted(projection) for kind, projection in _COUNTED.items()}

    @cached_property
    def _connection(self) -> Connection:
        connection: Connection = self._connect()
        return connection

    @cached_property
    def _travel(self) -> Travel:
        return self._desk.travel(self._connection)

    def _counted(self, projection: Projection[Any]) -> dict[str, int]:
        """The counts at the last mark, less the rows that changed since, more what those became."""
        connection, counts = self._connection, Counter[str]()
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            point = self._travel.point(projection, self.project, self.moment.position)
            changed = self._travel.changed(point)
            if point.source is not None and point.by_key is not None:
                found = query(connection, projection, "counts", {"project": self.project}, point.source)
                counts.update({row["status"]: row["count"] for row in found})
                before = point.table.load(connection, [*changed], point.by_key)
                counts.subtract(row.status for row in before.values())
        counts.update(row.status for row in changed.values())
        return {status: count for status, count in counts.items() if count}
