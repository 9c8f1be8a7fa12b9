"""Where everything stands: the end of the log, and how far the relay and the projector are behind it.

For monitoring, `status`, and an orderly shutdown. Reads Postgres and JetStream, and changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import BadRequestError, NotFoundError
from psycopg.rows import TupleRow

from domain.errors import CoordError
from services.bus.connection import connect as connect_nats
from services.log.database import check_room, connect, in_a_line
from services.relay.relay import POSITION, STREAM

QUERY_TIMEOUT_MS = 3_000
JETSTREAM_TIMEOUT_S = 2.0
POLL_S = 0.05

_HEAD = "SELECT coalesce(max(notification_id), 0) FROM coord.events"
_FIRST_AFTER = "SELECT state FROM coord.events WHERE notification_id > %s ORDER BY notification_id LIMIT 1"
_PROJECTED = "SELECT name, position FROM coord.projections ORDER BY name"


class Lag(Struct, frozen=True):
    """How far something is behind the log: positions, and the age of the oldest event it has not handled."""

    position: int
    events: int
    seconds: float


class Standing(Struct, frozen=True, kw_only=True):
    """What the database tells; `full` is what it says if its disk has no room, else empty."""

    head: int
    projections: dict[str, Lag]
    full: str = ""

    @property
    def projected(self) -> Lag | None:
        """The projection furthest behind; None if there is none yet."""
        return min(self.projections.values(), key=lambda lag: lag.position, default=None)


class _Stamp(Struct):
    at: datetime


_stamp = msgspec.json.Decoder(_Stamp)

Connection = psycopg.Connection[TupleRow]


def look(database_url: str) -> Standing:
    """What the database tells now; of tables that do not exist yet, nothing."""
    with _asking(database_url) as connection:
        return Standing(
            head=_head(connection),
            projections={
                name: _lag(connection, position) for name, position in _rows(connection, _PROJECTED)
            },
            full=_full(connection),
        )


def lag_of(database_url: str, position: int) -> Lag:
    """How far whoever has handled this position is behind."""
    with _asking(database_url) as connection:
        return _lag(connection, position)


async def relayed(nats: Client) -> int:
    """The position of the last event in the stream; 0 if there is none."""
    jetstream = nats.jetstream(timeout=JETSTREAM_TIMEOUT_S)
    try:  # by its sequence: by subjects the server would go through all that it knows
        info = await jetstream.stream_info(STREAM)
        message = await jetstream.get_msg(STREAM, info.state.last_seq)
    except (NotFoundError, BadRequestError):  # no stream, or nothing in it
        return 0
    position = (message.headers or {}).get(POSITION, "0")
    return int(position) if position.isdecimal() else 0


async def unpublished(database_url: str, nats_url: str, timeout_s: float) -> str:
    """Wait until the whole log is in the stream; empty when it is, else what is missing after the time."""
    position, head = 0, 0
    try:
        async with asyncio.timeout(timeout_s), connected(nats_url) as nats:
            head = (await asyncio.to_thread(look, database_url)).head
            while (position := await relayed(nats)) < head:  # noqa: ASYNC110  # another process moves it
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return f"the stream ends at position {position}, the log at {head}"
    except (CoordError, NatsError, psycopg.Error) as error:
        return f"how far the relay has come cannot be told ({error})"
    return ""


@asynccontextmanager
async def connected(nats_url: str) -> AsyncIterator[Client]:
    """A connection for a few questions."""
    nats = await connect_nats(nats_url, "coordctl-standing")
    try:
        yield nats
    finally:
        await nats.close()


@contextmanager
def _asking(database_url: str) -> Iterator[Connection]:
    """A connection that waits for no answer longer than it may."""
    with connect(database_url, impatient=True) as connection:
        connection.execute(f"SET statement_timeout = {QUERY_TIMEOUT_MS}")
        yield connection


def _full(connection: Connection) -> str:
    try:
        check_room(connection)
    except psycopg.errors.DiskFull as error:
        return error.diag.message_primary or in_a_line(error)
    return ""


def _head(connection: Connection) -> int:
    rows = _rows(connection, _HEAD)
    return int(rows[0][0]) if rows else 0


def _lag(connection: Connection, position: int) -> Lag:
    events = max(_head(connection) - position, 0)
    rows = connection.execute(_FIRST_AFTER, (position,)).fetchall() if events else []
    if not rows:
        return Lag(position, 0, 0.0)
    age = datetime.now(UTC) - _stamp.decode(rows[0][0]).at
    return Lag(position, events, max(age.total_seconds(), 0.0))


def _rows(connection: Connection, query: str) -> list[Any]:
    try:
        return connection.execute(query).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
