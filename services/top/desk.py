"""Reading for a screen that must not wait: the log is followed in one thread, questions answered in another.

A connection that is lost is told of and made anew, wherever the database is by then. It changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from domain.errors import CoordError
from services.errors import Unavailable
from services.top.source import Source, Standing

WAIT_S = 1.0
"""How long the log is waited for at once; after that the connection has been tried."""

RETRY_S = 1.0

T = TypeVar("T")


class Desk:
    """Reads one project; `find` tells where the database is, or raises NotRunning. Close it in the end."""

    def __init__(self, find: Callable[[], str], project: str) -> None:
        self._find = find
        self._project = project
        self._source: Source | None = None
        self._follower = ThreadPoolExecutor(1, thread_name_prefix="top-follow")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="top-read")

    async def follow(self) -> AsyncIterator[Standing | CoordError]:
        """How far all has come, whenever there is more, and each second in between; or why it cannot be told.

        It goes on for ever.
        """
        known: Standing | None = None
        while True:
            try:
                source = self._source or await self._in(self._follower, self._open)
                known = await self._in(self._follower, source.standing, known, WAIT_S)
            except CoordError as error:
                known = None
                self._drop()
                yield error
                await asyncio.sleep(RETRY_S)
            else:
                yield known

    async def ask(self, work: Callable[[Source], T]) -> T:
        """What is read from the source. Raises Unavailable while there is none, and what reading raises."""
        if self._source is None:
            raise Unavailable(what="The database", why="it is not connected")
        answer: T = await self._in(self._reader, work, self._source)
        return answer

    def close(self) -> None:
        """End all reading; a thread that waits ends within a second."""
        self._drop()
        self._follower.shutdown(wait=False, cancel_futures=True)
        self._reader.shutdown(wait=False)

    def _open(self) -> Source:
        self._source = Source(self._find(), self._project)
        return self._source

    def _drop(self) -> None:
        """Close the source, after the question that it may be answering."""
        source, self._source = self._source, None
        if source is not None:
            self._reader.submit(source.close)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)
