"""The embedded servers: start, crash, start again, and leave nothing behind."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from nats.aio.client import Client

from services.access.keys import new_seed
from services.bus.connection import connect as connect_nats
from services.config import signed
from services.embedded import EmbeddedNats, EmbeddedPostgres
from services.embedded.owner import DataDirInHome, DataDirUnreachable
from services.embedded.server import DataDirInUse, ServerFailed
from services.errors import NotAuthorized
from services.files import write_private

Server = EmbeddedPostgres | EmbeddedNats

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="the rule is for root, who lends the server an account"
)


@pytest.fixture
def postgres(data: Path) -> Iterator[EmbeddedPostgres]:
    """A database server of the test's own, to be killed."""
    server = EmbeddedPostgres(data)
    server.start()
    yield server
    server.stop()


def kill(server: Server) -> None:
    """End the server as a crash would; returns when it is gone."""
    assert server.pid is not None
    process = psutil.Process(server.pid)
    process.kill()
    process.wait(10)


def processes_on(data: Path) -> list[psutil.Process]:
    """Every process that has this data directory on its command line or stands in it."""
    found = []
    for process in psutil.process_iter():
        try:
            mentions = any(str(data) in argument for argument in process.cmdline())
            if mentions or process.cwd().startswith(str(data)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end(left: list[psutil.Process]) -> None:
    """Kill what a failed test would leave running."""
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


async def connect(url: str) -> Client:
    return await connect_nats(url, "test")


async def publish(url: str, subject: str, payload: bytes) -> None:
    client = await connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=[subject])
    await stream.publish(subject, payload)
    await client.close()


async def last_message(url: str, subject: str) -> bytes | None:
    client = await connect(url)
    message = await client.jetstream().get_last_msg("KEPT", subject)
    await client.close()
    return message.data


