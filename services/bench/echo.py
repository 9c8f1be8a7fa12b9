"""The limit of the transport: the same door and batching loop, but nothing is decided or committed.

A process of its own, beside the real services: `python -m services.bench.echo`, NATS by COORD_NATS_URL.
"""

import asyncio
import os
import signal
from collections import deque

import uvloop
from prometheus_client import CollectorRegistry

from services.access.permissions import ECHO
from services.bus.connection import connect
from services.doors.commands import CommandDoor
from services.metrics import WriterMetrics
from services.writer.batch import MAX_BATCH_REQUESTS
from services.writer.requests import Request

ROOT = ECHO
"""The first token of the subjects it answers on, where the real ones have `coord`."""

_ANSWER = b'{"ok":true,"position":1,"result":{"tasks":[{"task":"t","fence":1}]},"sequence":1}'


class Echo:
    """Stands where the writer stands and answers every request alike."""

    def __init__(self) -> None:
        self._inbox: deque[Request] = deque()
        self._arrived = asyncio.Event()

    def submit(self, request: Request) -> None:
        self._inbox.append(request)
        self._arrived.set()

    async def run(self) -> None:
        while True:
            self._arrived.clear()
            if not self._inbox:
                await self._arrived.wait()
            for _ in range(min(len(self._inbox), MAX_BATCH_REQUESTS)):
                self._inbox.popleft().answer(_ANSWER)
            await asyncio.sleep(0)  # let what arrived meanwhile in, as a commit does


async def main(url: str) -> None:
    """Answer until SIGTERM; says `ready` on standard output when it can be asked."""
    echo = Echo()
    nats = await connect(url, "bench-echo")
    metrics = WriterMetrics(CollectorRegistry())
    await CommandDoor(nats, echo, metrics, f"{ROOT}.*.cmd.*.*.*").open()
    await nats.flush()
    running = asyncio.create_task(echo.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    print("ready", flush=True)  # noqa: T201  # what the benchmark waits for
    await asyncio.wait({running})
    await nats.close()


if __name__ == "__main__":
    uvloop.run(main(os.environ["COORD_NATS_URL"]))
