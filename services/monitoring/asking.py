"""A connection to Postgres for figures: nothing it asks takes long, and all of it is of one moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from services.log.database import connect
from services.projector.tables import Connection

STATEMENT_TIMEOUT_MS = 3_000
READING_TIMEOUT_S = 10.0
"""For all questions of one reading; what is not answered by then is told by the next one that is quicker."""

Rows = list[dict[str, Any]]


@contextmanager
def asking(database_url: str) -> Iterator[Connection]:
    """A snapshot that changes nothing."""
    with connect(database_url, impatient=True) as connection:
        connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        connection.execute("SET timezone = 'UTC'")
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection


def rows(connection: psycopg.Connection[Any], query: Any, parameters: Any = None) -> Rows:
    """The result of a query, each row by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()
