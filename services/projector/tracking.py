"""How far each projection has come, and which table serves it: the table `coord.projections`.

Whoever writes the rows of a projection holds the lock of its tracking row, and moves its position in the same
transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from domain.errors import CoordError
from projections.framework import Projection
from services.log.database import lock_number
from services.projector.fold_code import fold_code
from services.projector.marks import MARKS_TABLES
from services.projector.tables import SCHEMA, Connection, Table

PROJECTED = "coord_projected"
"""The channel that is notified when positions have moved."""

_SET_UP_LOCK = "coord.projections"

_TABLE = """
CREATE TABLE IF NOT EXISTS coord.projections (
    name text PRIMARY KEY,
    version int NOT NULL,
    table_name text NOT NULL,
    position bigint NOT NULL,
    code text NOT NULL
)
"""
_ADD_CODE = "ALTER TABLE coord.projections ADD COLUMN IF NOT EXISTS code text NOT NULL DEFAULT ''"


class ProjectionChanged(CoordError):
    """Rows of the old shape would be mixed with rows of the new one."""

    code = "projection_changed"
    says = (
        "The fields of projection {projection} differ from its table's; raise its version to have it rebuilt."
    )


class NoReadModels(CoordError):
    code = "no_read_models"
    says = "The database has no read models yet; a projector creates them, so start one."


class UnknownProjection(CoordError):
    code = "unknown_projection"
    says = "There is no projection {projection}; `projection list` shows those there are."


class Tracked(Struct, frozen=True, kw_only=True):
    """A projection as it stands: its table holds the events up to the position, as `code` folds them."""

    name: str
    version: int
    table_name: str
    position: int
    code: str

    def is_of(self, projection: Projection[Any]) -> bool:
        """Whether the table is what this process would have built."""
        return self.version == projection.version and self.code == fold_code()


def set_up(connection: Connection, projections: Iterable[Projection[Any]]) -> None:
    """Create what is missing: the tracking table; a new projection's table, view and tracking row."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number(_SET_UP_LOCK),))
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(SCHEMA)))
        for statement in (_TABLE, _ADD_CODE, *MARKS_TABLES):
            connection.execute(statement)
        known = tracked(connection)
        for projection in projections:
            if (current := known.get(projection.name)) is None:
                _create(connection, projection)
            elif current.is_of(projection):
                _check(connection, projection, current)


def tracked(
    connection: Connection, names: Sequence[str] | None = None, *, lock: bool = False
) -> dict[str, Tracked]:
    """The projections there are, or those of these names; `lock` holds them until the transaction ends."""
    names = None if names is None else list(names)
    statement = SQL(
        "SELECT name, version, table_name, position, code FROM coord.projections"
        " WHERE %(names)s::text[] IS NULL OR name = ANY(%(names)s) ORDER BY name {}"
    ).format(SQL("FOR UPDATE" if lock else ""))
    with connection.cursor(row_factory=class_row(Tracked)) as cursor:
        try:
            return {row.name: row for row in cursor.execute(statement, {"names": names})}
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise NoReadModels from error  # none of this code: a projector makes them


def reached(connection: Connection, projection: Projection[Any]) -> int | None:
    """Where the projection stands, if its table was built by this code."""
    try:
        with connection.transaction():
            found = tracked(connection, [projection.name]).get(projection.name)
    except NoReadModels:
        return None
    return found.position if found is not None and found.is_of(projection) else None


def advance(connection: Connection, names: Sequence[str], position: int) -> None:
    """Move these projections on, and wake those who wait for it, when the transaction commits."""
    connection.execute(
        "UPDATE coord.projections SET position = %s WHERE name = ANY(%s)", (position, list(names))
    )
    connection.execute(SQL("NOTIFY {}").format(Identifier(PROJECTED)))


def repoint(connection: Connection, projection: Projection[Any], table: Table[Any]) -> None:
    """Serve the projection from another table, which holds the events up to the same position."""
    connection.execute(
        "UPDATE coord.projections SET version = %s, table_name = %s, code = %s WHERE name = %s",
        (projection.version, table.name, fold_code(), projection.name),
    )
    _show(connection, projection, table)


def _check(connection: Connection, projection: Projection[Any], current: Tracked) -> None:
    if not Table(projection, current.table_name).fits(connection):
        raise ProjectionChanged(projection=projection.name)


def _create(connection: Connection, projection: Projection[Any]) -> None:
    table = Table(projection, f"{projection.name}_v{projection.version}")
    table.create(connection)
    table.create_indexes(connection)
    _show(connection, projection, table)
    connection.execute(
        "INSERT INTO coord.projections (name, version, table_name, position, code)"
        " VALUES (%s, %s, %s, 0, %s)",
        (projection.name, projection.version, table.name, fold_code()),
    )


def _show(connection: Connection, projection: Projection[Any], table: Table[Any]) -> None:
    """Let readers find the projection's rows in this table from now on."""
    served = Table(projection, projection.name)
    for view, found in ((served.identifier, table.identifier), (served.past, table.past)):
        connection.execute(SQL("DROP VIEW IF EXISTS {}").format(view))
        connection.execute(SQL("CREATE VIEW {} AS SELECT * FROM {}").format(view, found))
