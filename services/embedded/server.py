"""What the embedded servers share: one child process with a log, and the lock that makes it the only one.

Starts and stops processes; writes the log and the lock file it is given.
"""

import fcntl
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.errors import CoordError
from services import processes
from services.embedded.owner import Owner

LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_TAIL_BYTES = 2_000


class ServerFailed(CoordError):
    code = "server_failed"
    says = "{server} did not start: {why}. Its log is {log}."
    retryable = True


class DataDirInUse(CoordError):
    code = "data_dir_in_use"
    says = "Another coordctl already runs {server} on {directory}; use it, or choose another data directory."


class ServerProcess:
    """A server as our direct child, in a session of its own: Ctrl-C at the terminal does not reach it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self.is_running() else None

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, command: Sequence[str | Path], owner: Owner | None = None) -> None:
        """Start the server, as `owner` if given (which takes root), its output appended to the log."""
        if self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"LC_ALL": "C"},  # our environment may hold secrets and settings meant for others
                umask=0o077,
                start_new_session=True,
                **as_owner(owner),
            )
        finally:
            os.close(log)

    def stop(self, gently: signal.Signals, timeout_s: float) -> None:
        """End the server, gently if it goes in time; returns when it is gone."""
        if self._child is None:
            return
        if self.is_running():
            self._child.send_signal(gently)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(processes.KILL_TIMEOUT_S)
        self._child = None

    def failed(self, why: str) -> ServerFailed:
        """The error that says why, with the end of the log among its facts."""
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""
        return ServerFailed(server=self.name, why=why, log=str(self.log), tail=tail)


class DirectoryLock:
    """Held while a server of ours runs on a directory; the kernel releases it however we end."""

    def __init__(self, path: Path, server: str) -> None:
        self._path = path
        self._server = server
        self._file: int | None = None

    def is_held(self) -> bool:
        """Whether we hold it."""
        return self._file is not None

    def acquire(self) -> None:
        if self._file is not None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise DataDirInUse(server=self._server, directory=str(self._path.parent)) from error
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def as_owner(owner: Owner | None) -> dict[str, Any]:
    """The arguments that make a subprocess run as this account and with no other group."""
    if owner is None or owner.uid == os.geteuid():
        return {}
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []}
