"""Events as they are committed, for any number of listeners: one reader of the log, a bounded queue for each.

A listener first gets what the log holds after the place it names, page by page, and then what the reader
hands on; sequences have no gaps, so what both have is told once. Whoever does not keep up is told so and cut
off, and goes on from the last event it got. Reads the log; changes nothing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from domain.errors import CoordError
from services.errors import RETRY_AFTER_S
from services.gateway.denials import TooManyListeners
from services.log.event_log import EventLog
from services.log.event_pages import told
from services.waiting import either

MAX_LISTENERS = 500
MAX_QUEUE_EVENTS = 5_000
MAX_QUEUE_BYTES = 32 * 1024 * 1024
HEARTBEAT_S = 15.0
CHECK_S = 1.0
"""How often a listener's token is looked at while nothing happens."""

_READ_EVENTS = 1_000
_WAIT_S = 1.0

Event = dict[str, Any]
ReadPage = Callable[[int], Awaitable[list[Event]]]
"""The events that follow a sequence; an empty list is the end."""

logger = logging.getLogger(__name__)


class FellBehind(CoordError):
    code = "fell_behind"
    says = "You took events more slowly than they happened; connect again with Last-Event-ID to go on."
    retryable = True


class Closing(CoordError):
    code = "closing"
    says = "The gateway ends; connect again with Last-Event-ID to go on."
    retryable = True


class Listener:
    """What waits for one listener."""

    def __init__(self, project: str) -> None:
        self.project = project
        self._events: deque[Event] = deque()
        self._waiting_bytes = 0
        self._woken = asyncio.Event()
        self._ended: CoordError | None = None

    def put(self, event: Event, size_bytes: int) -> None:
        """One that is not taken in time ends it."""
        self._waiting_bytes += size_bytes
        if len(self._events) >= MAX_QUEUE_EVENTS or self._waiting_bytes > MAX_QUEUE_BYTES:
            self.end(FellBehind())
        elif self._ended is None:
            self._events.append(event)
            self._woken.set()

    def end(self, why: CoordError) -> None:
        self._events.clear()
        self._ended = why
        self._woken.set()

    async def take(self, timeout_s: float) -> list[Event]:
        """All that waits, as soon as there is something; nothing after the timeout. Raises why it ended."""
        await either(self._woken, timeout_s)
        if self._ended is not None:
            raise self._ended
        self._woken.clear()
        taken = list(self._events)
        self._events.clear()
        self._waiting_bytes = 0
        return taken


class Live:
    """Reads the log's end for as long as anybody listens. `close` ends them all."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._listeners: set[Listener] = set()
        self._following: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._taken = 0
        self._closed = False

    async def listen(self, project: str, after: int, read: ReadPage) -> AsyncIterator[list[Event]]:
        """Batches of the events after a sequence, without end; an empty one each second of silence, and
        one when the past is told.

        Raises TooManyListeners, FellBehind, Closing, or what reading raises.
        """
        if self._closed:
            raise Closing
        if self._taken >= MAX_LISTENERS:
            raise TooManyListeners(listeners=self._taken, retry_after_s=RETRY_AFTER_S)
        self._taken += 1
        listener = Listener(project)
        try:
            while page := await read(after):
                after = page[-1]["sequence"]
                yield page
            await self._join(listener)
            yield []
            while page := await read(after):  # what happened since, and is not in the queue
                after = page[-1]["sequence"]
                yield page
            while True:
                events = [each for each in await listener.take(CHECK_S) if each["sequence"] > after]
                after = events[-1]["sequence"] if events else after
                yield events
        finally:
            self._listeners.discard(listener)
            self._taken -= 1

    async def close(self) -> None:
        """End all listeners, and the reading."""
        self._closed = True
        for listener in self._listeners:
            listener.end(Closing())
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        self._thread.shutdown(wait=False)  # it waits for the log for a second at most

    async def _join(self, listener: Listener) -> None:
        """From when this returns, the queue gets whatever is not in the log yet."""
        self._listeners.add(listener)
        if self._following is None or self._following.done():
            head = await self._in_thread(self._log.head)
            if self._following is None or self._following.done():
                self._following = asyncio.create_task(self._follow(head))
        if self._closed:
            raise Closing

    async def _follow(self, position: int) -> None:
        while self._listeners:
            try:
                grown = await self._in_thread(self._log.wait_past, position, _WAIT_S)
                rows = await self._in_thread(self._log.read, position, _READ_EVENTS) if grown else []
            except CoordError as error:
                logger.warning("the log cannot be listened to: %s", error)
                for listener in self._listeners:
                    listener.end(error)
                return
            wanted = {listener.project for listener in self._listeners}
            for row in rows:
                if row[1] in wanted:
                    self._hand_on(row[1], told(row[0], row[2], row[3], row[4]), len(row[4]))
            position = rows[-1][0] if rows else position

    def _hand_on(self, project: str, event: Event, size_bytes: int) -> None:
        for listener in self._listeners:
            if listener.project == project:
                listener.put(event, size_bytes)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
