"""A project at one moment: as it is now, or as it was right after one of its events.

Every view of the console takes its rows from here, so that all of them can be moved through time. Now is read
from the live tables, the past through `Travel`. Changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Any

from msgspec import Struct
from psycopg.sql import Composable

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
from services.reading.past import Measured
from services.reading.reads import Item, NotYetVisible, Reads
from services.reading.still import Still

Counts = Mapping[str, Mapping[str, int]]
"""Of `agents`, `tasks` and `handoffs`: how many have a status."""

MAX_COUNTED = 200
"""Of how many marks the counts are kept."""

VISIBLE_WAIT_S = 0.5
"""How long now may wait for the event that the page was told of."""

_COUNTED: Mapping[str, Projection[Any]] = {"agents": AGENTS, "tasks": QUEUE, "handoffs": HANDOFFS}


class Moment(Struct, frozen=True, kw_only=True):
    """Right after the event `sequence` of the project, which has `head` events in all.

    `position` is that of the event in the log, `words` what happened in it. `live` if it is now, and goes on;
    `behind` if the read models do not include that event yet, so that one should look again.
    """

    sequence: int
    head: int
    position: int
    live: bool
    behind: bool = False
    at: datetime | None = None
    words: str = ""


class Desk:
    """Looks at projects; safe to use from several threads."""

    def __init__(
        self, database_url: str, log: EventLog, reads: Reads, measured: Measured = nullcontext
    ) -> None:
        """`measured` goes around each look at the past."""
        self.log = log
        self.reads = reads
        self._url = database_url
        self._measured = measured
        self._counted: dict[tuple[str, str], Mapping[str, int]] = {}
        self._counting = Lock()
        self.codec = Codec(EVENTS, upcast)

    @contextmanager
    def connected(self, as_of: int | None) -> Iterator[Connection]:
        """For what is read of now or of a past moment."""
        with nullcontext() if as_of is None else self._measured(), connected(self._url) as connection:
            yield connection

    def wait_for(self, position: int) -> None:
        """Return when now includes what a page knows of, or when that takes too long."""
        with suppress(NotYetVisible):
            self.reads.wait_for(position, VISIBLE_WAIT_S)

    @contextmanager
    def sight(self, project: str, as_of: int | None, seen: int = 0) -> Iterator["Sight"]:
        """The project right after its event of this sequence, or now; now includes what was `seen`.

        `seen` is a position. Raises UnknownSequence or LogUnavailable.
        """
        if as_of is None and seen:
            self.wait_for(seen)
        moment = self.moment(project, as_of)
        with ExitStack() as stack:
            yield Sight(self, project, moment, lambda: stack.enter_context(self._still()))

    def moment(self, project: str, as_of: int | None) -> Moment:
        """Raises UnknownSequence."""
        head, position = self.log.project_head(project)
        if as_of is not None:
            position = self.log.at_sequence(project, as_of)
        sequence = head if as_of is None else as_of
        found = self.events(project, [sequence])
        behind = as_of is None and self.reads.visible() < position
        return Moment(
            sequence=sequence, head=head, position=position, live=as_of is None, behind=behind,
            at=found[0].at if found else None, words=words(found[0]) if found else "",
        )  # fmt: skip

    def events(self, project: str, sequences: Collection[int]) -> list[Recorded]:
        """The events of these sequences, in order; those that do not exist are left out."""
        return [self.codec.decode(row) for row in self.log.read_at(project, [*sequences])]

    def counted(
        self, connection: Connection, projection: Projection[Any], project: str, source: Composable
    ) -> Mapping[str, int]:
        """How many rows at a mark have a status: as that never changes, it is counted once."""
        key = (project, source.as_string(connection))
        known = self._counted.get(key)
        if known is None:
            found = query(connection, projection, "counts", {"project": project}, source)
            known = {row["status"]: row["count"] for row in found}
            with self._counting:
                self._counted[key] = known
                if len(self._counted) > MAX_COUNTED:
                    del self._counted[next(iter(self._counted))]
        return known

    @contextmanager
    def _still(self) -> Iterator["Still"]:
        with self._measured(), connected(self._url) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield Still(self.log, self.codec, connection)


class Sight:
    """What there is to see of a project at a moment."""

    def __init__(self, desk: Desk, project: str, moment: Moment, travel: Callable[[], Still]) -> None:
        self.project = project
        self.moment = moment
        self._desk = desk
        self._begin = travel

    def now(self, view: str, **params: Any) -> list[Item]:
        """The rows of a view as they are now, whatever the moment."""
        return self._desk.reads.read(self.project, view, params)

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

    def titles(self, tasks: Collection[str]) -> dict[str, str]:
        """What these tasks are called, by their ids."""
        if self.moment.live:
            found = (self._desk.reads.read(self.project, "queue", {"entity": each}) for each in tasks)
            return {row["task"]: row["title"] for rows in found for row in rows}
        keys = [(self.project, each) for each in tasks]
        rows = self._travel.rows(QUEUE, self.project, self.moment.position, keys)
        return {row.task: row.title for row in rows.values()}

    def counts(self) -> Counts:
        """By kind and status; what does not occur is left out."""
        if self.moment.live:
            (found,) = self._desk.reads.read(self.project, "counts")
            return {kind: found[kind] for kind in _COUNTED}
        return {kind: self._counted(projection) for kind, projection in _COUNTED.items()}

    @cached_property
    def _travel(self) -> Still:
        return self._begin()

    def _counted(self, projection: Projection[Any]) -> dict[str, int]:
        """The counts at the last mark, less the rows that changed since, more what those became."""
        travel, counts = self._travel, Counter[str]()
        point = travel.point(projection, self.project, self.moment.position)
        if point.source is not None:
            counts.update(self._desk.counted(travel.connection, projection, self.project, point.source))
        before, after = travel.changes(point)
        counts.subtract(row.status for row in before.values())
        counts.update(row.status for row in after.values())
        return {status: count for status, count in counts.items() if count}
