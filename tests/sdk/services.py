"""All of coordctl's services inside this process, each to be stopped and started again, on real servers."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from services.access.registry import Registry
from services.access.roles import Role
from services.config import Doors
from services.embedded.nats import EmbeddedNats
from services.roster import SERVICES
from tests.services.hosted import PATIENCE_S, free_port, hosted

T = TypeVar("T")


class Services:
    """Started and stopped one by one, on a loop of their own."""

    def __init__(self, database_url: str, nats: EmbeddedNats, data: Path) -> None:
        self.nats = nats
        self.url = nats.url
        self.data = data
        self._doors = Doors(database_url=database_url, nats_url=nats.url)
        self._port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._running: dict[str, AbstractAsyncContextManager[int]] = {}
        self._thread.start()

    def start(self, *names: str) -> None:
        for name in names:
            self._running[name] = hosted(self._doors, [name], port=self._port)
            self._run(self._running[name].__aenter__())

    def stop(self, *names: str) -> None:
        for name in names:
            self._run(self._running.pop(name).__aexit__(None, None, None))

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
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)


@contextmanager
def serving(database_url: str, nats: EmbeddedNats, data: Path) -> Iterator[Services]:
    """A whole system, gone afterwards."""
    services = Services(database_url, nats, data)
    try:
        services.start(*SERVICES)
        yield services
    finally:
        services.close()
