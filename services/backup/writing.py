"""Making a backup: the log as it is at one moment, while it goes on being written.

Reads the log in one transaction, event by event, and writes the file it is given. It holds a block of the
file, and a few hundred bytes for each project.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from typing import BinaryIO

import msgspec
from msgspec import Struct
from psycopg import IsolationLevel

from services.backup.blocks import BlockWriter
from services.backup.contents import (
    EVENTS,
    FORKS,
    HEADER,
    PROJECTS,
    Chains,
    End,
    Forked,
    Header,
    Kept,
    line_of,
)
from services.backup.database import Connection, exists, opened
from services.log.codec import Codec, Row
from services.log.database import LogMissing
from services.log.lineage import READ_MARKS, read_lineage
from services.log.migrations import MIGRATIONS, applied, missing
from services.log.tail import HEAD
from services.log.transfer import Advance

ADVANCE_EVENTS = 4_096

_EVENTS = """
COPY (
    SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
    ORDER BY notification_id
) TO STDOUT (FORMAT BINARY)
"""
_COLUMNS = ("int8", "text", "int8", "text", "bytea")
_FORKS = "SELECT DISTINCT originator_id FROM coord.events WHERE topic = 'project.forked@1' ORDER BY 1"

_encode = msgspec.json.Encoder().encode


Begun = Callable[[Header], Advance]
"""Given what a file will hold, returns what is told how many positions were gone through since last told."""


class Backup(Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    header: Header
    projects: list[Kept]
    events: int


def write_backup(url: str, codec: Codec, file: BinaryIO, now: datetime, begun: Begun) -> Backup:
    """Write the whole log.

    Raises LogMissing, LogUnavailable, DataNewer, or BrokenLog if the file would be refused.
    """
    with _snapshot(url) as connection:
        header = _header(connection, now)
        advance = begun(header)
        writer, chains = BlockWriter(file), Chains(codec)
        writer.add(HEADER, _encode(header))
        for fork in _forks(connection):
            chains.expect(fork)
            writer.add(FORKS, _encode(fork))
        position = 0
        for row in _events(connection):
            chains.take(row)
            writer.add(EVENTS, line_of(row))
            if chains.events % ADVANCE_EVENTS == 0:
                advance(row[0] - position)
                position = row[0]
        advance(header.head - position)
    projects = [*chains.kept()]
    for kept in projects:
        writer.add(PROJECTS, _encode(kept))
    writer.end(_encode(End(events=chains.events, projects=len(projects))))
    return Backup(header=header, projects=projects, events=chains.events)


@contextmanager
def _snapshot(url: str) -> Iterator[Connection]:
    """A transaction that sees the log as it was when it began, and changes nothing."""
    with opened(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            yield connection


def _header(connection: Connection, now: datetime) -> Header:
    if not exists(connection, "coord.events"):
        raise LogMissing(why="there is no table coord.events")
    missing(connection, MIGRATIONS)  # which refuses data that are newer
    had = applied(connection)
    ((head,),) = connection.execute(HEAD).fetchall()
    return Header(head=head, schema=had[-1].number if had else 1, made_at=now, coordctl=version("coordctl"))


def _forks(connection: Connection) -> list[Forked]:
    """The projects that begin in the middle of another's stream."""
    found: list[Forked] = []
    for (project,) in connection.execute(_FORKS).fetchall():
        lineage = read_lineage(
            project, lambda stream: connection.execute(READ_MARKS, {"stream": stream}).fetchall()
        )
        if len(lineage.streams) > 1:  # else it was imported, and has the origin's events itself
            before = lineage.streams[-2]
            found.append(Forked(project=project, stream=before.stream, sequence=before.last))
    return found


def _events(connection: Connection) -> Iterator[Row]:
    with connection.cursor() as cursor, cursor.copy(_EVENTS) as copy:
        copy.set_types(_COLUMNS)
        yield from copy.rows()
