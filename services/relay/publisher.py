"""Publishing to the stream of events: in order, once, and told apart from what others may publish.

Touches the stream only: creates it, appends to it, looks at its end.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, TypeVar

from msgspec import Struct
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, StreamInfo, StreamState
from nats.js.errors import APIError, NotFoundError

from domain.errors import CoordError
from services.bus.connection import inbox_prefix, login, on_error
from services.bus.nats_client import ForgivingClient
from services.bus.wire import TRACE_HEADER
from services.config import servers
from services.log.codec import Row
from services.relay.stream import POSITION, STREAM, SUBJECTS, headers_of, stream_config, subject_for

WINDOW_EVENTS = 1_000
UNTRACED: Mapping[int, str] = {}

_ID, _AFTER_ID, _AFTER_SEQUENCE = "Nats-Msg-Id", "Nats-Expected-Last-Msg-Id", "Nats-Expected-Last-Sequence"
_BATCH, _BATCH_SEQUENCE, _BATCH_COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
_CONNECT_TIMEOUT_S = 5.0
_CONNECT_WAIT_S = 0.1
_ACK_TIMEOUT_S = 5.0
_ASK_TIMEOUT_S = 2.0
"""How long the server may take to tell of the stream: while a replicated one has no leader nobody answers."""

_WRONG_LAST_SEQUENCE = 10071  # the server's number for it
_FOREIGN_MESSAGES = 100_000
_LOOKS = 10
_GROWTH_LOOKS = 50
_GROWTH_WAIT_S = 0.1

T = TypeVar("T")

_log = logging.getLogger(__name__)


class PublishRefused(CoordError):
    code = "publish_refused"
    says = "JetStream did not take all {events} events from position {first} to {last}: {why}."
    retryable = True


class StreamChanged(CoordError):
    code = "stream_changed"
    says = "Stream {stream} ends at sequence {found}, not at {expected}: something else has changed it."
    retryable = True


class StreamForeign(CoordError):
    code = "stream_foreign"
    says = (
        "The last {count} messages of stream {stream} are not the relay's; let nobody else publish on"
        " {subjects}, and `coordctl stream rebuild` fills it again from the log."
    )


class LastEvent(Struct, frozen=True):
    """The last event in the stream."""

    position: int
    subject: str
    body: bytes


class Connection:
    """A connection that does not mend itself: after a loss, the stream must be looked at anew."""

    def __init__(self, client: Client, closed: asyncio.Future[None]) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=_ASK_TIMEOUT_S)
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


class Publisher:
    """Appends to the stream, over one connection, as long as nobody else does."""

    def __init__(self, connection: Connection, replicas: int) -> None:
        self._connection = connection
        self._replicas = replicas
        self._last = 0
        self._replicated = False
        self.window_events = 1
        """How many events to publish next: grows while all goes well; refusals shrink it to the culprit."""

    async def resume(self) -> LastEvent | None:
        """Find the stream, or create it, and return the last event in it; None if there is none."""
        found, self._last = None, 0
        await self._replicate(await self._info())
        for _ in range(_LOOKS):
            info = await self._info()
            self._replicated = (info.config.num_replicas or 1) > 1
            if info.state.last_seq == self._last:
                break
            found = await self._last_event(info.state, self._last) or found
            self._last = info.state.last_seq  # others may have added to it while we looked: look at that too
        return found

    async def check(self) -> None:
        """Raise StreamChanged unless the stream ends where this publisher left it."""
        found = (await self._info()).state.last_seq
        if found != self._last:
            raise StreamChanged(stream=STREAM, found=found, expected=self._last)

    async def publish(
        self, rows: Sequence[Row], previous: int, traceparents: Mapping[int, str] = UNTRACED
    ) -> None:
        """Append these events, which follow the one at position `previous`, and wait until all are stored.

        `traceparents` are those of events that are published as part of a trace, by position.
        """
        client = self._connection.client
        links = self._batch(rows) if self._replicated else self._chain(rows)
        for row, link in zip(rows, links, strict=True) if traceparents else ():
            if row[0] in traceparents:
                link[TRACE_HEADER] = traceparents[row[0]]
        for row, link in zip(rows[:-1], links, strict=False):
            await client.publish(subject_for(row), row[4], headers=headers_of(row, previous) | link)
            previous = row[0]
        row, headers = rows[-1], headers_of(rows[-1], previous) | links[-1]
        request = client.request(subject_for(row), row[4], timeout=_ACK_TIMEOUT_S, headers=headers)
        ack: dict[str, Any] = json.loads((await self._connection.answer(request)).data)
        expected = self._last + len(rows)
        if ack.get("seq") != expected:
            self.window_events = max(1, len(rows) // 2)
            error = ack.get("error", {})
            why = error.get("description") or f"it answered {ack}"
            if len(rows) == 1 and error.get("err_code") == _WRONG_LAST_SEQUENCE:  # the event itself is fine
                raise StreamChanged(stream=STREAM, found=why.rpartition(" ")[2], expected=self._last)
            raise PublishRefused(first=rows[0][0], last=row[0], events=len(rows), why=why)
        self._last = expected
        self.window_events = min(2 * self.window_events, WINDOW_EVENTS)

    def _chain(self, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Headers by which each message is taken only directly after the one before it."""
        ids = [str(row[0]) for row in rows]
        links = [{_ID: own, _AFTER_ID: before} for before, own in pairwise(ids)]
        return [{_ID: ids[0], _AFTER_SEQUENCE: str(self._last)}, *links]

    def _batch(self, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Headers by which all messages are taken or none; one alone needs no batch."""
        if len(rows) == 1:
            return [{_AFTER_SEQUENCE: str(self._last)}]
        batch = secrets.token_hex(8)
        links = [{_BATCH: batch, _BATCH_SEQUENCE: str(place)} for place in range(1, len(rows) + 1)]
        links[0][_AFTER_SEQUENCE] = str(self._last)
        links[-1][_BATCH_COMMIT] = "1"
        return links

    async def _info(self) -> StreamInfo:
        jetstream = self._connection.jetstream
        try:
            return await self._connection.answer(jetstream.stream_info(STREAM))
        except NotFoundError:
            _log.warning("creating stream %s and filling it from the log", STREAM)
            return await self._connection.answer(jetstream.add_stream(stream_config(self._replicas)))

    async def _replicate(self, info: StreamInfo) -> None:
        """Have the stream kept by as many servers as were asked for.

        It is only ever grown: that loses nothing, and who has made it larger by hand meant it.
        """
        kept = info.config.num_replicas or 1
        if kept == self._replicas:
            return
        if kept > self._replicas:
            _log.info("stream %s has %d replicas, more than the %d asked for", STREAM, kept, self._replicas)
            return
        jetstream = self._connection.jetstream
        try:
            await self._connection.answer(jetstream.update_stream(info.config, num_replicas=self._replicas))
        except APIError as error:
            why = error.description or repr(error)
            _log.warning("stream %s stays at %d replicas, not %d: %s", STREAM, kept, self._replicas, why)
        else:
            _log.warning("stream %s grows from %d to %d replicas", STREAM, kept, self._replicas)
            await self._until_replicated()

    async def _until_replicated(self) -> None:
        """Wait a while for new replicas to be there: what is published before may get no answer."""
        for _ in range(_GROWTH_LOOKS):
            cluster = (await self._info()).cluster
            others = [each for each in cluster.replicas or () if each.current] if cluster else []
            if len(others) + 1 >= self._replicas:
                return
            await asyncio.sleep(_GROWTH_WAIT_S)

    async def _last_event(self, state: StreamState, after: int) -> LastEvent | None:
        """The last message after a sequence that is the relay's; others may have slipped in some after it."""
        jetstream = self._connection.jetstream
        first = max(state.first_seq, after + 1)
        for sequence in range(state.last_seq, max(first - 1, state.last_seq - _FOREIGN_MESSAGES), -1):
            message: RawStreamMsg = await self._connection.answer(jetstream.get_msg(STREAM, sequence))
            position = (message.headers or {}).get(POSITION, "")
            if position.isdecimal():
                return LastEvent(int(position), message.subject or "", message.data or b"")
        if state.messages == 0 or (first == after + 1 and state.last_seq - after <= _FOREIGN_MESSAGES):
            return None  # we have looked at all there is, and the relay has never published to it
        raise StreamForeign(stream=STREAM, count=state.last_seq - first + 1, subjects=SUBJECTS)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection for as long as it holds, to any of the servers."""
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def on_close() -> None:
        if not closed.done():
            closed.set_result(None)

    client = ForgivingClient()
    client.denials.identity = "The relay"
    await client.open(
        servers(url),
        **login(url),
        inbox_prefix=inbox_prefix(url),
        name="coordctl relay",
        allow_reconnect=False,
        max_reconnect_attempts=1,  # of this first connection; by default the client tries for two minutes
        reconnect_time_wait=_CONNECT_WAIT_S,
        connect_timeout=_CONNECT_TIMEOUT_S,
        error_cb=on_error(client),
        closed_cb=on_close,
    )
    try:
        yield Connection(client, closed)
    finally:
        await client.close()
