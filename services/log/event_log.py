"""The log: every event there ever was, in order, in the table `coord.events` of a Postgres database.

It is `eventsourcing`'s classic recorder with inserts of our own. Appends hold a lock on the table, so
positions become visible in their order and no reader skips one; holes do occur (a failed append burns
positions). The primary key (project, sequence) is the fence between two writers: the later batch fails whole.

An append is one call of the function `coord.append_events`, so one round trip: lock, column arrays, NOTIFY
with the last position, ids. Measured with fsync on, events/s at 1, 10, 100, 1000 per call, on two cores, the
statements alone: function 3,900 / 26,000 / 92,000 / 137,000; the same in a pipeline 1,700 / 14,700 / 72,000 /
135,000; a bare `INSERT … unnest` without a lock 4,000 / 25,000 / 94,000 / 131,000. Through `append`: 2,900 /
22,000 / 77,000 / 107,000.

A project's events are numbered through forks: those that a fork has from its origin are read in the origin's
stream, under the fork's name and at their own positions. They stand before the fork's own, as positions go.

Touches its table and function, advisory locks, and the notification channel `coord_events`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from msgspec import Struct
from psycopg.rows import DictRow, dict_row, tuple_row

from domain.errors import UnknownSequence
from domain.lineage import END, Lineage, Segments
from services.log.appending import append_events
from services.log.codec import Row
from services.log.database import (
    ImpatientConnection,
    LogConflict,
    LogFull,
    LogMissing,
    LogUnavailable,
    check_room,
    connect,
    in_a_line,
    lock_number,
    parameters,
    unavailable,
)
from services.log.lineage import READ_MARKS, read_lineage
from services.log.migrations import MIGRATIONS, migrate
from services.log.tail import CHANNEL, HEAD, LogTail
from services.sharing.leadership import Leadership

__all__ = [
    "EventLog",
    "Leadership",
    "LogConflict",
    "LogFull",
    "LogMissing",
    "LogTail",
    "LogUnavailable",
    "UnknownSequence",
    "lock_number",
]

SCHEMA = "coord"
TABLE = "events"

_POOL_CONNECTIONS = 2
_POOL_TIMEOUT_S = 4.0
LAST_POSITION = 2**63 - 1
_READ_EVENTS = 10_000
MAX_READ_BYTES = 16 * 2**20
"""Of events' bodies, in one read: it ends with the event that goes beyond."""

_LAST_SEQUENCE = "SELECT coord.last_sequence(%s, %s::bigint, %s::bigint, %s::bigint)"

_READ = f"""
SELECT notification_id, originator_id, originator_version, topic, state FROM (
    SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
        WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s
    ) AS found
) AS measured WHERE bytes < {MAX_READ_BYTES} + octet_length(state) ORDER BY notification_id
"""

_READ_STREAM = f"""
SELECT notification_id, originator_id, originator_version, topic, state FROM (
    SELECT *, sum(octet_length(state)) OVER (ORDER BY originator_version ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
        WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s
        AND notification_id <= %s ORDER BY originator_version LIMIT %s
    ) AS found
) AS measured WHERE bytes < {MAX_READ_BYTES} + octet_length(state) ORDER BY originator_version
"""

_READ_AT = """
SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
WHERE originator_id = %s AND originator_version = ANY(%s::bigint[]) ORDER BY originator_version
"""

_LAST_AT = """
SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
WHERE originator_id = %s AND originator_version <= %s ORDER BY originator_version DESC LIMIT 1
"""

_PROJECTS = """
WITH RECURSIVE project (name) AS (
    (SELECT originator_id FROM coord.events ORDER BY originator_id LIMIT 1)
    UNION ALL
    SELECT (SELECT originator_id FROM coord.events WHERE originator_id > name ORDER BY originator_id LIMIT 1)
    FROM project WHERE name IS NOT NULL
)
SELECT name FROM project WHERE name IS NOT NULL
"""

_MISSING = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
)