def test_postgres_keeps_committed_rows_and_its_url_through_a_kill(postgres: EmbeddedPostgres) -> None:
    before = postgres.url
    query(before, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    with closing(psycopg.connect(before)) as session:  # an open one must not hold up the next start
        session.execute("SELECT 1")
        kill(postgres)
        assert not postgres.is_running()
        postgres.start()
    assert postgres.url == before
    assert query(postgres.url, "SELECT count(*) FROM kept") == [(1000,)]


def test_postgres_started_anew_on_its_data_is_the_same_server(postgres: EmbeddedPostgres, data: Path) -> None:
    query(postgres.url, "CREATE TABLE kept AS SELECT 7 AS n")
    postgres.stop()
    again = EmbeddedPostgres(data)
    again.start()
    try:
        assert again.url == postgres.url
        assert query(again.url, "SELECT n FROM kept") == [(7,)]
    finally:
        again.stop()


def test_postgres_offers_vectors_and_is_durable(database_url: str) -> None:
    query(database_url, "CREATE EXTENSION vector")
    assert query(database_url, "SELECT '[1,2]'::vector <-> '[1,4]'::vector") == [(2.0,)]
    assert query(database_url, "SHOW fsync") == [("on",)]
    assert query(database_url, "SHOW synchronous_commit") == [("on",)]


def test_postgres_is_reachable_through_a_private_socket_alone(postgres: EmbeddedPostgres) -> None:
    assert query(postgres.url, "SHOW listen_addresses") == [("",)]
    folder = Path(str(query(postgres.url, "SHOW unix_socket_directories")[0][0]))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert psutil.Process(postgres.pid).net_connections("inet") == []


def test_postgres_is_no_part_of_the_terminal_group(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid is not None
    assert os.getsid(postgres.pid) != os.getsid(0)
    assert psutil.Process(postgres.pid).ppid() == os.getpid()


def test_postgres_works_where_the_path_is_too_long_for_a_socket(data: Path) -> None:
    server = EmbeddedPostgres(data / ("d" * 120))
    server.start()
    try:
        before = server.url
        socket_dir = Path(str(query(before, "SHOW unix_socket_directories")[0][0]))
        kill(server)
        server.start()
        assert server.url == before
        server.stop()
        assert not socket_dir.exists()
        server.start()
        assert server.url == before
        assert query(server.url, "SELECT 1") == [(1,)]
    finally:
        server.stop()
    assert not socket_dir.exists()


ORPHAN = """
import os, sys
from pathlib import Path
from services.embedded import {kind}
server = {kind}(Path(sys.argv[1]))
server.start()
print(server.url, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedNats])
def test_a_server_whose_supervisor_was_killed_is_replaced(kind: Callable[[Path], Server], data: Path) -> None:
    script = ORPHAN.format(kind=kind.__name__)  # type: ignore[attr-defined]  # a class, seen as a callable
    root = Path(__file__).parents[2]
    died = subprocess.run(
        [sys.executable, "-c", script, str(data)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        timeout=90,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    orphans = processes_on(data)
    assert orphans
    server = kind(data)
    server.start()
    try:
        assert server.url == died.stdout.strip()
        assert not any(orphan.is_running() for orphan in orphans)
    finally:
        server.stop()
        end(orphans)


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedNats])
def test_nothing_is_left_running_after_stop(kind: Callable[[Path], Server], data: Path) -> None:
    server = kind(data)
    server.start()
    assert processes_on(data)
    server.stop()
    assert processes_on(data) == []
    assert not server.is_running()
    assert server.pid is None
    server.stop()  # once more is no error


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedNats])
def test_a_running_server_is_left_alone_by_a_second_owner(kind: Callable[[Path], Server], data: Path) -> None:
    first, second = kind(data), kind(data)
    first.start()
    try:
        with pytest.raises(DataDirInUse):
            second.start()
        second.stop()
        assert first.is_running()
    finally:
        first.stop()
        end(processes_on(data))


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedNats])
def test_only_the_owner_may_read_the_files(kind: Callable[[Path], Server], data: Path) -> None:
    server = kind(data)
    server.start()
    server.stop()
    for path in data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in data.glob("nats/*.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@as_root
def test_root_is_refused_a_home_directory() -> None:
    data = Path(pwd.getpwuid(0).pw_dir) / f"coord-test-{uuid.uuid4().hex}"
    try:
        with pytest.raises(DataDirInHome, match="home directory"):
            EmbeddedPostgres(data).start()
        assert not data.exists()
    finally:
        shutil.rmtree(data, ignore_errors=True)  # there only if the rule was broken


@as_root
def test_a_closed_parent_is_named_and_stays_closed(data: Path) -> None:
    closed = data / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(DataDirUnreachable, match=str(closed)):
        EmbeddedPostgres(closed / "inner").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_postgres_never_runs_as_root(postgres: EmbeddedPostgres) -> None:
    ids = psutil.Process(postgres.pid).uids()
    assert 0 not in (ids.real, ids.effective, ids.saved)
    assert psutil.Process(postgres.pid).gids().effective != 0


def test_a_damaged_cluster_is_reported_with_the_place_of_the_log(data: Path) -> None:
    server = EmbeddedPostgres(data)
    server.start()
    server.stop()
    (data / "postgres" / "global" / "pg_control").write_bytes(b"nonsense")
    with pytest.raises(ServerFailed, match=r"postgres\.log") as refused:
        server.start()
    assert "pg_control" in refused.value.facts["tail"]
    assert processes_on(data) == []


def test_nats_keeps_messages_and_its_url_through_a_kill(fresh_nats: EmbeddedNats) -> None:
    before = fresh_nats.url
    asyncio.run(publish(before, "kept", b"hello"))
    kill(fresh_nats)
    assert not fresh_nats.is_running()
    fresh_nats.start()
    assert fresh_nats.url == before
    assert asyncio.run(last_message(fresh_nats.url, "kept")) == b"hello"


def test_nats_started_anew_on_its_data_has_the_same_url(fresh_nats: EmbeddedNats, data: Path) -> None:
    fresh_nats.stop()
    again = EmbeddedNats(data)
    again.start()
    try:
        assert again.address == fresh_nats.address
    finally:
        again.stop()


def test_nats_moves_to_another_port_when_a_stranger_took_its_own(fresh_nats: EmbeddedNats) -> None:
    before = fresh_nats.url
    fresh_nats.stop()
    host, port = fresh_nats.address.removeprefix("nats://").split(":")
    with socket.create_server((host, int(port))):
        fresh_nats.start()
        assert fresh_nats.url != before
        asyncio.run(publish(fresh_nats.url, "kept", b"still works"))


def test_nats_turns_away_whoever_has_no_key_that_it_knows(fresh_nats: EmbeddedNats, data: Path) -> None:
    stranger = data / "stranger.nk"
    write_private(stranger, new_seed().encode())
    for url in (fresh_nats.address, signed(fresh_nats.address, stranger)):
        with pytest.raises(NotAuthorized, match="COORD_CREDENTIALS"):
            asyncio.run(connect(url))


def test_nats_of_an_earlier_version_has_keys_after_its_next_start(
    fresh_nats: EmbeddedNats, data: Path
) -> None:
    fresh_nats.stop()
    conf = data / "nats" / "server.conf"
    old = json.loads(conf.read_text()) | {"authorization": {"user": "coordctl", "password": "old"}}
    conf.write_text(json.dumps(old))
    address = fresh_nats.address
    fresh_nats.start()
    assert fresh_nats.address == address
    assert "old" not in conf.read_text()
    asyncio.run(publish(fresh_nats.url, "kept", b"still works"))
    with pytest.raises(NotAuthorized):
        asyncio.run(connect(f"nats://coordctl:old@{address.removeprefix('nats://')}"))


def test_nats_listens_on_loopback_alone(fresh_nats: EmbeddedNats) -> None:
    listening = [c for c in psutil.Process(fresh_nats.pid).net_connections("inet") if c.status == "LISTEN"]
    assert listening
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
