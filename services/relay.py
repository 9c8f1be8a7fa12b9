"""The relay: hands each committed event to JetStream, once and in order, for everyone who listens.

The server takes a message only if it follows the right one: the first of a window names the stream's last
sequence, each other the id of its predecessor. So a window is stored in exactly its order, up to the first
message that does not fit, and the acknowledgement of its last message vouches for all. The relay keeps no
state: the stream's last message tells the position to go on from. Why so, and what it was measured against:
docs/adr/0003-relay-chained-publishes.md.

Reads the log, takes the lock of the leading relay, creates and fills the stream; deletes nothing.
"""

import asyncio
import contextlib
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import nats
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RawStreamMsg, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

from domain.errors import CoordError
from services.codec import Row
from services.log import EventLog, Leadership, LogTail

STREAM = "COORD_EVENTS"
SUBJECTS = "coord.*.evt.>"
POSITION, SEQUENCE, PREVIOUS = "Coord-Position", "Coord-Sequence", "Coord-Previous"
LEADER = "coord.relay"

WINDOW_EVENTS = 1_000
WINDOW_BYTES = 8 * 2**20

_ID, _AFTER_ID, _AFTER_SEQUENCE = "Nats-Msg-Id", "Nats-Expected-Last-Msg-Id", "Nats-Expected-Last-Sequence"
_DUPLICATE_WINDOW_S = (
    2.0  # ids serve the chain, not the server's deduplication, which would keep them in memory
)
_LEAD_TIMEOUT_S = 1.0
_IDLE_TIMEOUT_S = 1.0
_CONNECT_TIMEOUT_S = 5.0
_ACK_TIMEOUT_S = 10.0
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0
_FOREIGN_MESSAGES = 1_000

_SAFE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")

T = TypeVar("T")

_log = logging.getLogger(__name__)


class PublishRefused(CoordError):
    code = "publish_refused"
    says = "JetStream did not take the event at position {position}: {why}."
    retryable = True


class StreamChanged(CoordError):
    code = "stream_changed"
    says = "Stream {stream} ends at sequence {found}, not at {expected}: something else has changed it."
    retryable = True


class StreamDiffers(CoordError):
    """Publishing on would give one position to two different events."""

    code = "stream_differs"
    says = (
        "The last event of stream {stream}, at position {position}, is not in the log, as after restoring an"
        " older backup; delete the stream, and it is filled again from the log."
    )


class StreamForeign(CoordError):
    code = "stream_foreign"
    says = (
        "The last {count} messages of stream {stream} are not the relay's; let nobody else publish on"
        " {subjects}, and delete the stream: it is filled again from the log."
    )


class LostLeadership(CoordError):
    code = "lost_leadership"
    says = "The connection that holds the relay's lock is gone; another relay may have taken over."
    retryable = True


class _Head(Struct):
    """All that the relay reads of an event's body."""

    entity: str


_head = msgspec.json.Decoder(_Head)


