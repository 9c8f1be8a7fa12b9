"""Starting, finding and ending the supervisor of a data directory from another process."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # psutil ships no types

from domain.errors import CoordError
from services.config import Config, State
from services.embedded.owner import make_data_dir
from services.embedded.server import DataDirInUse
from services.supervisor.leftovers import end_servers, end_services
from services.supervisor.supervisor import StartFailed, up_lock

LOG_FILE = "up.log"
LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_TAIL_LINES = 15
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0
POLL_S = 0.05


class StillRunning(CoordError):
    code = "still_running"
    says = "The supervisor, process {pid}, has not ended within {timeout_s:.0f} s; see {log}, or kill it."
    retryable = True


def running(data: Path) -> State | None:
    """The state of the `up` that runs on this data directory; None if there is none."""
    state = State.load(data)
    return state if state is not None and state.is_running() else None


def find(data: Path, timeout_s: float = START_TIMEOUT_S) -> State | None:
    """The `up` that runs on this data directory, waited for while it is starting; None if there is none."""
    deadline = time.monotonic() + timeout_s
    while (state := running(data)) is None and _is_locked(data):
        if time.monotonic() > deadline:
            raise StartFailed(why=f"another `coordctl up` has not got ready within {timeout_s:.0f} s")
        time.sleep(POLL_S)
    return state


def detach(
    config: Config, program: Sequence[str], environ: Mapping[str, str], counts: Mapping[str, int]
) -> State:
    """Start `up` as a process of its own, with so many instances of services; returns when all are ready.

    Raises StartFailed.
    """
    make_data_dir(config.data)
    path = config.data / LOG_FILE
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.replace(path.with_name(f"{LOG_FILE}.1"))
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    said_before = os.fstat(log).st_size
    try:
        child = subprocess.Popen(
            [*program, "--data", str(config.data), "up", *_options(counts)],
            env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)
    deadline = time.monotonic() + START_TIMEOUT_S
    while child.poll() is None:
        state = running(config.data)
        if state is not None and state.pid == child.pid:
            return state
        if time.monotonic() > deadline:
            child.send_signal(signal.SIGTERM)
            raise StartFailed(why=f"it was not ready within {START_TIMEOUT_S:.0f} s, its log is {path}")
        time.sleep(POLL_S)
    if state := find(config.data):
        return state  # another was quicker
    said = path.read_bytes()[said_before:].decode(errors="replace")
    tail = "\n".join(said.splitlines()[-LOG_TAIL_LINES:])
    raise StartFailed(why=f"it ended at once, and the end of its log {path} is:\n{tail}\n")


def down(data: Path) -> bool:
    """End the `up` of this data directory, and what a killed one left; whether there was anything to end."""
    state = find(data)
    if state is None:
        return bool(end_services(data) + end_servers(data))
    try:
        supervisor = psutil.Process(state.pid)
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait(STOP_TIMEOUT_S)
    except psutil.NoSuchProcess:
        pass  # it ended by itself
    except psutil.TimeoutExpired as error:
        raise StillRunning(pid=state.pid, timeout_s=STOP_TIMEOUT_S, log=data / LOG_FILE) from error
    return True


def _options(counts: Mapping[str, int]) -> list[str]:
    return [f"--{service}s={count}" for service, count in counts.items()]


def _is_locked(data: Path) -> bool:
    if not data.exists():
        return False
    lock = up_lock(data)
    try:
        lock.acquire()
    except DataDirInUse:
        return True
    lock.release()
    return False
