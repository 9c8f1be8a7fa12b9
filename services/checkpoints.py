"""Checkpoints: where a replay may begin instead of at the first event. They are only a cache.

A replay reads the rows as they were at the last checkpoint before its point and folds the rest, so it costs
the same whatever the size of the history. Giving checkpoints up changes no answer. It touches
`coord.checkpoints` and the rows that were kept for checkpoints.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg.rows import class_row
from psycopg.sql import SQL

from domain.errors import CoordError
from projections.framework import Projection
from services.marks import mark
from services.tables import Connection, Table
from services.tracking import tracked

CHECKPOINT_EVENTS = 4_000
"""How far checkpoints lie apart: about as many events are folded in the time that their rows are read."""

_LIST = "SELECT position, cut_at FROM coord.checkpoints ORDER BY position"
_FORGET = SQL(
    "DELETE FROM {past} p WHERE NOT EXISTS"
    " (SELECT FROM coord.marks m WHERE p._since <= m.position AND m.position < p._until)"
)


class NotTogether(CoordError):
    code = "not_together"
    says = (
        "A checkpoint cannot be cut now: {projection} stands at {position} and others at {front}. Try again"
        " when the projector has caught up."
    )
    retryable = True


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A cut through all read models right after the event at this position."""

    position: int
    cut_at: datetime


def checkpoints(connection: Connection) -> list[Checkpoint]:
    """All there are, the oldest first."""
    with connection.cursor(row_factory=class_row(Checkpoint)) as cursor:
        return cursor.execute(_LIST).fetchall()


def cut(connection: Connection, projections: Sequence[Projection[Any]]) -> Checkpoint:
    """Cut a checkpoint now. Raises NotTogether while some projections are behind others."""
    with connection.transaction():
        standing = tracked(connection, [each.name for each in projections], lock=True)
        front = max((each.position for each in standing.values()), default=0)
        for each in standing.values():
            if each.position != front:
                raise NotTogether(projection=each.name, position=each.position, front=front)
        mark(connection, front)
        return next(each for each in checkpoints(connection) if each.position == front)


def prune(connection: Connection, projections: Sequence[Projection[Any]], positions: Collection[int]) -> int:
    """Give up these checkpoints and the rows that only they kept; returns how many rows that were.

    What forks and restores stand on stays.
    """
    with connection.transaction():
        standing = tracked(connection, [each.name for each in projections], lock=True)
        connection.execute("DELETE FROM coord.checkpoints WHERE position = ANY(%s)", (list(positions),))
        tables = [
            Table(each, standing[each.name].table_name) for each in projections if each.name in standing
        ]
        return sum(connection.execute(_FORGET.format(past=table.past)).rowcount for table in tables)
