"""What tests of services start from."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.log.event_log import EventLog


@contextmanager
def opened_log(url: str) -> Iterator[EventLog]:
    """The log of a database, made if there is none."""
    log = EventLog(url)
    log.create_tables()
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def log(database_url: str) -> Iterator[EventLog]:
    """An empty log, for this test alone."""
    with opened_log(database_url) as log:
        yield log
