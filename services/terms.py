"""Terms of leadership: one process works, the others stand by, and who loses the lock stops working.

Touches the leadership's connection, from one thread of its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.database import LogUnavailable
from services.errors import Unavailable
from services.leadership import Leadership
from services.waiting import either, first_of

ACQUIRE_TIMEOUT_S = 1.0
CHECK_S = 0.5
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0

Term = Callable[[asyncio.Event], Awaitable[None]]
"""The leader's work: until the event is set."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Leader:
    """Serves one term after another until told to stop."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="leadership")
        self.leading = False

    async def run(self, term: Term, stop: asyncio.Event, standing_by: Callable[[], None]) -> None:
        """Work whenever the lock is ours; `standing_by` is called whenever another has it."""
        backoff_s = FIRST_BACKOFF_S
        while not stop.is_set():
            try:
                if not await self._in_thread(self._acquire):
                    standing_by()
                    continue
                await self._serve(term, stop)
                backoff_s = FIRST_BACKOFF_S
            except (LogUnavailable, Unavailable) as error:
                logger.warning("cannot lead now: %s", error)
                await either(stop, backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
        await self._in_thread(self._leadership.release)
        self._thread.shutdown()

    async def _serve(self, term: Term, stop: asyncio.Event) -> None:
        """One term: until told to stop, or the lock is lost, or the work ends by itself."""
        over = asyncio.Event()
        work = asyncio.ensure_future(term(over))
        self.leading = True
        try:
            while await self._in_thread(self._leadership.is_held):
                await first_of(work, stop, CHECK_S)
                if work.done() or stop.is_set():
                    return
            logger.warning("the lock of the leader is lost; standing by until it is ours again")
        finally:
            self.leading = False
            over.set()
            await work

    def _acquire(self) -> bool:
        return self._leadership.acquire(ACQUIRE_TIMEOUT_S)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