class EventLog(PostgresApplicationRecorder):
    """Appends and reads events; safe to use from several threads. Nothing is retried."""

    def __init__(self, url: str, *, pool_connections: int = _POOL_CONNECTIONS) -> None:
        super().__init__(_Datastore(url, pool_connections), events_table_name=TABLE)
        self.url = url
        self.channel_name = CHANNEL
        self._tail = LogTail(url)

    def create_tables(self) -> None:
        """Bring the log's tables to the schema of this program, however long that takes; many may do it at
        once. Raises DataNewer.
        """
        try:
            with connect(self.url) as connection:
                migrate(connection, MIGRATIONS)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise unavailable(error) from error

    def create_table(self) -> None:
        self.create_tables()

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        """Write all of the events or none, and return their positions, in the same order."""
        if not events:
            return []
        with self._connection() as connection:
            return append_events(connection, events)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        return self.append(stored_events)

    def read(
        self, after: int, limit_events: int, *, until: int | None = None, project: str | None = None
    ) -> list[Row]:
        """The events that follow a position, in order, none past `until`; of all projects or of one.

        They are fewer than there are when their bodies have MAX_READ_BYTES together, as in every read below.
        """
        last = LAST_POSITION if until is None else until
        if project is not None:
            return self.read_project(project, self.sequence_at(project, after), last, limit_events)
        return self._fetch(_READ, (after, last, limit_events))

    def read_project(
        self,
        project: str,
        after_sequence: int,
        until_position: int = LAST_POSITION,
        limit_events: int = _READ_EVENTS,
    ) -> list[Row]:
        """A project's events that follow a sequence, in order, none past the position.

        They are all that ever happened, also what a restore took back.
        """
        segments = self.lineage(project).raw()
        return self.read_segments(project, segments, after_sequence, limit_events, until_position)

    def read_history(
        self,
        project: str,
        after_sequence: int,
        until_position: int = LAST_POSITION,
        limit_events: int = _READ_EVENTS,
    ) -> list[Row]:
        """The events after a sequence of those that made a project's state at the position, in order.

        What was taken back by then is left out; what was taken back only later is not.
        """
        lineage = self.lineage(project)
        last = self.sequence_at(project, until_position) if lineage.restores else END
        segments = lineage.effective(last)
        return self.read_segments(project, segments, after_sequence, limit_events, until_position)

    def read_segments(
        self,
        project: str,
        segments: Segments,
        after_sequence: int,
        limit_events: int,
        until_position: int = LAST_POSITION,
    ) -> list[Row]:
        """The events of these segments that follow a sequence, in order, none past the position."""
        rows: list[Row] = []
        for segment in segments:
            after = max(segment.first - 1, after_sequence)
            if after < segment.last and not is_full(rows, limit_events):
                bounds = (after, segment.last, until_position, limit_events - len(rows))
                found = self._fetch(_READ_STREAM, (segment.stream, *bounds))
                rows += _named(project, segment.stream, found)
        return rows

    def read_at(self, project: str, sequences: Sequence[int]) -> list[Row]:
        """A project's events of these sequences, in order; those that do not exist are left out."""
        rows: list[Row] = []
        for each in self.lineage(project).streams:
            wanted = [sequence for sequence in sequences if each.first <= sequence <= each.last]
            if wanted:
                rows += _named(project, each.stream, self._fetch(_READ_AT, (each.stream, wanted)))
        return rows

    def lineage(self, project: str) -> Lineage:
        """In which streams a project's events stand, and what its restores took back, as of now."""
        return read_lineage(project, lambda stream: self._fetch(READ_MARKS, {"stream": stream}))

    def head(self) -> int:
        """The position of the last event; 0 if there is none."""
        (position,) = self._fetch(HEAD)[0]
        return int(position)

    def project_head(self, project: str) -> tuple[int, int]:
        """The sequence and the position of a project's last event; zeros if it has none."""
        return self._last(project, END, lambda _: True)

    def began(self, project: str) -> int:
        """The position of the first event in a project's own stream; 0 if it has none."""
        first = self._fetch(_READ_STREAM, (project, 0, END, LAST_POSITION, 1))
        return int(first[0][0]) if first else 0

    def projects(self) -> list[str]:
        """The names of all projects that have events, in order."""
        return [name for (name,) in self._fetch(_PROJECTS)]

    def at_time(self, project: str, moment: datetime) -> int:
        """The position of a project's last event at or before a moment; 0 if there is none."""
        _, position = self._search(project, lambda row: _time_of(row) <= moment)
        return position

    def at_sequence(self, project: str, sequence: int) -> int:
        """The position of a project's event of this sequence; 0 for sequence 0, the beginning.

        Raises UnknownSequence.
        """
        if sequence == 0:
            return 0
        stream = self.lineage(project).stream_of(sequence)
        found, position = self._last(stream, sequence, lambda row: row[2] == sequence)
        if found == 0:
            raise UnknownSequence(project=project, sequence=sequence, last=self.project_head(project)[0])
        return position

    def sequence_at(self, project: str, position: int) -> int:
        """The sequence of a project's last event at or before a position; 0 if there is none."""
        for each in reversed(self.lineage(project).streams):
            ((sequence,),) = self._fetch(_LAST_SEQUENCE, (each.stream, each.first, each.last, position))
            if sequence:
                return int(sequence)
        return 0

    def check_room(self) -> None:
        """Return if there is room for more events. Raises LogFull."""
        with self._connection() as connection:
            check_room(connection)

    def wait_past(self, position: int, timeout_s: float) -> bool:
        """Return as soon as the log has events after this position: true; or after the timeout: false."""
        return self._tail.wait_past(position, timeout_s)

    def close(self) -> None:
        """Close all connections, and end the waiting."""
        self._tail.close()
        self.datastore.close()

    def _search(self, project: str, fits: Callable[[Row], bool]) -> tuple[int, int]:
        """Sequence and position of a project's last event that fits, where those that fit come first."""
        lineage = self.lineage(project)
        found, first, (last, _) = (0, 0), 1, self.project_head(project)
        while first <= last:
            middle = (first + last) // 2
            better = self._last(lineage.stream_of(middle), middle, fits)
            if better[0]:
                found, first = better, middle + 1
            else:
                last = middle - 1
        return found

    def _last(self, stream: str, sequence: int, fits: Callable[[Row], bool]) -> tuple[int, int]:
        """Sequence and position of a stream's last event up to a sequence; zeros if it does not fit."""
        rows: list[Row] = self._fetch(_LAST_AT, (stream, sequence))
        return (rows[0][2], rows[0][0]) if rows and fits(rows[0]) else (0, 0)

    def _fetch(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with (
            self._connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            return cursor.execute(statement, parameters, prepare=True).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        try:
            with self.datastore.get_connection() as connection:
                yield connection
        except IntegrityError as error:
            raise LogConflict from error
        except (OperationalError, InterfaceError, InternalError) as error:
            told = unavailable(error)
            if not isinstance(told, LogFull):
                self.datastore.pool.drain()  # what broke this connection has likely broken the idle ones too
            raise told from error
        except ProgrammingError as error:
            if isinstance(error.__cause__, _MISSING):
                raise LogMissing(why=in_a_line(error)) from error
            raise


class _Datastore(PostgresDatastore):
    """The library's pool of connections, from a libpq URL with all its options."""

    def __init__(self, url: str, pool_connections: int) -> None:
        options = parameters(url)
        known = {name: options.get(name, "") for name in ("dbname", "host", "port", "user", "password")}
        super().__init__(
            **known,
            connect_timeout=_POOL_TIMEOUT_S,
            pool_size=pool_connections,
            pre_ping=True,  # a connection that idles may be to a server that was killed and is back
            originator_id_type="text",
            schema=SCHEMA,
            enable_db_functions=False,
        )
        self.pool.kwargs = {**options, "row_factory": dict_row}
        self.pool.connection_class = ImpatientConnection[DictRow]
        self.pool.reconnect_timeout = _POOL_TIMEOUT_S  # then again on demand, not after ever longer pauses

    def register_type_adapters(self) -> None:
        """Do nothing: events go as columns, without composite types. So no server is needed yet."""


def is_full(rows: Sequence[Row], limit_events: int) -> bool:
    """Whether a read ended because it could hold no more: then there may be more."""
    return len(rows) >= limit_events or sum(len(row[4]) for row in rows) >= MAX_READ_BYTES


class _Stamp(Struct):
    at: datetime


def _named(project: str, stream: str, rows: list[Row]) -> list[Row]:
    """Rows of another project's stream under the name of the one that has them from there."""
    return rows if stream == project else [(row[0], project, *row[2:]) for row in rows]


_time = msgspec.json.Decoder(_Stamp)


def _time_of(row: Row) -> datetime:
    return _time.decode(row[4]).at
