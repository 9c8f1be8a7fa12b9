"""The database as backups use it: whole transactions over the log, and errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from services.log.database import connect, unavailable

Connection = psycopg.Connection[TupleRow]


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """A connection in autocommit; what befalls it is raised as LogUnavailable, or LogFull."""
    try:
        with connect(url) as connection:
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise unavailable(error) from error


def exists(connection: Connection, table: str) -> bool:
    """Whether there is a table of this name, which is written with its schema."""
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)
