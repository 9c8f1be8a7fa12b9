"""The limit of the transport: the same door and batching loop, but nothing is decided or committed."""

import asyncio
from collections import deque

from services.requests import Request
from services.writer import MAX_BATCH_REQUESTS

_ANSWER = b'{"ok":true,"position":1,"result":{"tasks":[{"task":"t","fence":1}]},"sequence":1}'


class Echo:
    """Stands where the writer stands and answers every request alike."""

    def __init__(self) -> None:
        self._inbox: deque[Request] = deque()
        self._arrived = asyncio.Event()

    def submit(self, request: Request) -> None:
        self._inbox.append(request)
        self._arrived.set()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._arrived.clear()
            if not self._inbox:
                await self._arrived.wait()
            for _ in range(min(len(self._inbox), MAX_BATCH_REQUESTS)):
                self._inbox.popleft().answer(_ANSWER)
            await asyncio.sleep(0)  # let what arrived meanwhile in, as a commit does
