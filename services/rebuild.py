"""Building a projection anew, beside the table that goes on being served, and swapping it in.

The new table is filled straight from the log. At the end the projection's tracking row is locked, which
stops the projector for a moment; the rest is folded up to exactly the tracked position, and readers and
projector find the new table from then on. A rebuild that is cut short leaves the old table as it was.
"""

import re
from collections.abc import Callable
from threading import Event as Flag
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.sql import SQL

from domain.errors import CoordError
from projections.framework import Projection
from services.codec import Codec
from services.database import lock_number
from services.folding import Folder
from services.log import EventLog
from services.read_ahead import ReadAhead
from services.stride import stride
from services.tables import SCHEMA, Connection, Table, connected
from services.tracking import Tracked, UnknownProjection, repoint, tracked

REBUILD_BATCH_EVENTS = 5_000

_SWAP_TIMEOUT_S = 2
_SWAP_ATTEMPTS = 30


class RebuildRunning(CoordError):
    code = "rebuild_running"
    says = "Projection {projection} is being rebuilt already; wait until that is done."
    retryable = True


class RebuildBlocked(CoordError):
    code = "rebuild_blocked"
    says = (
        "Projection {projection} is rebuilt but readers held on to its old table for {waited_s} s; "
        "end the long transactions on it and rebuild again."
    )
    retryable = True


class Progress(Struct, frozen=True, kw_only=True):
    """How far a rebuild has come: it is done when it reaches the target, which moves on meanwhile."""

    position: int
    target: int
    events: int


def rebuild(
    log: EventLog,
    codec: Codec,
    url: str,
    projection: Projection[Any],
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Flag | None = None,
    batch_events: int = REBUILD_BATCH_EVENTS,
) -> bool:
    """Build the projection anew from the log, in this code's version; False if `stop` was set meanwhile."""
    with connected(url) as connection, ReadAhead(log, codec, batch_events) as reader:
        _claim(connection, projection)
        return _Build(connection, projection, reader, progress, stop or Flag()).run()


class _Build:
    """One rebuild under way."""

    def __init__(
        self,
        connection: Connection,
        projection: Projection[Any],
        reader: ReadAhead,
        progress: Callable[[Progress], None],
        stop: Flag,
    ) -> None:
        self._connection = connection
        self._projection = projection
        self._reader = reader
        self._progress = progress
        self._stop = stop
        self._position = 0
        self._events = 0
        self._table = Table(projection, _free_name(connection, projection, self._tracked()))
        self._folder = Folder(self._table)

    def run(self) -> bool:
        try:
            self._table.create(self._connection)
            self._catch_up()
            self._table.create_indexes(self._connection)
            if self._swap():
                return True
        except BaseException:
            if not self._connection.broken:
                self._table.drop(self._connection)
            raise
        self._table.drop(self._connection)
        return False

    def _catch_up(self) -> None:
        """Fold up to the tracked position, batch by batch, until it no longer runs away."""
        while not self._stop.is_set() and self._position < (target := self._tracked().position):
            with self._connection.transaction():
                self._fold_batch(target)

    def _fold_batch(self, target: int) -> None:
        batch = self._reader.read(self._position, target)
        # A batch that is not full reaches the target, even if the last positions before it hold no events.
        full = len(batch) == self._reader.batch_events
        done = stride(self._connection, batch, self._position, batch[-1].position if full else target)
        if done.batch:
            touches = self._projection.touches(done.batch)
            self._folder.fold(self._connection, touches, done.end, done.mark, done.layers)
            self._events += len(done.batch)
        self._position = done.end
        self._progress(Progress(position=self._position, target=target, events=self._events))

    def _swap(self) -> bool:
        for _ in range(_SWAP_ATTEMPTS):
            self._catch_up()
            if self._stop.is_set():
                return False
            position = self._position
            try:
                with self._connection.transaction():
                    self._take_over()
                return True
            except psycopg.errors.LockNotAvailable:
                self._position = position
                self._folder.forget()
        raise RebuildBlocked(projection=self._projection.name, waited_s=_SWAP_ATTEMPTS * _SWAP_TIMEOUT_S)

    def _take_over(self) -> None:
        """Fold the rest and put the new table in the old one's place.

        It gives up soon when readers hold the old table: the projector and later readers wait behind it.
        """
        name = self._projection.name
        self._connection.execute(SQL("SET LOCAL lock_timeout = {}").format(f"{_SWAP_TIMEOUT_S}s"))
        old = tracked(self._connection, [name], lock=True)[name]
        while self._position < old.position:
            self._fold_batch(old.position)
        repoint(self._connection, self._projection, self._table)
        Table(self._projection, old.table_name).drop(self._connection)

    def _tracked(self) -> Tracked:
        found = tracked(self._connection, [self._projection.name])
        if self._projection.name not in found:
            raise UnknownProjection(projection=self._projection.name)
        return found[self._projection.name]


def _claim(connection: Connection, projection: Projection[Any]) -> None:
    """Be the only one to rebuild this projection until the connection ends."""
    lock = lock_number(f"coord.projections.{projection.name}.rebuild")
    if connection.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone() != (True,):
        raise RebuildRunning(projection=projection.name)


def _free_name(connection: Connection, projection: Projection[Any], current: Tracked) -> str:
    """A name that is not taken; tables left behind by rebuilds that were cut short are removed."""
    ours = re.compile(rf"{projection.name}_v\d+(_\d+)?")
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,))
    for (name,) in found.fetchall():
        if ours.fullmatch(name) and name != current.table_name:
            Table(projection, name).drop(connection)
    name = f"{projection.name}_v{projection.version}"
    return name if name != current.table_name else f"{name}_2"
