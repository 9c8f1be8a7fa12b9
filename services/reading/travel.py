"""Time travel: the read models as they were at any position, at a cost that follows the answer's size.

Rows are read as they were at the last mark before the point, from the tables in which they are kept, and only
the events since then are folded, in memory. Without marks, or where a table was built by other code, the
whole history is. It reads the log and the read models, changes nothing, and publishes nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from psycopg.sql import Composable

from domain.lineage import Segments
from domain.messages import SYSTEM_PROJECT, Recorded
from projections.catalog import VIEWS
from projections.framework import Key, Projection
from projections.queue import QUEUE
from projections.views import Page, View
from services.errors import Unavailable, UnknownView
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.bases import NOTHING, events_after, nearest_base
from services.projector.layers import parts_of, read_layers, rows_of, union
from services.projector.tables import Connection, Table
from services.projector.tracking import reached
from services.reading.composed import COMPOSED
from services.reading.learned import FactorParams
from services.reading.listing import chosen, query, served
from services.reading.overlay import overlaid
from services.reading.reads import Item, data_of, parse, with_blockers
from services.reading.replay import Rows

DATED = frozenset({*VIEWS, *COMPOSED})
"""The views that have a past."""


class Point(Struct, frozen=True, kw_only=True):
    """A project's rows at a position: what the `source` had at a mark, if any, and the events since.

    `by_key` is the same relation, better for rows whose keys are known.
    """

    project: str
    position: int
    table: Table[Any]
    parts: Sequence[Composable]
    by_key: Composable | None
    tail: list[Recorded]

    @property
    def source(self) -> Composable | None:
        return union(self.parts) if self.parts else None


class Travel:
    """Rows and views at positions in the past.

    Without a connection to the read models every answer is folded from the first event; it is the same.
    """

    def __init__(self, log: EventLog, codec: Codec, connection: Connection | None = None) -> None:
        self._log = log
        self._codec = codec
        self._connection = connection

    def view(
        self, project: str, view: str, position: int, params: Mapping[str, Any] | None = None
    ) -> list[Item]:
        """What `Reads.read` would have answered right after the event at this position.

        What is learned from rows needs the read models. Raises UnknownView, BadInput or Unavailable.
        """
        if view not in DATED:
            raise UnknownView(view=view, views=", ".join(sorted(DATED)))
        page = parse(view, params or {})
        if isinstance(page, FactorParams) and page.at is None:
            page = replace(page, at=self.time_at(project, position))
        with self._snapshot():
            then = _Then(self, project, position)
            return COMPOSED[view].answer(then, page) if view in COMPOSED else then.listed(VIEWS[view], page)

    def listed(self, view: View[Any], project: str, position: int, page: Page) -> list[Item]:
        """The rows of a view that is the list of a projection's; within one transaction, as `point`."""
        point = self.point(view.projection, project, position)
        rows = self._listed(view, point, page)
        if view.projection is not QUEUE:
            return [data_of(row) for row in rows]
        needed = {(project, name) for row in rows for name in row.depends_on}
        found = self.changed(point, needed)
        return with_blockers(rows, {row.task for row in found.values() if row.status != "completed"})

    def named(
        self,
        projection: Projection[Any],
        name: str,
        project: str,
        position: int,
        parameters: Mapping[str, Any],
    ) -> list[Item]:
        """The result of a named query over the rows that there were. Raises Unavailable."""
        if self._connection is None:
            raise Unavailable(what="What was", why="it is asked of the read models")
        point = self.point(projection, project, position)
        source, changed = overlaid(point.table, point.source, self.changed(point).values())
        asked = {"project": project, **parameters, **changed}
        return query(self._connection, projection, name, asked, source)

    def rows(
        self,
        projection: Projection[Any],
        project: str,
        position: int,
        keys: Collection[Key] | None = None,
    ) -> Rows:
        """A project's rows right after the event at this position, or those of these keys that there were."""
        with self._snapshot():
            point = self.point(projection, project, position)
            if keys is None:
                return self._all(point)
            found = self.changed(point, keys)
            return {key: found[key] for key in keys if key in found}

    def point(self, projection: Projection[Any], project: str, position: int) -> Point:
        """Where the rows of a projection come from, right after the event at this position.

        What is read from its sources must be read in the same transaction.
        """
        log, connection = self._log, self._connection
        lineage, last = log.lineage(project), log.sequence_at(project, position)
        segments = lineage.raw(last) if projection.record else lineage.effective(last)
        table, base = served(projection), NOTHING
        parts: Sequence[Composable] = ()
        by_key: Composable | None = None
        if connection is not None and (standing := reached(connection, projection)) is not None:
            base = nearest_base(log, connection, segments, position, reached=standing)
            if base.mark:
                layers = read_layers(connection)
                parts = parts_of(table, layers, base.stream, at=base.mark, named=project)
                by_key = rows_of(table, layers, base.stream, at=base.mark, named=project, by_key=True)
        tail = self.tail(project, segments, base.sequence, position)
        return Point(project=project, position=position, table=table, parts=parts, by_key=by_key, tail=tail)

    def tail(self, project: str, segments: Segments, sequence: int, position: int) -> list[Recorded]:
        """The events of these segments that follow a sequence, none past the position."""
        return events_after(self._log, self._codec, project, segments, sequence, position)

    def changed(self, point: Point, keys: Collection[Key] | None = None) -> Rows:
        """The rows that changed after the mark; or those of these keys, whether they changed or not."""
        projection = point.table.projection
        touches = projection.touches(point.tail)
        wanted = {key for _, key, _ in touches} if keys is None else {*keys}
        if keys is not None:
            touches = [touch for touch in touches if touch[1] in wanted]
        added = projection.append_only and keys is None
        rows = {} if added else self.marked(point, wanted)
        projection.fold_into(rows, touches)
        return rows

    def marked(self, point: Point, keys: Collection[Key]) -> Rows:
        """Those of the rows of these keys that there were at the mark."""
        if self._connection is None or point.by_key is None:
            return {}
        return point.table.load(self._connection, keys, point.by_key)

    def position_at(self, project: str, sequence: int) -> int:
        """That of a project's event. Raises UnknownSequence."""
        return self._log.at_sequence(project, sequence)

    def time_at(self, project: str, position: int) -> datetime:
        """That of the event there, of whatever project; where there is none, of the project's last before."""
        rows = self._log.read(position - 1, 1, until=position) if position else []
        rows = rows or self._log.read_at(project, [self._log.sequence_at(project, position)])
        return self._codec.decode(rows[0]).at if rows else datetime.fromtimestamp(0, UTC)

    def _all(self, point: Point) -> Rows:
        rows: Rows = {}
        if self._connection is not None and point.source is not None:
            rows = point.table.load_all(self._connection, point.source)
        point.table.projection.fold_into(rows, point.table.projection.touches(point.tail))
        return rows

    def _listed(self, view: View[Any], point: Point, page: Page) -> list[Any]:
        """The rows that a view lists: those that changed since the mark, and enough of those that did not."""
        if view.merges is not None:
            rows = [*self._all(point).values()]
            if view.inherits and point.project != SYSTEM_PROJECT:
                system = self.point(view.projection, SYSTEM_PROJECT, point.position)
                rows += self._all(system).values()
            return view.select(rows, page)
        if (keys := view.keys(point.project, page)) is not None:
            return view.select(self.changed(point, keys).values(), page)
        changed = self.changed(point)
        listed = [*changed.values()]
        if self._connection is not None and point.parts:
            limit_rows = page.offset + page.limit + len(changed)  # as many as may be hidden by those
            unchanged = chosen(
                self._connection, view, point.project, page, parts=point.parts, limit_rows=limit_rows
            )
            listed += [row for row in unchanged if view.projection.key_of(row) not in changed]
        return view.select(listed, page)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Marks, layers and rows of one moment."""
        if self._connection is None:
            yield
            return
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield


class _Then(Struct, frozen=True):
    """A project as it was right after the event at a position."""

    travel: Travel
    project: str
    position: int

    def listed(self, view: View[Any], page: Page) -> list[Item]:
        return self.travel.listed(view, self.project, self.position, page)

    def named(self, projection: Projection[Any], name: str, parameters: Mapping[str, Any], /) -> list[Item]:
        return self.travel.named(projection, name, self.project, self.position, parameters)
