"""Brings a database to the schema of this program, one migration and one transaction at a time.

Writes `coord.migrations`, and what the migrations themselves say.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.rows import class_row, tuple_row

from domain.errors import CoordError
from services.log.database import connect, lock_number
from services.log.migrations.migration import Migration

LOCK = "coord.events"
LOCK_TIMEOUT_S = 60

_THERE = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'coord' AND tablename = 'migrations')"
"""By a query, because a session remembers for a while that a table was not there when it asked by name."""

_APPLIED = "SELECT number, name, applied_at, coordctl FROM coord.migrations ORDER BY number"
_TABLE = """
CREATE TABLE IF NOT EXISTS coord.migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    coordctl text NOT NULL
)
"""
_NOTE = "INSERT INTO coord.migrations (number, name, coordctl) VALUES (%s, %s, %s)"

Connection = psycopg.Connection[Any]


class DataNewer(CoordError):
    """Going on would read and write tables that this program does not know."""

    code = "data_newer"
    says = (
        "The data have schema {found}, and this coordctl knows none after {known}; run coordctl {by} or a"
        " later one. Nothing was changed."
    )


class Applied(Struct, frozen=True, kw_only=True):
    """A migration that a database has had; `coordctl` is the version of the program that applied it."""

    number: int
    name: str
    applied_at: datetime
    coordctl: str


def applied(connection: Connection) -> list[Applied]:
    """What the database has had, in order; nothing if it is empty, or older than migrations are."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        if cursor.execute(_THERE).fetchone() != (True,):
            return []
    with connection.cursor(row_factory=class_row(Applied)) as cursor:
        return cursor.execute(_APPLIED).fetchall()


def missing(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """What the database has not had yet, in order. Raises DataNewer."""
    had = applied(connection)
    if had and had[-1].number > migrations[-1].number:
        raise DataNewer(found=had[-1].number, known=migrations[-1].number, by=had[-1].coordctl)
    last = had[-1].number if had else 0
    return [each for each in migrations if each.number > last]


def refuse_newer(url: str, migrations: Sequence[Migration]) -> None:
    """Return unless the database has answered that its data are newer. Raises DataNewer."""
    with suppress(psycopg.OperationalError), connect(url) as connection:  # services wait for one that is away
        missing(connection, migrations)


def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply what is missing, and return it; many may do so at once, and each is applied once.

    `connection` is in autocommit. Raises DataNewer, or psycopg's LockNotAvailable after a minute.
    """
    done: list[Migration] = []
    while missing(connection, migrations):
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number(LOCK),))
            for migration in missing(connection, migrations)[:1]:  # another may have been quicker
                _apply(connection, migration)
                done.append(migration)
    return done


def _apply(connection: Connection, migration: Migration) -> None:
    for statement in migration.statements:
        connection.execute(statement)
    connection.execute(_TABLE)
    connection.execute(_NOTE, (migration.number, migration.name, version("coordctl")))
