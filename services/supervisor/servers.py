"""The embedded servers of a data directory, as far as the operator has none of their own: started together,
watched, and started again under the same address when one dies.
"""

import asyncio
import random
from collections.abc import Callable

from domain.errors import CoordError
from services.config import Config, Doors, nats_door
from services.embedded import EmbeddedNats, EmbeddedPostgres
from services.supervisor.child import Say
from services.waiting import either

WATCH_S = 0.5
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0


class AddressLost(CoordError):
    """Everyone knows the server by its first address."""

    code = "address_lost"
    says = "The port of {server} was taken while it was down, so everything ends: run `coordctl up` again."
    retryable = True


Server = EmbeddedPostgres | EmbeddedNats


class Servers:
    """Runs what the configuration does not name. Blocking work is done in threads."""

    def __init__(self, config: Config, say: Say) -> None:
        self._config = config
        self._say = say
        self._postgres = None if config.database_url else EmbeddedPostgres(config.data)
        self._nats = None if config.nats_url else EmbeddedNats(config.data)

    async def start(self) -> Doors:
        """Start them side by side; returns where they and the operator's own are found."""
        results = await asyncio.gather(
            *(asyncio.to_thread(server.start) for server in self._servers().values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return Doors(
            database_url=self._postgres.url if self._postgres else self._config.database_url or "",
            nats_url=self._nats.url if self._nats else self._own_nats(),
        )

    def nats_monitor_url(self) -> str:
        """Where our nats-server's own monitoring answers; empty if there is none of ours."""
        return self._nats.monitor_url if self._nats else ""

    def _own_nats(self) -> str:
        return nats_door(self._config, self._config.nats_url or "")

    async def watch(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Start again what dies, until told to stop; `changed` is called again and again."""
        await asyncio.gather(
            *(self._watch(name, server, stop, changed) for name, server in self._servers().items())
        )

    async def stop(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self._servers().values()))

    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        pids = {name: server.pid for name, server in self._servers().items()}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def _servers(self) -> dict[str, Server]:
        found: dict[str, Server | None] = {"postgres": self._postgres, "nats": self._nats}
        return {name: server for name, server in found.items() if server is not None}

    async def _watch(
        self, name: str, server: Server, stop: asyncio.Event, changed: Callable[[], None]
    ) -> None:
        backoff_s = FIRST_BACKOFF_S
        while not await either(stop, WATCH_S):
            changed()
            if isinstance(server, EmbeddedNats) and await asyncio.to_thread(server.is_stuck):
                self._say(name, "its disk was full and has room again; starting it anew, so that it goes on")
                await asyncio.to_thread(server.stop)
            elif server.is_running():
                continue
            else:
                self._say(name, "ended unexpectedly; starting it again")
            before = server.url
            try:
                await asyncio.to_thread(server.start)
            except (CoordError, OSError) as error:
                jittered_s = backoff_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
                self._say(name, f"cannot be started ({error}); next attempt in {jittered_s:.1f} s")
                await either(stop, jittered_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
            else:
                if server.url != before:
                    raise AddressLost(server=name)
                self._say(name, "runs again")
                backoff_s = FIRST_BACKOFF_S
            changed()
