"""Servers for the tests: real ones, embedded, on free ports and in folders of their own, gone afterwards."""

import shutil
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from services.access.keys import new_seed, public_key
from services.access.users import User
from services.config import signed
from services.embedded import EmbeddedNats, EmbeddedPostgres
from services.files import write_private
from tests.needs import only_with_their_files, without_gaps


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "beside(path): a test of a file that is no part of the project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    only_with_their_files(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return without_gaps((yield))


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


class OpenNats(EmbeddedNats):
    """Lets in one guest more, who may do everything."""

    def __init__(self, data: Path) -> None:
        self._seed = data.absolute() / "guest.nk"
        if not self._seed.exists():
            write_private(self._seed, new_seed().encode())
        super().__init__(data, [User(public_key(self._seed.read_text()))])

    @property
    def url(self) -> str:
        return signed(self.address, self._seed)


@contextmanager
def running_nats(folder: Path) -> Iterator[EmbeddedNats]:
    """A server whose `url` is that of a guest who may do everything, so that tests can be any service."""
    server = OpenNats(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
