"""The system that is tried: `coordctl up` on a data directory of its own, and where it stands.

Starts and stops the system; asks Postgres and JetStream.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.config import State
from services.doors import reports
from services.errors import Unavailable
from services.health import standing
from services.roster import service_of
from services.supervisor.temporary import temporary_system

UP = ("--writers", "2", "--relays", "2")
VERIFY_TIMEOUT_S = 1_800.0
LOG_TAIL_LINES = 30


class Site:
    """A running system. What may be away raises what it raises; callers wait."""

    def __init__(self, data: Path, program: Sequence[str], environ: Mapping[str, str]) -> None:
        self.data = data
        self._command = [*program, "--data", str(data)]
        self._environ = environ
        state = self._state()
        self.nats_url = state.nats_door
        self.database_url = state.database_url

    def pids(self) -> dict[str, int]:
        """The processes that the supervisor says there are, servers included."""
        return self._state().services

    def instances(self, service: str) -> dict[str, int]:
        """The pids of a service's instances by their names."""
        return {name: pid for name, pid in self.pids().items() if service_of(name) == service}

    async def working(self, service: str) -> list[int]:
        """The pids of a service's instances that say that they work, and do not stand by."""
        async with standing.connected(self.nats_url) as nats:
            found = await reports.gather(nats)
        pids = {int(report.instance.rpartition(":")[2]): report for report in found}
        ours = self.instances(service).values()
        return [pid for pid in ours if pid in pids and pids[pid].working]

    async def head(self) -> int:
        """The position of the last event in the log."""
        return (await asyncio.to_thread(standing.look, self.database_url)).head

    async def projected(self) -> int:
        """The position that all read models have reached."""
        found = (await asyncio.to_thread(standing.look, self.database_url)).projected
        return found.position if found else 0

    async def relayed(self) -> int:
        """The position of the last event in the stream."""
        async with standing.connected(self.nats_url) as nats:
            return await standing.relayed(nats)

    async def verified(self) -> list[dict[str, Any]]:
        """The checks of `coordctl verify`. Raises Unavailable if it cannot be run."""
        process = await asyncio.create_subprocess_exec(
            *self._command, "verify", "--json", env=self._environ, stdout=subprocess.PIPE
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), VERIFY_TIMEOUT_S)
            checks: list[dict[str, Any]] = json.loads(output)["checks"]
        except (TimeoutError, ValueError) as error:
            raise Unavailable(what="`coordctl verify`", why=str(error) or "it took too long") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return checks

    def log_tail(self) -> str:
        """The last that supervisor and services said."""
        path = self.data / "up.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def disk_bytes(self) -> int:
        """How much room the data directory takes now."""
        total = 0
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = Path(folder, name)
                total += path.lstat().st_size if path.exists() else 0
        return total

    def _state(self) -> State:
        state = State.load(self.data)
        if state is None:
            raise Unavailable(what="The system", why="`coordctl up` has ended")
        return state


@contextmanager
def running_site(
    program: Sequence[str], environ: Mapping[str, str], up: Sequence[str] = UP
) -> Iterator[Site]:
    """Start everything afresh in a temporary directory, by `program`, and leave nothing behind."""
    with temporary_system(program, environ, up) as started:
        yield Site(started.data, program, started.environ)
