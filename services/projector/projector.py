"""The projector: folds the log into the tables of the read models, in order, batch by batch.

Rows and positions change in one transaction, so a batch counts wholly or not at all, and a projector that
dies is resumed by the next. It reads the log and writes the tables of projections; it publishes nothing but
the notification that positions have moved.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from threading import Event as Flag
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psycopg
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import CoordError
from domain.messages import Recorded
from projections.framework import Projection
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.log.read_ahead import ReadAhead
from services.projector.checkpoints import CHECKPOINT_EVENTS
from services.projector.folding import Changes, Folder, fold_stride
from services.projector.groups import LOOK_S, Groups
from services.projector.layers import add_layer
from services.projector.marks import mark, marks_around
from services.projector.rebuild import rebuild
from services.projector.stride import Pacer, Stride, begins_with_turn
from services.projector.tables import Connection, Table, connected
from services.projector.tracking import Tracked, advance, set_up, tracked
from services.projector.write_behind import WriteBehind

if TYPE_CHECKING:
    from services.tracing.traces import Traces

BATCH_EVENTS = 2_000

_PACE_S = 0.02
"""Rest after a batch that was not full: under load a few large batches cost far less than many small ones."""

_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 2.0

_log = logging.getLogger(__name__)


class Standing(Struct, frozen=True, kw_only=True):
    """Where a projector stands: for monitoring.

    `position` is that of the projection furthest behind, and `lag_events` the positions from there to the
    end of the log. `at` is the time of the last event folded. `trouble` says why it is not working, if it is
    not.
    """

    position: int = 0
    lag_events: int = 0
    at: datetime | None = None
    trouble: str | None = None


class Work(Struct):
    """What a projector has done since it began: events folded, and failures."""

    events: int = 0
    stops: int = 0


class Projector:
    """Keeps projections up to date. Any number may run: they share them out among themselves, by groups.

    A projection whose table was built by other code is rebuilt in the background; until it is swapped in, the
    old table is served as it is.
    """

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        url: str,
        projections: Sequence[Projection[Any]],
        *,
        batch_events: int = BATCH_EVENTS,
        checkpoint_events: int = CHECKPOINT_EVENTS,
        traces: "Traces | None" = None,
    ) -> None:
        self._log = log
        self._codec = codec
        self._url = url
        self._projections = tuple(projections)
        self._batch_events = batch_events
        self._checkpoint_events = checkpoint_events
        self._traces = traces
        self.standing = Standing()
        self.work = Work()

    def run(self, stop: Flag) -> None:
        """Project until `stop` is set; when Postgres goes away, wait for it and go on."""
        backoff_s = _FIRST_BACKOFF_S
        while not stop.is_set():
            before = self.standing.position
            try:
                self._work(stop, until_idle=False)
            except CoordError as error:
                if not error.retryable:
                    raise
                if self.standing.position > before:
                    backoff_s = _FIRST_BACKOFF_S
                _log.warning("projector stopped for %.1f s: %s", backoff_s, error)
                self.standing = Standing(position=self.standing.position, trouble=str(error))
                self.work.stops += 1
                stop.wait(backoff_s)
                backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)

    def catch_up(self) -> None:
        """Project all that is in the log now, rebuild what has another version, and return."""
        self._work(Flag(), until_idle=True)

    def _work(self, stop: Flag, *, until_idle: bool) -> None:
        with ExitStack() as stack:
            connection = stack.enter_context(connected(self._url))
            self._log.create_tables()
            set_up(connection, self._projections)
            groups = stack.enter_context(Groups(self._url, self._projections))
            while not stop.is_set():
                groups.settle()
                if not groups.projections:
                    self.standing = Standing()
                    stop.wait(LOOK_S)
                elif self._look_after(connection, groups, stop, until_idle=until_idle):
                    return

    def _look_after(self, connection: Connection, groups: Groups, stop: Flag, *, until_idle: bool) -> bool:
        """Project the groups that are ours, until others are; true if there was nothing left to do."""
        with ExitStack() as stack:
            reading = stack.enter_context(connected(self._url))
            behind = stack.enter_context(WriteBehind())
            reader = stack.enter_context(ReadAhead(self._log, self._codec, self._batch_events))
            pacer = Pacer(self._log, self._codec, reading)
            session = _Session(
                connection, reading, behind, reader, pacer, groups.projections, self._checkpoint_events,
                self._traces,
            )  # fmt: skip
            rebuilds = stack.enter_context(_Rebuilds(self._log, self._codec, self._url, session.stale()))
            while not stop.is_set() and groups.are_settled():
                if rebuilds.have_finished() and session.settle():
                    session.refresh()
                events = session.step()
                self.work.events += events
                self._report(session, events)
                if events == 0 and session.settle():
                    if until_idle and not rebuilds.running:
                        return True
                    self._log.wait_past(session.front, LOOK_S)
                elif events < self._batch_events and not until_idle:
                    stop.wait(_PACE_S)
            session.settle()
        return False

    def _report(self, session: "_Session", events: int) -> None:
        if self.standing.trouble is not None:
            _log.info("the projector works again, from position %d on", session.position)
        lag_events = self._log.head() - session.position if events >= self._batch_events else 0
        self.standing = Standing(position=session.position, lag_events=lag_events, at=session.at)


class _Session:
    """The projections of this code's versions. After an error it is of no more use.

    While one stride is written over the one connection, the next is folded, reading over the other.
    """

    def __init__(
        self,
        writing: Connection,
        reading: Connection,
        behind: WriteBehind,
        reader: ReadAhead,
        pacer: Pacer,
        projections: Sequence[Projection[Any]],
        checkpoint_events: int,
        traces: "Traces | None",
    ) -> None:
        self.at: datetime | None = None
        self._writing = writing
        self._reading = reading
        self._behind = behind
        self._reader = reader
        self._pacer = pacer
        self._checkpoint_events = checkpoint_events
        self._traces = traces
        self._projections = {projection.name: projection for projection in projections}
        self.refresh()

    @property
    def position(self) -> int:
        """Where the projection furthest behind stands."""
        return min((each.position for each in self._tracked.values()), default=0)

    @property
    def front(self) -> int:
        """Where the projection furthest ahead stands."""
        return max((each.position for each in self._tracked.values()), default=0)

    def stale(self) -> list[Projection[Any]]:
        """The projections whose tables were built by other code than this."""
        return [projection for name, projection in self._projections.items() if name not in self._tracked]

    def refresh(self) -> None:
        """Learn anew which tables there are and where they stand; nothing must be under way."""
        found = tracked(self._reading, list(self._projections))
        self._tracked: dict[str, Tracked] = {
            name: each for name, each in found.items() if each.is_of(self._projections[name])
        }
        self._folders: dict[str, Folder[Any]] = {
            name: Folder(Table(self._projections[name], each.table_name))
            for name, each in self._tracked.items()
        }
        self._mark = 0

    def settle(self) -> bool:
        """Wait until all is written; False if somebody else had moved a projection, and all is read anew."""
        written = self._behind.settle()
        if not written:
            self.refresh()
        return written

    def step(self) -> int:
        """Fold one batch into each group of projections that stand together, the foremost first.

        Those behind read only as far as those ahead have come, and so join them. Returns the events folded.
        """
        events = 0
        until: int | None = None
        for position in sorted({each.position for each in self._tracked.values()}, reverse=True):
            batch = self._reader.read(position, until)
            end = self._end(batch, position, until)
            if end > position:
                done = self._project(position, batch, end, foremost=until is None)
                if done is None:
                    return events + 1  # nothing is folded, but there may be more to do
                events += len(done.batch) or 1
                end = done.end
            until = end
        return events

    def _end(self, batch: list[Recorded], position: int, until: int | None) -> int:
        """The position after a batch: one that is not full has come as far as it could."""
        if until is not None and not self._reader.full:
            return until
        return batch[-1].position if batch else position

    def _project(self, position: int, batch: list[Recorded], end: int, *, foremost: bool) -> Stride | None:
        """Fold what may be folded at once into all that stand at this position, and have it written.

        None if the stride before was not written, because somebody else has moved a projection.
        """
        if begins_with_turn(batch) and not self.settle():
            return None
        group = {name: each for name, each in self._tracked.items() if each.position == position}
        done = self._pacer.stride(batch, position, end, made=self._mark)
        began_ns = time_ns()
        try:
            work = self._fold(group, done)
        except psycopg.errors.UndefinedTable:  # somebody else has replaced it
            if self.settle():
                self.refresh()
            if all(self._tracked.get(name) == each for name, each in group.items()):
                raise
            return None
        cut = foremost and done.end - done.mark >= self._checkpoint_events
        if not self.settle():
            return None
        write: Callable[[], bool] = partial(self._write, group, done, work, cut=cut)
        if self._traces is not None:
            write = self._traces.folding(done.batch, group, done.end, began_ns, write)
        self._behind.put(write)
        if cut:
            self._mark = done.end
        for name, each in group.items():
            self._tracked[name] = replace(each, position=done.end)
        self.at = done.batch[-1].at if done.batch else self.at
        if done.layer is not None and not self.settle():  # what follows is read from there
            return None
        return done

    def _fold(self, names: Iterable[str], done: Stride) -> list[tuple[Folder[Any], Changes]]:
        """What the stride changes in each of these projections."""
        return fold_stride(self._reading, [self._folders[name] for name in names], done)

    def _write(
        self,
        group: dict[str, Tracked],
        done: Stride,
        work: Sequence[tuple[Folder[Any], Changes]],
        *,
        cut: bool,
    ) -> bool:
        """False, and nothing is written, if a projection is not where it was, or a mark came or went.

        No mark is cut where a projection of other code is past it.
        """
        with self._writing.transaction():
            standing = tracked(self._writing, None if cut else list(group), lock=True)
            if any(standing.get(name) != each for name, each in group.items()):
                return False
            if not self._stands(done):
                return False
            for folder, changes in work:
                folder.write(self._writing, changes, done.end)
            if cut and all(each.position <= done.end for each in standing.values()):
                mark(self._writing, done.end)
            advance(self._writing, list(group), done.end)
        return True

    def _stands(self, done: Stride) -> bool:
        """Whether marks and layers are as they were when the stride was measured; its own layer is noted."""
        around = marks_around(self._writing, done.start)
        if around.last != done.mark or (around.next is not None and around.next < done.end):
            return False
        if done.layer is None:
            return True
        below = marks_around(self._writing, done.layer.mark).last
        return below == done.layer.mark and add_layer(self._writing, done.layer)


class _Rebuilds:
    """A rebuild of projections beside the projector's own work."""

    def __init__(self, log: EventLog, codec: Codec, url: str, projections: Sequence[Projection[Any]]) -> None:
        self._stop = Flag()
        self._thread = ThreadPoolExecutor(1, "rebuild")
        self._pending: list[Future[bool]] = (
            [self._thread.submit(rebuild, log, codec, url, projections, stop=self._stop)]
            if projections
            else []
        )

    @property
    def running(self) -> bool:
        return bool(self._pending)

    def have_finished(self) -> bool:
        """Whether any has finished since last asked; raises what made one fail."""
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if future not in done]
        for future in done:
            future.result()
        return bool(done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)
