"""Marks in the log: positions at which rows can be read later, because they are kept when they change.

A mark costs nothing when it is made: what it keeps are the rows that change after it, each once. It is a cut
through all projections, so no batch of any of them may straddle it. Checkpoints are marks, and so is what
forks and restores stand on. It touches the tables `coord.checkpoints` and `coord.layers`.
"""

from msgspec import Struct

from services.projector.layers import LAYERS_TABLE
from services.projector.tables import Connection

MARKS_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS coord.checkpoints (
        position bigint PRIMARY KEY,
        cut_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    LAYERS_TABLE,
    """
    CREATE OR REPLACE VIEW coord.marks AS
    SELECT position FROM coord.checkpoints UNION ALL SELECT mark FROM coord.layers
    """,
)


class Marks(Struct, frozen=True):
    """The last mark at or before a position, 0 if there is none; and the next one after it, if any."""

    last: int
    next: int | None


def marks_around(connection: Connection, position: int) -> Marks:
    found = connection.execute(
        "SELECT coalesce((SELECT max(position) FROM coord.marks WHERE position <= %(position)s), 0),"
        " (SELECT min(position) FROM coord.marks WHERE position > %(position)s)",
        {"position": position},
    ).fetchone()
    assert found is not None  # a SELECT without FROM has one row
    return Marks(*found)


def mark(connection: Connection, position: int) -> None:
    """Make a checkpoint where the foremost projections stand; the caller holds their tracking rows."""
    connection.execute(
        "INSERT INTO coord.checkpoints (position) VALUES (%s) ON CONFLICT DO NOTHING", (position,)
    )
