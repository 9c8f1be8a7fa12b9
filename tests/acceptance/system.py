"""A whole system as its operator has it: `coordctl` as real processes on a data directory of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # psutil ships no types

from services.config import State

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND_TIMEOUT_S = 90
WAIT_S = 20
POLL_S = 0.05


class System:
    """`coordctl` on one data directory."""

    def __init__(self, data: Path, **variables: str) -> None:
        self.data = data
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COORD_")}
        self.environ = {**inherited, "PYTHONPATH": str(ROOT), "COORD_DATA": str(data), **variables}

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command prints; its exit code must be as said."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            capture_output=True, text=True, check=False, env=self.environ, timeout=COMMAND_TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}{self.log}"
        )
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environ,
        )  # fmt: skip

    @property
    def log(self) -> str:
        path = self.data / "up.log"
        return path.read_text() if path.exists() else ""

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.data / "state.json").read_text())
        return state

    @property
    def nats_url(self) -> str:
        """With the local operator's credentials, for `connect`."""
        state = State.load(self.data)
        assert state is not None
        return state.nats_door

    def pid(self, service: str) -> int | None:
        pid: int | None = self.state["services"].get(service)
        return pid

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on the data directory: by its command line, or by where it stands."""
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            known = [*process.cmdline(), process.cwd()]
            return process.status() != psutil.STATUS_ZOMBIE and any(str(self.data) in text for text in known)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


@contextmanager
def running(data: Path, **variables: str) -> Iterator[System]:
    """A system that is up; afterwards nothing of it is left, whatever the test did to it."""
    system = System(data, **variables)
    try:
        system.run("up", "--detach")
        yield system
    finally:
        system.run("down")
        left = system.processes()
        for process in left:
            process.kill()
        assert not left


def eventually(holds: Callable[[], object], what: str, wait_s: float = WAIT_S) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {wait_s} s: {what}"
        time.sleep(POLL_S)
