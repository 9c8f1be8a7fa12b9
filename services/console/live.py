"""What happens in a project, told to a page a few times a second, however much it is.

Takes the events from the gateway's one reader of the log as fast as they come and keeps of them what a page
shows: how many of each kind, and the last ones in words. What a page missed while it was away is counted, not
told: it reads its lists again anyway, and sequences have no gaps.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalog import EVENTS, upcast
from domain.errors import CoordError
from projections.words import words
from services.gateway.live import Event, Live, ReadPage
from services.gateway.problems import problem
from services.log.codec import Codec
from services.waiting import either

PERIOD_S = 0.25
"""Between two messages at least."""

BEAT_S = 4.0
"""Of silence, after which the page is told that the connection still is; it waits for two of them."""

MAX_LINES = 50
RETRY_MS = 1_000
FAR_EVENTS = 2_000
"""A page that missed more than this is told how many, and nothing of them."""

_BODY = ("entity", "actor", "at", "command_id", "correlation_id", "causation_id", "traceparent", "data")


class Line(Struct, frozen=True):
    """An event in words."""

    sequence: int
    at: str
    event: str
    entity: str
    actor: str
    words: str


class Message(Struct, frozen=True):
    """What happened since the message before: `events` in number, the last of them as `lines`."""

    head: int
    position: int
    at: str
    now: str
    events: int
    kinds: dict[str, int]
    lines: list[Line]


class Gathered:
    """What has happened and is not told yet."""

    def __init__(self, after: int) -> None:
        self._codec = Codec(EVENTS, upcast)
        self._told = after
        self._kinds: Counter[str] = Counter()
        self._last: deque[Event] = deque(maxlen=MAX_LINES)
        self._head: tuple[int, int, str] = (after, 0, "")
        self.news = asyncio.Event()

    def add(self, events: list[Event]) -> None:
        if not events:
            return
        last = events[-1]
        self._kinds.update(each["event"] for each in events)
        self._last.extend(events[-MAX_LINES:])
        self._head = (last["sequence"], last["position"], last["at"])
        self.news.set()

    def take(self, project: str) -> Message:
        """All of it; from now on it is told."""
        head, position, at = self._head
        message = Message(
            head=head, position=position, at=at, now=now(), events=head - self._told,
            kinds=dict(self._kinds), lines=[self._line(project, each) for each in self._last],
        )  # fmt: skip
        self._told = head
        self._kinds.clear()
        self._last.clear()
        self.news.clear()
        return message

    def _line(self, project: str, event: Event) -> Line:
        body = msgspec.json.encode({name: event[name] for name in _BODY if name in event})
        topic = f"{event['event']}@{event['version']}"
        recorded = self._codec.decode((event["position"], project, event["sequence"], topic, body))
        return Line(
            sequence=event["sequence"], at=event["at"], event=event["event"], entity=event["entity"],
            actor=event["actor"], words=words(recorded),
        )  # fmt: skip


async def tell(
    live: Live, project: str, after: int, head: int, read: ReadPage, check: Callable[[], None]
) -> AsyncIterator[bytes]:
    """Server-sent events about what comes after a sequence, until the listener goes or may listen no more.

    `head` is that of the project's last event. `check` is called before whatever is told and raises when the
    listener may not go on; the last event then says why.
    """
    yield f"retry: {RETRY_MS}\n\n".encode()
    gathered = Gathered(after)
    first = head - MAX_LINES if head - after > FAR_EVENTS else after
    pump = asyncio.create_task(_pump(live.listen(project, first, read), gathered))
    try:
        while not pump.done():
            news = await _news(gathered, pump)
            check()
            if news:
                message = gathered.take(project)
                yield b"id: %d\ndata: %s\n\n" % (message.head, msgspec.json.encode(message))
                await asyncio.wait({pump}, timeout=PERIOD_S)
            elif not pump.done():
                yield _event("beat", {"now": now()})
        await pump
    except CoordError as error:
        yield b"event: end\ndata: " + bytes(problem(error).body) + b"\n\n"
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError, CoordError):
            await pump


def now() -> str:
    return datetime.now(UTC).isoformat()


async def _pump(batches: AsyncIterator[list[Event]], gathered: Gathered) -> None:
    """Take events as fast as they come, so that the reader never waits for a page."""
    async with aclosing(batches):  # type: ignore[type-var]  # it is a generator
        async for events in batches:
            gathered.add(events)


async def _news(gathered: Gathered, pump: "asyncio.Task[None]") -> bool:
    """Wait for something to tell, the end of the pump, or BEAT_S; whether there is something."""
    waiting = asyncio.create_task(either(gathered.news, BEAT_S))
    try:
        await asyncio.wait({waiting, pump}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.done() and waiting.result()
    finally:
        waiting.cancel()


def _event(name: str, data: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
