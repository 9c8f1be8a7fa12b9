"""Proof that the read models are what the log says: tables against a replay, row for row, field by field.

The rows of a project that was forked or restored are those that it reads through its layers.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct
from psycopg import IsolationLevel
from psycopg.sql import SQL, Literal

from projections.framework import Key, Projection
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.layers import Layers, read_layers, rows_of
from services.projector.tables import Connection, Table, connected
from services.projector.tracking import Tracked, UnknownProjection, tracked
from services.reading.replay import Rows, replay

REPORTED_DIFFERENCES = 20


class Difference(Struct, frozen=True, kw_only=True):
    """Where a table and the replay disagree.

    Without a field, the whole row is on one side only; without a key, the table is of another version.
    """

    projection: str
    key: Key | None = None
    field: str | None = None
    table: Any = None
    replayed: Any = None


def verify(
    log: EventLog,
    codec: Codec,
    url: str,
    projections: Sequence[Projection[Any]],
    *,
    limit: int = REPORTED_DIFFERENCES,
) -> list[Difference]:
    """The first differences between the tables and a replay to exactly their positions; none: all is well."""
    with connected(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            standing = _pin(connection, projections)
            return list(islice(_differences(log, codec, connection, projections, standing), limit))


def _pin(connection: Connection, projections: Sequence[Projection[Any]]) -> dict[str, Tracked]:
    """Where the projections stand in this snapshot; their tables stay until the transaction ends."""
    standing = tracked(connection, [projection.name for projection in projections])
    for projection in projections:
        if projection.name not in standing:
            raise UnknownProjection(projection=projection.name)
        table = Table(projection, standing[projection.name].table_name)
        connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table.identifier))
    return standing


def _differences(
    log: EventLog,
    codec: Codec,
    connection: Connection,
    projections: Sequence[Projection[Any]],
    standing: dict[str, Tracked],
) -> Iterator[Difference]:
    layers = read_layers(connection)
    for position in sorted({each.position for each in standing.values()}):
        together = [each for each in projections if standing[each.name].position == position]
        replayed = replay(log, codec, together, None, position)
        for projection in together:
            found = standing[projection.name]
            if found.version != projection.version:
                yield Difference(projection=projection.name, table=found.version, replayed=projection.version)
            else:
                table = Table(projection, found.table_name)
                yield from _compare(connection, table, layers.until(position), replayed[projection.name])


def _compare(
    connection: Connection, table: Table[Any], layers: Layers, replayed: Rows
) -> Iterator[Difference]:
    projection = table.projection
    for row in _rows(connection, table, layers):
        key = projection.key_of(row)
        expected = replayed.pop(key, None)
        if expected is None:
            yield Difference(projection=projection.name, key=key, table=row)
        elif row != expected:
            for name in projection.row.__struct_fields__:
                here, there = getattr(row, name), getattr(expected, name)
                if here != there:
                    yield Difference(
                        projection=projection.name, key=key, field=name, table=here, replayed=there
                    )
    for key, expected in replayed.items():
        yield Difference(projection=projection.name, key=key, replayed=expected)


def _rows(connection: Connection, table: Table[Any], layers: Layers) -> Iterator[Any]:
    """What every project has, one after the other if it stands on layers."""
    layered = layers.projects()
    plain = SQL("(SELECT * FROM {} WHERE project <> ALL({}::text[]))")
    sources = [plain.format(table.identifier, Literal(layered))]
    sources += [rows_of(table, layers, project) for project in layered]
    for source in sources:
        yield from table.scan(connection, source=source)
