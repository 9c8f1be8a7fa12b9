"""Events as they happen, from any position on: pages of history, then live, without a gap and none twice.

What was heard live says its sequence in the project; where one is missing, and after every return of the
connection, a page is read instead. Touches one subscription.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg

from coord.bus import Bus
from coord.errors import CoordError
from coord.results import Event

MAX_BUFFERED_EVENTS = 10_000
PAGE_EVENTS = 500
RECHECK_S = 30.0
"""How long silence is believed: then a page tells whether it was one."""

MAX_BACKOFF_S = 5.0

Read = Callable[[dict[str, Any]], Awaitable[list[dict[str, Any]]]]
logger = logging.getLogger("coord")


class Events:
    """An async iterator, which ends when it is closed; what `Client.events` gives."""

    def __init__(self, bus: Bus, project: str, read: Read, after: int) -> None:
        self._bus = bus
        self._subject = f"coord.{project}.evt.>"
        self._read = read
        self._after = after
        self._last: int | None = None
        self._page: deque[Event] = deque()
        self._live: deque[Event] = deque()
        self._behind = True
        self._arrived = asyncio.Event()
        self._open = False
        self._closed = False

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        if not self._open:
            self._open = True
            self._bus.on_return.append(self.missed)
            await self._bus.subscribe(self._subject, self._take)
        while not self._closed:
            if self._page:
                event = self._page.popleft()
                self._last = event.sequence
                return event
            if self._behind:
                await self._turn_page()
            elif self._live:
                if (heard := self._follows(self._live.popleft())) is not None:
                    return heard
            else:
                await self._wait()
        raise StopAsyncIteration

    def missed(self) -> None:
        """Something may have been published that was not heard."""
        self._behind = True
        self._arrived.set()

    async def aclose(self) -> None:
        """End the iteration, and stop listening."""
        self._closed = True
        self._arrived.set()
        if self.missed in self._bus.on_return:
            self._bus.on_return.remove(self.missed)
            await self._bus.unsubscribe(self._take)

    async def _turn_page(self) -> None:
        """Read on after the last event; behind until a page is empty."""
        self._behind = False
        try:
            rows = await self._persist()
        except BaseException:
            self._behind = True
            raise
        if rows:
            self._behind = True
            self._page.extend(msgspec.convert(row, Event) for row in rows)

    async def _persist(self) -> list[dict[str, Any]]:
        """The next page, however long the bus is away."""
        place = {"after_position": self._after} if self._last is None else {"after": self._last}
        backoff_s = 0.1
        while True:
            try:
                await self._bus.until_connected()
                return await self._read({**place, "limit": PAGE_EVENTS})
            except CoordError as error:
                if not error.retryable:
                    raise
                logger.warning("events cannot be read now: %s", error)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    def _follows(self, event: Event) -> Event | None:
        """The event, if it is the next; one that leaves a gap is left to the page that fills it."""
        if self._last is None:
            self._behind = self._behind or event.position > self._after
        elif event.sequence == self._last + 1:
            self._last = event.sequence
            return event
        elif event.sequence > self._last:
            self._behind = True
        return None

    async def _wait(self) -> None:
        self._arrived.clear()
        try:
            await asyncio.wait_for(self._arrived.wait(), RECHECK_S)
        except TimeoutError:
            self._behind = True

    async def _take(self, message: Msg) -> None:
        if len(self._live) >= MAX_BUFFERED_EVENTS:
            self._live.clear()  # whoever reads is slow: pages fill the gap
        self._live.append(_event(message))
        self._arrived.set()


def _event(message: Msg) -> Event:
    headers = message.headers or {}
    place = {
        "position": int(headers["Coord-Position"]),
        "sequence": int(headers["Coord-Sequence"]),
        "event": ".".join(message.subject.split(".")[3:5]),
    }
    return msgspec.convert({**msgspec.json.decode(message.data), **place}, Event)