class Relay:
    """Publishes the log to a stream. Any number may run: one works, and the others stand by to take over."""

    def __init__(self, log: EventLog, url: str, nats_url: str, *, replicas: int = 1) -> None:
        self._log = log
        self._url = url
        self._nats_url = nats_url
        self._replicas = replicas
        self._position = 0
        self._published_at: datetime | None = None
        self._leading = False

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

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set. Outlives the servers: after a failure it starts anew, a little later."""
        delay_s = _FIRST_BACKOFF_S
        while not stop.is_set():
            before = self._position
            try:
                await self._lead(stop)
            except (CoordError, NatsError, OSError, TimeoutError) as error:
                _log.warning("the relay stopped at position %d: %s", self._position, error or repr(error))
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
                if stop.is_set():
                    return
            self._leading = True
            async with _connected(self._nats_url) as connection:
                publisher = _Publisher(connection, self._replicas)
                await self._resume(publisher)
                while not stop.is_set():
                    if not await self._step(publisher):
                        await self._idle(publisher, leadership, tail)
        finally:
            self._leading = False
            await asyncio.to_thread(tail.close)
            await asyncio.to_thread(leadership.release)

    async def _resume(self, publisher: "_Publisher") -> None:
        last = await publisher.resume()
        if last is not None:
            rows = await asyncio.to_thread(self._log.read, last.position - 1, 1)
            if not rows or (rows[0][0], rows[0][4]) != (last.position, last.body):
                raise StreamDiffers(stream=STREAM, position=last.position)
        self._position = last.position if last else 0

    async def _step(self, publisher: "_Publisher") -> bool:
        """Publish what the log has next; false if it has nothing."""
        rows = await asyncio.to_thread(self._log.read, self._position, publisher.window_events)
        for window in _windows(rows):
            await publisher.publish(window, self._position)
            self._position = window[-1][0]
            self._published_at = datetime.now(UTC)
        return bool(rows)

    async def _idle(self, publisher: "_Publisher", leadership: Leadership, tail: LogTail) -> None:
        """Wait for events; when there are none for a while, look whether all is as it was left."""
        if await asyncio.to_thread(tail.wait_past, self._position, _IDLE_TIMEOUT_S):
            return
        await publisher.check()
        if not await asyncio.to_thread(leadership.is_held):
            raise LostLeadership


class _Last(Struct, frozen=True):
    """The last event in the stream."""

    position: int
    body: bytes


class _Connection:
    """A connection that does not mend itself: after a loss, the stream must be looked at anew."""

    def __init__(self, client: Client, closed: asyncio.Future[None]) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=_ACK_TIMEOUT_S)
        self._closed = closed

    async def answer(self, request: Coroutine[Any, Any, T]) -> T:
        """What the server answers; or ConnectionClosedError at once, where the client would wait on."""
        asked = asyncio.create_task(request)
        try:
            await asyncio.wait((asked, self._closed), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise ConnectionClosedError
            return await asked
        finally:
            asked.cancel()


class _Publisher:
    """Appends to the stream, over one connection, as long as nobody else does."""

    def __init__(self, connection: _Connection, replicas: int) -> None:
        self._connection = connection
        self._replicas = replicas
        self._last = 0
        self.window_events = 1  # at first, so that what is refused after a failure is named in the answer

    async def resume(self) -> _Last | None:
        """Find the stream, or create it, and return the last event in it; None if there is none."""
        info = await self._info()
        self._last = info.state.last_seq
        return await self._last_event(info)

    async def check(self) -> None:
        """Raise StreamChanged unless the stream ends where this publisher left it."""
        found = (await self._info()).state.last_seq
        if found != self._last:
            raise StreamChanged(stream=STREAM, found=found, expected=self._last)

    async def publish(self, rows: Sequence[Row], previous: int) -> None:
        """Append these events, which follow the one at position `previous`, and wait until all are stored."""
        client = self._connection.client
        chain = {_AFTER_SEQUENCE: str(self._last)}
        for row in rows[:-1]:
            await client.publish(_subject(row), row[4], headers=_headers(row, previous) | chain)
            previous = row[0]
            chain = {_AFTER_ID: str(previous)}
        row, headers = rows[-1], _headers(rows[-1], previous) | chain
        request = client.request(_subject(row), row[4], timeout=_ACK_TIMEOUT_S, headers=headers)
        ack: dict[str, Any] = json.loads((await self._connection.answer(request)).data)
        expected = self._last + len(rows)
        if ack.get("seq") != expected:
            why = ack.get("error", {}).get("description") or f"it answered {ack}"
            raise PublishRefused(position=row[0], why=why)
        self._last = expected
        self.window_events = min(2 * self.window_events, WINDOW_EVENTS)

    async def _info(self) -> StreamInfo:
        jetstream = self._connection.jetstream
        try:
            return await self._connection.answer(jetstream.stream_info(STREAM))
        except NotFoundError:
            _log.warning("creating stream %s and filling it from the log", STREAM)
            return await self._connection.answer(jetstream.add_stream(stream_config(self._replicas)))

    async def _last_event(self, info: StreamInfo) -> _Last | None:
        """The last message that is the relay's, if need be behind some that others have slipped in."""
        if info.state.messages == 0:
            return None
        jetstream = self._connection.jetstream
        first, last = info.state.first_seq, info.state.last_seq
        for sequence in range(last, max(first - 1, last - _FOREIGN_MESSAGES), -1):
            message: RawStreamMsg = await self._connection.answer(jetstream.get_msg(STREAM, sequence))
            position = (message.headers or {}).get(POSITION, "")
            if position.isdecimal():
                return _Last(int(position), message.data or b"")
        raise StreamForeign(stream=STREAM, count=min(last - first + 1, _FOREIGN_MESSAGES), subjects=SUBJECTS)


def stream_config(replicas: int) -> StreamConfig:
    """The stream as it is created; limits that an operator sets on it later are left alone."""
    return StreamConfig(
        name=STREAM,
        description="Every event of coordctl, in the order of the log",
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        deny_delete=True,
        deny_purge=True,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


def subject_of(project: str, topic: str, entity: str) -> str:
    """The subject an event is published on; what does not fit into a subject becomes `_`."""
    event = topic.partition("@")[0]
    return f"coord.{_tokens(project.replace('.', '_'))}.evt.{_tokens(event)}.{_tokens(entity)}"


def _tokens(text: str) -> str:
    """Names joined by dots; nearly always they are as they should be."""
    if _SAFE.fullmatch(text):
        return text
    return ".".join(_UNSAFE.sub("_", part) or "_" for part in text.split("."))


def _subject(row: Row) -> str:
    try:
        entity = _head.decode(row[4]).entity
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.error("the event at position %d has no readable entity: %s", row[0], error)
        entity = ""  # listeners get all the events that follow it, and this one as it is
    return subject_of(row[1], row[3], entity)


def _headers(row: Row, previous: int) -> dict[str, str]:
    position = str(row[0])
    return {_ID: position, POSITION: position, SEQUENCE: str(row[2]), PREVIOUS: str(previous)}


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


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[_Connection]:
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_close() -> None:
        if not closed.done():
            closed.set_result(None)

    client = await nats.connect(
        url.split(","),
        name="coordctl relay",
        allow_reconnect=False,
        connect_timeout=_CONNECT_TIMEOUT_S,
        error_cb=_report,
        closed_cb=on_close,
    )
    try:
        yield _Connection(client, closed)
    finally:
        await client.close()


async def _report(error: Exception) -> None:
    _log.warning("nats: %s", error or repr(error))
