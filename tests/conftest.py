"""Servers for the tests: real ones, embedded, on free ports and in folders of their own, gone afterwards."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from services.embedded import EmbeddedNats, EmbeddedPostgres


@contextmanager
def temporary_data() -> Iterator[Path]:
    """A data directory that the database's account can reach (as root, pytest's are closed to it)."""
    folder = Path(tempfile.mkdtemp(prefix="coord-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def data() -> Iterator[Path]:
    """An empty data directory."""
    with temporary_data() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for the whole run; tests use a `database_url` of their own on it."""
    with temporary_data() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[EmbeddedNats]:
    """One nats-server for the whole run; its streams are everyone's, see `fresh_nats`."""
    with temporary_data() as folder, running_nats(folder) as server:
        yield server


@pytest.fixture
def fresh_nats(data: Path) -> Iterator[EmbeddedNats]:
    """A nats-server for this test alone: no streams yet, and free to be killed and started again."""
    with running_nats(data) as server:
        yield server


@pytest.fixture
def nats_url(nats_server: EmbeddedNats) -> str:
    return nats_server.url


@contextmanager
def temporary_database(server: EmbeddedPostgres) -> Iterator[str]:
    """An empty database on a server, by its URL."""
    name = f"test_{uuid.uuid4().hex}"
    admin = server.url_of("postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield server.url_of(name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """An empty database for this test alone."""
    with temporary_database(postgres_server) as url:
        yield url


@contextmanager
def running_nats(folder: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
