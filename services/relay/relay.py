"""The relay: hands each committed event to JetStream, once and in order, for everyone who listens.

Events go in windows, of which only the last message is acknowledged. The first names the stream sequence that
it must follow. What ties the others to it depends on the stream: unreplicated, each names the id of the one
before it; replicated, the window is an atomic batch. Either way the acknowledgement vouches for all, and
after a failure the stream holds a true beginning of the window. The relay keeps no state: the last message
in the stream tells where to go on. Why so, with measurements: docs/adr/0003-relay-windows.md.

Reads the log, takes the lock of the leading relay, creates and fills the stream; deletes nothing.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct
from nats.errors import Error as NatsError

from domain.errors import CoordError
from services.log.codec import Row
from services.log.event_log import EventLog, Leadership, LogTail
from services.relay.publisher import Publisher, PublishRefused, StreamChanged, connected
from services.relay.stream import POSITION, PREVIOUS, SEQUENCE, STREAM, SUBJECTS, subject_for, subject_of

if TYPE_CHECKING:
    from services.tracing.traces import Traces

__all__ = ["POSITION", "PREVIOUS", "SEQUENCE", "STREAM", "SUBJECTS", "Relay", "subject_of"]

LEADER = "coord.relay"
WINDOW_BYTES = 8 * 2**20

_LEAD_TIMEOUT_S = 1.0
_PACE_S = 0.01
"""Rest after a window that was not full: a few large windows cost far less than many small ones."""

_IDLE_TIMEOUT_S = 1.0
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 2.0

_log = logging.getLogger(__name__)


class StreamDiffers(CoordError):
    """Publishing on would give one position to two different events."""

    code = "stream_differs"
    says = (
        "The last event of stream {stream}, at position {position}, is not in the log, as after restoring an"
        " older backup; `coordctl stream rebuild` fills it again from the log."
    )


class LostLeadership(CoordError):
    code = "lost_leadership"
    says = "The session that holds the relay's lock is gone; another relay may have taken over."
    retryable = True


class Work(Struct):
    """What a relay has done since it began: events and windows published, how long that took, failures."""

    events: int = 0
    windows: int = 0
    seconds: float = 0.0
    stops: int = 0


class Relay:
    """Publishes the log to a stream. Any number may run: one works, and the others stand by to take over."""

    def __init__(
        self,
        log: EventLog,
        url: str,
        nats_url: str,
        *,
        replicas: int = 1,
        traces: "Traces | None" = None,
    ) -> None:
        self._log = log
        self._url = url
        self._nats_url = nats_url
        self._replicas = replicas
        self._traces = traces
        self._position = 0
        self._published_at: datetime | None = None
        self._leading = False
        self._trouble = ""
        self.work = Work()

    @property
    def position(self) -> int:
        """The last position known to be in the stream; 0 for none, or when standing by since the start."""
        return self._position

    @property
    def published_at(self) -> datetime | None:
        """When this relay last published; None if it has not."""
        return self._published_at

    @property
    def leading(self) -> bool:
        """Whether this relay is the one that works."""
        return self._leading

    @property
    def trouble(self) -> str:
        """Why it stopped, until it works again or stands by; empty if it did not stop."""
        return self._trouble

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set. Outlives the servers: after a failure it starts anew, a little later."""
        delay_s = _FIRST_BACKOFF_S
        while not stop.is_set():
            before = self._position
            try:
                await self._lead(stop)
            except (CoordError, NatsError, OSError, TimeoutError) as error:
                self._trouble = _told(error)
                self.work.stops += 1
                _log.warning("the relay stopped at position %d: %s", self._position, self._trouble)
                if self._position != before:
                    delay_s = _FIRST_BACKOFF_S
                with contextlib.suppress(TimeoutError):
                    jittered_s = delay_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
                    await asyncio.wait_for(stop.wait(), jittered_s)
                delay_s = min(2 * delay_s, _LAST_BACKOFF_S)

    async def _lead(self, stop: asyncio.Event) -> None:
        """Wait for the leadership, then publish until something fails."""
        leadership = Leadership(self._url, LEADER)
        tail = LogTail(self._url)
        try:
            while not await asyncio.to_thread(leadership.acquire, _LEAD_TIMEOUT_S):
                self._trouble = ""
                if stop.is_set():
                    return
            self._leading = True
            async with connected(self._nats_url) as connection:
                publisher = Publisher(connection, self._replicas)
                _log.info("this relay leads")
                while not stop.is_set():
                    published = self._position
                    await self._resume(publisher)
                    if self._position > published:  # it may have been another relay
                        await _keep(leadership)
                    await self._publish_on(publisher, leadership, tail, stop)
        finally:
            self._leading = False
            await asyncio.to_thread(tail.close)
            await asyncio.to_thread(leadership.release)

    async def _resume(self, publisher: Publisher) -> None:
        last = await publisher.resume()
        if last is not None:
            rows = await asyncio.to_thread(self._log.read, last.position - 1, 1, until=last.position)
            if not any((subject_for(row), row[4]) == (last.subject, last.body) for row in rows):
                raise StreamDiffers(stream=STREAM, position=last.position)
        self._position = last.position if last else 0

    async def _publish_on(
        self, publisher: Publisher, leadership: Leadership, tail: LogTail, stop: asyncio.Event
    ) -> None:
        """Publish until `stop` is set, or the stream is found changed and must be looked at anew."""
        try:
            while not stop.is_set():
                full = publisher.window_events
                published = await self._step(publisher)
                if published == 0:
                    await self._idle(publisher, leadership, tail)
                elif published < full:
                    await asyncio.sleep(_PACE_S)
        except StreamChanged as error:
            _log.warning("%s", error)
        except PublishRefused as error:
            if error.facts["events"] == 1:
                raise  # it is this event that is refused: again at once would be as futile
            _log.warning("%s", error)

    async def _step(self, publisher: Publisher) -> int:
        """Publish what the log has next, a window at most; returns how many events that were."""
        rows = await asyncio.to_thread(self._log.read, self._position, publisher.window_events)
        for window in _windows(rows):
            began = perf_counter()
            await self._publish(publisher, window)
            self._count(window, perf_counter() - began)
            self._position = window[-1][0]
            self._published_at = datetime.now(UTC)
        if self._trouble:
            _log.info("the relay works again, from position %d on", self._position)
            self._trouble = ""
        return len(rows)

    async def _publish(self, publisher: Publisher, window: Sequence[Row]) -> None:
        if self._traces is None:
            await publisher.publish(window, self._position)
            return
        with self._traces.publishing(window) as traceparents:
            await publisher.publish(window, self._position, traceparents)

    def _count(self, window: Sequence[Row], seconds: float) -> None:
        self.work.events += len(window)
        self.work.windows += 1
        self.work.seconds += seconds

    async def _idle(self, publisher: Publisher, leadership: Leadership, tail: LogTail) -> None:
        """Wait for events; when there are none for a while, look whether all is as it was left."""
        if await asyncio.to_thread(tail.wait_past, self._position, _IDLE_TIMEOUT_S):
            return
        await publisher.check()
        await _keep(leadership)


async def _keep(leadership: Leadership) -> None:
    """Raise LostLeadership unless it is still ours."""
    if not await asyncio.to_thread(leadership.is_held):
        raise LostLeadership


def _told(error: Exception) -> str:
    why = str(error) or repr(error)
    if isinstance(error, TimeoutError):
        return f"JetStream confirms nothing ({why}); it hangs, or its disk is full: see the log of NATS"
    return why


def _windows(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Rows in portions that the server's buffers can hold."""
    windows: list[Sequence[Row]] = []
    start, size = 0, 0
    for index, row in enumerate(rows):
        if index > start and size + len(row[4]) > WINDOW_BYTES:
            windows.append(rows[start:index])
            start, size = index, 0
        size += len(row[4])
    return [*windows, rows[start:]] if rows else []
