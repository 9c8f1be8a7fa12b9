"""Building projections anew, beside the tables that go on being served, and swapping them in.

The new tables are filled straight from the log. At the end the tracking rows are locked, which
stops the projector for a moment; the rest is folded up to exactly the tracked position, and readers and
projector find the new table from then on. A rebuild that is cut short leaves the old table as it was.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from threading import Event as Flag
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.sql import SQL

from domain.errors import CoordError
from projections.framework import Projection
from services.log.codec import Codec
from services.log.database import lock_number
from services.log.event_log import EventLog
from services.log.read_ahead import ReadAhead
from services.projector.folding import Folder, fold_stride
from services.projector.marks import marks_around
from services.projector.stride import Pacer, begins_with_turn
from services.projector.tables import SCHEMA, Connection, Table, connected
from services.projector.tracking import Tracked, UnknownProjection, repoint, tracked
from services.projector.write_behind import WriteBehind

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


class RebuildApart(CoordError):
    code = "rebuild_apart"
    says = "The projections to be rebuilt have come apart; rebuild them one by one."
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
    projections: Sequence[Projection[Any]],
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Flag | None = None,
    batch_events: int = REBUILD_BATCH_EVENTS,
) -> bool:
    """Build projections anew from the log, in this code's versions; False if `stop` was set meanwhile.

    Those that stand at the same position are built together, in one pass over the log.
    """
    stop = stop or Flag()
    with ExitStack() as stack:
        writing, reading = (stack.enter_context(connected(url)) for _ in range(2))
        for projection in projections:
            _claim(writing, projection)
        for group in _together(writing, projections):
            with WriteBehind() as behind, ReadAhead(log, codec, batch_events) as reader:
                pacer = Pacer(log, codec, reading)
                if not _Build(writing, reading, behind, reader, pacer, group, progress, stop).run():
                    return False
    return True


class _Build:
    """One rebuild under way: while one stride is written, the next is folded."""

    def __init__(
        self,
        writing: Connection,
        reading: Connection,
        behind: WriteBehind,
        reader: ReadAhead,
        pacer: Pacer,
        projections: Sequence[Projection[Any]],
        progress: Callable[[Progress], None],
        stop: Flag,
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._behind = behind
        self._reader = reader
        self._pacer = pacer
        self._names = [projection.name for projection in projections]
        self._progress = progress
        self._stop = stop
        self._position = 0
        self._events = 0
        standing = self._tracked()
        self._tables = [Table(each, _free_name(writing, each, standing[each.name])) for each in projections]
        self._folders = [Folder(table) for table in self._tables]

    def run(self) -> bool:
        try:
            for table in self._tables:
                table.create(self._writing)
            self._catch_up()
            for table in self._tables:
                table.create_indexes(self._writing)
                self._writing.execute(SQL("ANALYZE {}, {}").format(table.identifier, table.past))
            if self._swap():
                return True
        except BaseException:
            if not self._writing.broken:
                self._give_up()
            raise
        self._give_up()
        return False

    def _give_up(self) -> None:
        with suppress(Exception):  # what made it fail is raised already
            self._behind.settle()
        for table in self._tables:
            table.drop(self._writing)

    def _catch_up(self) -> None:
        """Fold up to the tracked position, stride by stride, until it no longer runs away."""
        while not self._stop.is_set() and self._position < (target := self._target()):
            self._behind.put(partial(self._in_transaction, self._fold(self._reading, target)))
        self._behind.settle()

    def _fold(self, connection: Connection, target: int) -> Callable[[], None]:
        """Fold the next stride, reading over this connection; returns what writes it."""
        until = self._next_stop(self._position, target)
        batch = self._reader.read(self._position, until)
        # A batch that is not full reaches its end, even if the last positions before it hold no events.
        full = self._reader.full
        if not full and until < target:
            self._reader.expect(until, self._next_stop(until, target))
        if begins_with_turn(batch):  # what was before it is read from the tables
            self._behind.settle()
        done = self._pacer.stride(batch, self._position, batch[-1].position if full else until)
        work = fold_stride(connection, self._folders, done)

        def write() -> None:
            for folder, changes in work:
                folder.write(self._writing, changes, done.end)

        self._events += len(done.batch)
        self._position = done.end
        self._progress(Progress(position=done.end, target=target, events=self._events))
        return write

    def _next_stop(self, position: int, target: int) -> int:
        """How far is read at once: no stride crosses a mark."""
        following = marks_around(self._reading, position).next
        return target if following is None else min(following, target)

    def _in_transaction(self, write: Callable[[], None]) -> bool:
        with self._writing.transaction():
            write()
        return True

    def _swap(self) -> bool:
        for _ in range(_SWAP_ATTEMPTS):
            self._catch_up()
            if self._stop.is_set():
                return False
            position = self._position
            try:
                with self._writing.transaction():
                    self._take_over()
                return True
            except psycopg.errors.LockNotAvailable:
                self._position = position
                for folder in self._folders:
                    folder.forget()
        raise RebuildBlocked(projection=", ".join(self._names), waited_s=_SWAP_ATTEMPTS * _SWAP_TIMEOUT_S)

    def _take_over(self) -> None:
        """Fold the rest and put the new tables in the places of the old ones.

        It gives up soon when readers hold an old table: the projector and later readers wait behind it.
        """
        self._writing.execute(SQL("SET LOCAL lock_timeout = {}").format(f"{_SWAP_TIMEOUT_S}s"))
        standing = tracked(self._writing, self._names, lock=True)
        target = max(each.position for each in standing.values())
        if any(each.position != target for each in standing.values()):
            raise RebuildApart
        while self._position < target:
            self._fold(self._writing, target)()
        for table in self._tables:
            old = standing[table.projection.name]
            repoint(self._writing, table.projection, table)
            Table(table.projection, old.table_name).drop(self._writing)

    def _target(self) -> int:
        return max(each.position for each in self._tracked().values())

    def _tracked(self) -> dict[str, Tracked]:
        return _standing(self._reading, self._names)


def _standing(connection: Connection, names: Sequence[str]) -> dict[str, Tracked]:
    """Where projections stand. Raises UnknownProjection."""
    found = tracked(connection, names)
    for name in names:
        if name not in found:
            raise UnknownProjection(projection=name)
    return found


def _together(
    connection: Connection, projections: Sequence[Projection[Any]]
) -> Iterator[list[Projection[Any]]]:
    """The projections, by the position at which they stand."""
    standing = _standing(connection, [projection.name for projection in projections])
    for position in sorted({each.position for each in standing.values()}):
        yield [each for each in projections if standing[each.name].position == position]


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
