"""The system under test: `coordctl up` on a data directory of its own, and what its processes show."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event
from time import perf_counter

import psutil  # type: ignore[import-untyped]  # psutil ships no types
import psycopg
from psycopg.rows import TupleRow

from services.access.permissions import ECHO
from services.access.registry import Registry
from services.bus.connection import connect
from services.config import State, address_of, signed
from services.embedded.reload import reload_users
from services.errors import Unavailable
from services.relay.relay import STREAM
from services.supervisor.temporary import temporary_system

SETTLE_TIMEOUT_S = 120.0
SAMPLE_S = 0.05

_HEAD = "SELECT coalesce(max(notification_id), 0) FROM coord.events"
_PROJECTED = "SELECT coalesce(min(position), 0) FROM coord.projections"


class System:
    """A running system: its doors, its processes, its positions, and its command line."""

    def __init__(self, data: Path, state: State, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.data = data
        self._state = state
        self._command = command
        self._environ = environ
        self.nats_url = state.nats_door
        self.database_url = state.database_url

    def rss_bytes(self, service: str) -> int:
        return int(psutil.Process(self._state.services[service]).memory_info().rss)

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Hold a service still for a while."""
        pid = self._state.services[service]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def kill(self, service: str) -> None:
        """End a service at once; the supervisor starts it again, and then it has another process."""
        os.kill(self._state.services[service], signal.SIGKILL)

    def connect(self) -> psycopg.Connection[TupleRow]:
        return psycopg.connect(self.database_url, autocommit=True)

    def positions(self, connection: psycopg.Connection[TupleRow]) -> tuple[int, int]:
        """The head of the log, and the position that all read models have reached."""
        (head,) = connection.execute(_HEAD).fetchone() or (0,)
        (projected,) = connection.execute(_PROJECTED).fetchone() or (0,)
        return head, projected

    async def run(self, *arguments: str, timeout_s: float) -> bytes:
        """What a command of this system prints. Raises Unavailable if it fails or takes too long."""
        name = f"`coordctl {' '.join(arguments)}`"
        process = await asyncio.create_subprocess_exec(
            *self._command, *arguments, env=self._environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError as error:
            raise Unavailable(what=name, why=f"it took more than {timeout_s:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise Unavailable(what=name, why=f"it ended with {process.returncode}: {output.decode().strip()}")
        return output

    async def relayed(self, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Wait until the stream holds every event there is now. Raises Unavailable if it never does."""
        nats = await connect(self.nats_url, "bench-stream")
        try:
            with self.connect() as connection:
                (events,) = connection.execute("SELECT count(*) FROM coord.events").fetchone() or (0,)
                until = perf_counter() + timeout_s
                while perf_counter() < until:
                    if (await nats.jetstream().stream_info(STREAM)).state.messages >= events:
                        return
                    await asyncio.sleep(SAMPLE_S)
        finally:
            await nats.close()
        raise Unavailable(what="The relay", why="it did not catch up")

    async def settled(self, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Wait until the read models have caught up. Raises Unavailable if they never do."""
        with self.connect() as connection:
            until = perf_counter() + timeout_s
            while perf_counter() < until:
                head, projected = self.positions(connection)
                if projected >= head:
                    return
                await asyncio.sleep(SAMPLE_S)
        raise Unavailable(what="The projector", why="it did not catch up")


@contextmanager
def running_system(program: Sequence[str], environ: Mapping[str, str]) -> Iterator[System]:
    """Start everything afresh in a temporary directory, by `program`, and leave nothing behind."""
    with temporary_system(program, environ) as started:
        state = State.load(started.data)
        assert state is not None
        yield System(started.data, state, started.command, started.environ)


@contextmanager
def running_echo(system: System) -> Iterator[str]:
    """The bare transport beside the real services; yields where to ask it, as an identity of its own."""
    _, seed = Registry(system.data).enroll(ECHO, "service", [])
    reload_users(system.data)
    nats_url = signed(address_of(system.nats_url), seed)
    environment = {**os.environ, "COORD_NATS_URL": nats_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.bench.echo"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield nats_url
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def lag_sampled(system: System) -> AsyncIterator[list[float]]:
    """While the body runs, sample how old (s) the newest event is that the read models do not have yet."""
    lags: list[float] = []
    done = Event()
    sampler = asyncio.create_task(asyncio.to_thread(_sample, system, lags, done))
    try:
        yield lags
    finally:
        done.set()
        await sampler


def _sample(system: System, lags: list[float], done: Event) -> None:
    """A lag is the time since the head of the log was first seen past what is projected now."""
    heads: list[tuple[float, int]] = []
    with system.connect() as connection:
        while not done.is_set():
            head, projected = system.positions(connection)
            now = perf_counter()
            heads.append((now, head))
            while heads and heads[0][1] <= projected:
                heads.pop(0)
            lags.append(now - heads[0][0] if heads else 0.0)
            connection.execute("SELECT pg_sleep(%s)", (SAMPLE_S,))
