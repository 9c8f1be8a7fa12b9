"""Checkpoints: where a replay may begin instead of at the first event. They are only a cache.

A replay reads the rows as they were at the last checkpoint before its point and folds the rest, so it costs
the same whatever the size of the history. Giving checkpoints up changes no answer. It touches
`coord.checkpoints` and the rows that were kept for checkpoints.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from psycopg.sql import SQL

from domain.errors import CoordError
from projections.framework import Projection
from services.marks import mark
from services.tables import Connection, Table
from services.tracking import Tracked, tracked

CHECKPOINT_EVENTS = 4_000
"""How far checkpoints lie apart: about as many events are folded in the time that their rows are read."""

_LOCK_TIMEOUT_S = 5
"""How long the projector is waited for, which holds its place while it writes a batch."""

_LIST = """
SELECT position, cut_at, state FROM coord.checkpoints LEFT JOIN LATERAL (
    SELECT state FROM coord.events WHERE notification_id <= position ORDER BY notification_id DESC LIMIT 1
) AS last ON true ORDER BY position
"""
_MEASURE = SQL("SELECT (SELECT count(*) FROM {past}), pg_total_relation_size({name}::regclass)")
_LOG_BYTES = "SELECT pg_total_relation_size('coord.events')"
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


class NothingProjected(CoordError):
    code = "nothing_projected"
    says = "There is nothing to cut a checkpoint of: no event has been projected yet."
    retryable = True


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A cut through all read models right after the event at this position, which happened `at` this time."""

    position: int
    at: datetime | None
    cut_at: datetime


class Kept(Struct, frozen=True, kw_only=True):
    """What time travel keeps beside the rows as they are: the rows as they were, and their size."""

    rows: int
    bytes: int
    log_bytes: int

    @property
    def share(self) -> float:
        """Their size as a part of the log's."""
        return self.bytes / self.log_bytes


def checkpoints(connection: Connection) -> list[Checkpoint]:
    """All there are, the oldest first. Raises NoReadModels."""
    tracked(connection)
    return [
        Checkpoint(position=position, at=_stamp(state).at if state else None, cut_at=cut_at)
        for position, cut_at, state in connection.execute(_LIST)
    ]


def kept(connection: Connection, projections: Sequence[Projection[Any]]) -> Kept:
    """What is kept now, for checkpoints and for what forks and restores stand on. Raises NoReadModels."""
    standing = tracked(connection, [each.name for each in projections])
    rows = size_bytes = 0
    for table in _tables(projections, standing):
        found = connection.execute(_MEASURE.format(past=table.past, name=table.past.as_string())).fetchone()
        assert found is not None  # a SELECT without FROM has one row
        rows, size_bytes = rows + found[0], size_bytes + found[1]
    log = connection.execute(_LOG_BYTES).fetchone()
    assert log is not None
    return Kept(rows=rows, bytes=size_bytes, log_bytes=log[0])


def cut(connection: Connection, projections: Sequence[Projection[Any]]) -> Checkpoint:
    """Cut a checkpoint now. Raises NotTogether while some are behind others, or NothingProjected."""
    with connection.transaction():
        standing = _locked(connection, projections)
        front = max((each.position for each in standing.values()), default=0)
        if not front:
            raise NothingProjected
        for each in standing.values():
            if each.position != front:
                raise NotTogether(projection=each.name, position=each.position, front=front)
        mark(connection, front)
        return next(each for each in checkpoints(connection) if each.position == front)


def prune(connection: Connection, projections: Sequence[Projection[Any]], positions: Collection[int]) -> int:
    """Give up these checkpoints and the rows that only they kept; returns how many rows that were.

    What forks and restores stand on stays. The projector is held up only while the checkpoints go: the rows,
    which nobody reads then, take longer.
    """
    with connection.transaction():
        standing = _locked(connection, projections)
        connection.execute("DELETE FROM coord.checkpoints WHERE position = ANY(%s)", (list(positions),))
    gone = 0
    for projection in projections:
        served = Table(projection, projection.name)
        gone += connection.execute(_FORGET.format(past=served.past)).rowcount
    for table in _tables(projections, standing):
        with suppress(psycopg.errors.UndefinedTable):  # a rebuild has put another in its place
            connection.execute(SQL("VACUUM {}").format(table.past))
    return gone


def _locked(connection: Connection, projections: Sequence[Projection[Any]]) -> dict[str, Tracked]:
    """Where the projections stand; they stay there until the transaction ends."""
    connection.execute(SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_TIMEOUT_S}s"))
    return tracked(connection, [each.name for each in projections], lock=True)


def _tables(projections: Sequence[Projection[Any]], standing: dict[str, Tracked]) -> list[Table[Any]]:
    return [Table(each, standing[each.name].table_name) for each in projections if each.name in standing]


class _Stamp(Struct):
    at: datetime


_stamp = msgspec.json.Decoder(_Stamp).decode
