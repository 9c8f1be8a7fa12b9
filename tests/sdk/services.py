"""All of coordctl's services inside this process, in a thread of their own, on real servers."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from services import wiring
from services.access.registry import Registry
from services.access.roles import Role
from services.config import Doors
from services.embedded.nats import EmbeddedNats, free_addresses

T = TypeVar("T")
START_S = 60.0
NAMES = ("writer", "relay", "projector", "gateway")


class Services:
    """Started and stopped one by one."""

    def __init__(self, database_url: str, nats: EmbeddedNats, data: Path) -> None:
        self.nats = nats
        self.url = nats.url
        self.data = data
        self._doors = Doors(database_url=database_url, nats_url=nats.url)
        self._port = int(free_addresses()[0].partition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._thread.start()

    def start(self, *names: str) -> None:
        self._run(self._start(names))

    def stop(self, *names: str) -> None:
        self._run(self._stop(names))

    def close(self) -> None:
        try:
            self.stop(*self._running)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def enroll(self, actor: str, role: Role, project: str) -> Path:
        """The seed file of a new identity that the server knows."""
        _, seed = Registry(self.data).enroll(actor, role, [project])
        self.nats.stop()
        self.nats.start()
        return seed

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_S)

    async def _start(self, names: tuple[str, ...]) -> None:
        ready = []
        for name in names:
            stop, up = asyncio.Event(), asyncio.Event()
            extra = {"port": self._port} if name == "gateway" else {}
            running: Any = wiring.RUNS[name] if name != "gateway" else wiring.run_gateway
            self._running[name] = stop, asyncio.ensure_future(running(self._doors, stop, up.set, **extra))
            ready.append(up.wait())
        await asyncio.gather(*ready)

    async def _stop(self, names: tuple[str, ...]) -> None:
        stopping = [self._running.pop(name) for name in names]
        for stop, _ in stopping:
            stop.set()
        await asyncio.gather(*(task for _, task in stopping))


@contextmanager
def serving(database_url: str, nats: EmbeddedNats, data: Path) -> Iterator[Services]:
    """A whole system, gone afterwards."""
    services = Services(database_url, nats, data)
    try:
        services.start(*NAMES)
        yield services
    finally:
        services.close()
