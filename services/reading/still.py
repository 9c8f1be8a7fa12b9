"""Travel that stands still: many questions about one moment, each part of the past looked up once.

It reads within the transaction of whoever opened the connection.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from domain.lineage import Segments
from domain.messages import Recorded
from projections.framework import Key, Projection
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import Connection
from services.reading.replay import Rows
from services.reading.travel import Point, Travel


class Still(Travel):
    """Travel within one transaction: a page asks several things of one moment, and each is looked up once."""

    def __init__(self, log: EventLog, codec: Codec, connection: Connection) -> None:
        super().__init__(log, codec, connection)
        self.connection = connection
        self._points: dict[tuple[str, str, int], Point] = {}
        self._tails: dict[tuple[str, Segments, int, int], list[Recorded]] = {}
        self._changes: dict[str, tuple[Point, Rows, Rows]] = {}

    def point(self, projection: Projection[Any], project: str, position: int) -> Point:
        key = (projection.name, project, position)
        if key not in self._points:
            self._points[key] = super().point(projection, project, position)
        return self._points[key]

    def tail(self, project: str, segments: Segments, sequence: int, position: int) -> list[Recorded]:
        key = (project, segments, sequence, position)
        if key not in self._tails:
            self._tails[key] = super().tail(project, segments, sequence, position)
        return self._tails[key]

    def changed(self, point: Point, keys: Collection[Key] | None = None) -> Rows:
        return super().changed(point, keys) if keys is not None else self.changes(point)[1]

    def changes(self, point: Point) -> tuple[Rows, Rows]:
        """The rows that changed since the mark: as they were there, and as they are now."""
        name = point.table.projection.name
        known = self._changes.get(name)
        if known is None or known[0] is not point:
            self._before: Rows = {}
            after = super().changed(point)
            known = self._changes[name] = (point, self._before, after)
        return known[1:]

    def marked(self, point: Point, keys: Collection[Key]) -> Rows:
        rows = super().marked(point, keys)
        self._before = dict(rows)
        return rows

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """All of it is one moment already."""
        yield
