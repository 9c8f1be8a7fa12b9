"""What tests of the Python client start from."""

from collections.abc import Iterator

import pytest

from services.embedded import EmbeddedPostgres
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.sdk.services import Services, serving


@pytest.fixture(scope="module")
def system(postgres_server: EmbeddedPostgres) -> Iterator[Services]:
    """One system for the tests of a file; each uses a project of its own."""
    with (
        temporary_data() as folder,
        running_nats(folder) as nats,
        temporary_database(postgres_server) as url,
        serving(url, nats, folder) as services,
    ):
        yield services
