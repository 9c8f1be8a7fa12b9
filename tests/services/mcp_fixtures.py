"""One running system for all tests of MCP in this process: they name this module in `pytest_plugins`."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from services.config import Doors
from services.embedded import EmbeddedPostgres
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.services.hosted import hosted_in_a_thread
from tests.services.mcp_site import Site


@pytest.fixture(scope="session")
def site(postgres_server: EmbeddedPostgres) -> Iterator[Site]:
    with temporary_data() as folder, running_nats(folder) as nats, temporary_database(postgres_server) as url:
        doors = Doors(database_url=url, nats_url=nats.url)
        with hosted_in_a_thread(doors, data=folder) as port:
            yield Site(doors, port, folder)


@pytest.fixture
def project() -> str:
    return f"p{uuid4().hex[:12]}"
