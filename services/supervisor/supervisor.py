"""The supervisor: starts servers and services, waits until all are ready, keeps them running, and stops them.

Touches the data directory (its lock and its state file) and the processes it started.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from domain.errors import CoordError
from services import processes
from services.access.registry import Registry
from services.access.roles import SERVICE_PREFIX
from services.config import Config, Doors, State, address_of, credentials_of, has_login
from services.embedded.nats import HOST, free_addresses, is_free
from services.embedded.owner import make_data_dir
from services.embedded.server import DataDirInUse, DirectoryLock
from services.files import write_private
from services.log.migrations import MIGRATIONS, refuse_newer
from services.roster import instances, service_of
from services.supervisor.child import Child, Say
from services.supervisor.leftovers import end_services, service_arguments
from services.supervisor.servers import Servers

NAME = "up"
PORT_FILE = "gateway.address"
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
RELAY_TIMEOUT_S = 5.0
LOCK_ATTEMPTS = 5
LOCK_RETRY_S = 0.05
ONE_OF_EACH: Mapping[str, int] = {}


class StartFailed(CoordError):
    code = "start_failed"
    says = "coordctl did not start: {why}. See what the services said above."
    retryable = True


class Supervisor:
    """Everything of one data directory. `run` once."""

    def __init__(
        self,
        config: Config,
        program: Sequence[str],
        environ: Mapping[str, str],
        say: Say,
        counts: Mapping[str, int] = ONE_OF_EACH,
    ) -> None:
        """`program` is the command that runs `coordctl`, to which its arguments are added.

        `counts` says how many instances there are of a service, where it is not one.
        """
        self._config = config
        self._counts = counts
        self._program = program
        self._environ = environ
        self._say = say
        self._servers = Servers(config, say)
        self._children: dict[str, Child] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._state: State | None = None

    async def run(self, stop: asyncio.Event, up: Callable[[State], None]) -> None:
        """Start, tell `up` when everything is ready, keep it so until told to stop, and stop."""
        data = self._config.data
        make_data_dir(data)
        lock = await _locked(data)
        reading, writing = os.pipe()  # the children hold the end that is read: it ends with this process
        try:
            for pid in await asyncio.to_thread(end_services, data):
                self._say(NAME, f"ended process {pid}, which an earlier run had left")
            doors = await self._servers.start()
            await asyncio.to_thread(refuse_newer, doors.database_url, MIGRATIONS)
            self._start_children(doors, reading)
            await self._until_ready(stop)
            if not stop.is_set():
                up(self._write_state(doors))
                await self._keep(stop)
        finally:
            await self._stop()
            os.close(writing)
            os.close(reading)
            State.remove(data)
            lock.release()

    def _start_children(self, doors: Doors, life_fd: int) -> None:
        port = self._config.http_port or usual_port(self._config.data / PORT_FILE)
        self._http_url = f"http://127.0.0.1:{port}"
        environ = {
            **self._environ,
            "COORD_DATABASE_URL": doors.database_url,
            "COORD_NATS_URL": self._nats_url(doors),
            "COORD_HTTP_PORT": str(port),
        }
        if monitor := self._servers.nats_monitor_url():
            environ["COORD_NATS_MONITOR_URL"] = monitor
        for name, service in instances(self._counts).items():
            command = [*self._program, *service_arguments(self._config.data, service)]
            child = Child(name, command, environ | self._credentials(service), life_fd, self._say)
            self._children[name] = child
            self._keeping.append(asyncio.create_task(child.run(self._changed)))

    def _nats_url(self, doors: Doors) -> str:
        """As the operator gave it if it says who knocks; each service has a key of its own otherwise."""
        return doors.nats_url if has_login(self._config.nats_url or "") else address_of(doors.nats_url)

    def _credentials(self, service: str) -> dict[str, str]:
        """What names a service's own seed, and no other, where there is one and NATS wants no password."""
        if has_login(self._config.nats_url or ""):
            return {}
        own = Registry(self._config.data).seed_path(f"{SERVICE_PREFIX}{service}")
        return {"COORD_CREDENTIALS": str(own)} if own.exists() else {}

    async def _until_ready(self, stop: asyncio.Event) -> None:
        """Wait until every service is ready or we are told to stop. Raises StartFailed."""
        ready = asyncio.gather(*(child.ready.wait() for child in self._children.values()))
        told = asyncio.create_task(stop.wait())
        watched: set[asyncio.Future[Any]] = {ready, told, *self._keeping}
        done, _ = await asyncio.wait(watched, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if ready in done or stop.is_set():
            return
        ready.cancel()
        for ended in done:
            ended.result()  # raises what nobody expected
        late = ", ".join(name for name, child in self._children.items() if not child.ready.is_set())
        why = f"{late} crashed again and again" if done else f"{late} not ready in {READY_TIMEOUT_S:.0f} s"
        raise StartFailed(why=why)

    async def _keep(self, stop: asyncio.Event) -> None:
        """Watch over everything until told to stop; the children look after themselves, or are given up."""
        told = asyncio.create_task(stop.wait())
        watching = asyncio.create_task(self._servers.watch(stop, self._changed))
        pending: set[asyncio.Future[Any]] = {told, watching, *self._keeping}
        while not stop.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()  # raises what nobody expected
        await watching

    async def _stop(self) -> None:
        """The writers finish what they have, the relay publishes it, then everything else ends."""
        try:
            if self._children:
                self._say(NAME, "stopping")
                await _stop_all(self._instances("writer"))
                await self._drain_relay()
            await _stop_all(self._children.values())
            await asyncio.gather(
                *self._keeping, return_exceptions=True
            )  # an error of theirs is on its way up
        finally:
            self._state = None  # nobody may find it from here on
            await self._servers.stop()
        self._say(NAME, "stopped")

    async def _drain_relay(self) -> None:
        """Wait until the relays have published the whole log, or cannot."""
        from services.health import standing  # loads the client of NATS, which only the end of a run needs

        if self._state is None or all(relay.pid is None for relay in self._instances("relay")):
            return
        left = await standing.unpublished(self._state.database_url, self._state.nats_door, RELAY_TIMEOUT_S)
        if left:
            self._say(NAME, f"{left}; the relay goes on from there at the next start")

    def _instances(self, service: str) -> list[Child]:
        return [child for name, child in self._children.items() if service_of(name) == service]

    def _write_state(self, doors: Doors) -> State:
        credentials = credentials_of(doors.nats_url)
        self._state = State(
            pid=os.getpid(),
            created=processes.created(os.getpid()) or 0.0,
            database_url=doors.database_url,
            nats_url=address_of(doors.nats_url),
            credentials=None if credentials is None else str(credentials),
            http_url=self._http_url,
            services=self._pids(),
            started_at=datetime.now(UTC),
        )
        self._state.save(self._config.data)
        return self._state

    def _changed(self) -> None:
        """A process may have come or gone: let everyone find the ones there are."""
        if self._state is None or (pids := self._pids()) == self._state.services:
            return
        state = msgspec.structs.replace(self._state, services=pids)
        try:
            state.save(self._config.data)
        except OSError as error:
            self._say(NAME, f"cannot note which processes there are ({error}); trying again")
            return
        self._state = state

    def _pids(self) -> dict[str, int]:
        services = {name: child.pid for name, child in self._children.items() if child.pid is not None}
        return {**self._servers.pids(), **services}


async def _stop_all(children: Iterable[Child]) -> None:
    await asyncio.gather(*(child.stop(STOP_TIMEOUT_S) for child in children))


def usual_port(path: Path) -> int:
    """The gateway's port of the last time if it is still free, so that bookmarks stay good; else another."""
    address = path.read_text() if path.exists() else ""
    if not re.fullmatch(rf"{HOST}:[0-9]{{1,5}}", address) or not is_free(address):
        address = free_addresses()[0]
        write_private(path, address.encode())
    return int(address.rpartition(":")[2])


async def _locked(data: Path) -> DirectoryLock:
    """The lock, ours. Whoever only looks whether it is held has it for a moment, so look twice."""
    lock = up_lock(data)
    for _ in range(LOCK_ATTEMPTS):
        with suppress(DataDirInUse):
            lock.acquire()
            return lock
        await asyncio.sleep(LOCK_RETRY_S)
    lock.acquire()
    return lock


def up_lock(data: Path) -> DirectoryLock:
    """Held by the one supervisor of a data directory."""
    return DirectoryLock(data / "up.lock", "`coordctl up`")
