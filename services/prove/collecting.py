"""What is there when all is over: the log by plain SQL, the stream by a plain consumer, the tables' rows.

Reads Postgres and JetStream with nothing of coordctl's own reading code; writes the folder of evidence.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psycopg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from services.bus.connection import connect
from services.prove.evidence import LOG, ROWS, STREAM, Lines, Logged, Streamed, ViewRow, write_lines

VIEWS = ("queue", "agents", "handoffs")
FETCH_MESSAGES = 1_000
FETCH_TIMEOUT_S = 10.0
READ_ROWS = 5_000

_LOG = """
SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
ORDER BY notification_id
"""
_TABLE = "SELECT table_name FROM coord.projections WHERE name = %s"


def collect_log(database_url: str, folder: Path) -> int:
    """Returns how many events there are."""
    with psycopg.connect(database_url) as connection:
        return write_lines(folder / LOG, _log(connection))


def collect_rows(database_url: str, folder: Path) -> int:
    """Returns how many rows there are."""
    with psycopg.connect(database_url) as connection:
        return write_lines(folder / ROWS, _rows(connection))


async def collect_stream(nats_url: str, folder: Path) -> int:
    """Returns how many messages there are."""
    count = 0
    (folder / STREAM).unlink(missing_ok=True)
    with Lines(folder / STREAM) as lines:
        async for message in _stream(nats_url):
            lines.add(message)
            count += 1
    return count


def _log(connection: psycopg.Connection[TupleRow]) -> Iterator[Logged]:
    decode = msgspec.json.Decoder(dict).decode
    with connection.cursor("events") as cursor:
        cursor.itersize = READ_ROWS
        for position, project, sequence, topic, state in cursor.execute(_LOG):
            yield Logged(
                position=position, project=project, sequence=sequence, topic=topic, body=decode(state)
            )


def _rows(connection: psycopg.Connection[TupleRow]) -> Iterator[ViewRow]:
    for view in VIEWS:
        ((table,),) = connection.execute(_TABLE, (view,)).fetchall()
        with connection.cursor(view) as cursor:
            cursor.itersize = READ_ROWS
            query = SQL("SELECT to_jsonb(t) FROM {} t").format(Identifier("coord", str(table)))
            for (row,) in cursor.execute(query):
                yield ViewRow(view=view, row=row)


async def _stream(nats_url: str) -> AsyncIterator[Streamed]:
    client = await connect(nats_url, "prove-stream")
    decode = msgspec.json.Decoder(dict).decode
    try:
        jetstream = client.jetstream()
        last = (await jetstream.stream_info("COORD_EVENTS")).state.last_seq
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True,
            inactive_threshold=60.0,
        )  # fmt: skip
        messages = await jetstream.pull_subscribe("coord.*.evt.>", stream="COORD_EVENTS", config=config)
        sequence = 0
        while sequence < last:
            wanted = min(FETCH_MESSAGES, last - sequence)  # for more the client would wait in vain
            for message in await messages.fetch(wanted, timeout=FETCH_TIMEOUT_S):
                headers = message.headers or {}
                sequence = message.metadata.sequence.stream
                yield Streamed(
                    stream_sequence=sequence,
                    subject=message.subject,
                    position=int(headers.get("Coord-Position", 0)),
                    project_sequence=int(headers.get("Coord-Sequence", 0)),
                    previous=int(headers.get("Coord-Previous", -1)),
                    body=decode(message.data),
                )
    finally:
        with suppress(NatsError):
            await client.close()
