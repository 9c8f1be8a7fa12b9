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
from psycopg.sql import SQL, Composed

from domain.errors import CoordError
from projections.framework import Projection
from services.projector.marks import mark
from services.projector.tables import Connection, Table
from services.projector.tracking import Tracked, tracked

CHECKPOINT_EVENTS = 4_000
"""How far checkpoints lie apart: about as many events are folded in the time that their rows are read."""

_LOCK_TIMEOUT_S = 5
"""How long the projector is waited for, which holds its place while it writes a batch."""

_LIST = """
SELECT position, cut_at, state FROM coord.checkpoints LEFT JOIN LATERAL (
    SELECT state FROM coord.events WHERE notification_id <= position ORDER BY notification_id DESC LIMIT 1
) AS last ON true ORDER BY position
"""
_COUNT = SQL("SELECT count(*) FROM {}")
_SIZE = SQL("SELECT pg_total_relation_size({}::regclass)")
_LOG = "coord.events"
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
    tables = [table.past for table in _tables(projections, standing)]
    return Kept(
        rows=sum(_number(connection, _COUNT.format(past)) for past in tables),
        bytes=sum(_number(connection, _SIZE.format(past.as_string())) for past in tables),
        log_bytes=_number(connection, _SIZE.format(_LOG)),
    )


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

    What forks and restores stand on stays. The projector is held up while the checkpoints go, and while a
    table of which most rows went is written anew, to give their space back.
    """
    with connection.transaction():
        standing = _locked(connection, projections)
        connection.execute("DELETE FROM coord.checkpoints WHERE position = ANY(%s)", (list(positions),))
    connection.execute(SQL("SET lock_timeout = {}").format(f"{_LOCK_TIMEOUT_S}s"))
    gone = sum(_forget(connection, table) for table in _tables(projections, standing))
    connection.execute("RESET lock_timeout")
    return gone


def _forget(connection: Connection, table: Table[Any]) -> int:
    """Remove the rows that no mark needs, which nobody reads any more; returns how many that were."""
    served = Table(table.projection, table.projection.name)  # it stands for whichever table is served
    gone = connection.execute(_FORGET.format(past=served.past)).rowcount
    left = _number(connection, _COUNT.format(served.past))
    # What else is reading the table, or has replaced it, matters more than the space.
    with suppress(psycopg.errors.UndefinedTable, psycopg.errors.LockNotAvailable):
        how = SQL("VACUUM (FULL) {}" if gone > left else "VACUUM {}")
        connection.execute(how.format(table.past))
    return gone


def _number(connection: Connection, statement: Composed) -> int:
    found = connection.execute(statement).fetchone()
    assert found is not None  # a count has one row, and so has a SELECT without FROM
    return int(found[0])


def _locked(connection: Connection, projections: Sequence[Projection[Any]]) -> dict[str, Tracked]:
    """Where the projections stand; they stay there until the transaction ends."""
    connection.execute(SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_TIMEOUT_S}s"))
    return tracked(connection, [each.name for each in projections], lock=True)


def _tables(projections: Sequence[Projection[Any]], standing: dict[str, Tracked]) -> list[Table[Any]]:
    return [Table(each, standing[each.name].table_name) for each in projections if each.name in standing]


class _Stamp(Struct):
    at: datetime


_stamp = msgspec.json.Decoder(_Stamp).decode
