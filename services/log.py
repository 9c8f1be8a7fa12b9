"""The log: every event there ever was, in order, in the table `coord.events` of a Postgres database.

It is `eventsourcing`'s classic recorder with inserts of our own. Appends hold a lock on the table, so
positions become visible in their order and no reader skips one; holes do occur (a failed append burns
positions). The primary key (project, sequence) is the fence between two writers: the later batch fails whole.

An append is one call of the function `coord.append_events`, so one round trip: lock, column arrays, NOTIFY
with the last position, ids. Measured with fsync on, events/s at 1, 10, 100, 1000 per call, on two cores, the
statements alone: function 3,900 / 26,000 / 92,000 / 137,000; the same in a pipeline 1,700 / 14,700 / 72,000 /
135,000; a bare `INSERT … unnest` without a lock 4,000 / 25,000 / 94,000 / 131,000. Through `append`: 2,900 /
22,000 / 77,000 / 107,000.

Touches its table and function, advisory locks, and the notification channel `coord_events`.
"""

from collections.abc import Callable, Iterator, Sequence
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

from domain.errors import CoordError
from services.codec import Row
from services.database import LogConflict, LogMissing, LogUnavailable, in_a_line, lock_number, parameters
from services.leadership import Leadership
from services.tail import CHANNEL, HEAD, LogTail

__all__ = [
    "EventLog",
    "Leadership",
    "LogConflict",
    "LogMissing",
    "LogTail",
    "LogUnavailable",
    "UnknownSequence",
    "lock_number",
]

SCHEMA = "coord"
TABLE = "events"

_POOL_CONNECTIONS = 2
_POOL_TIMEOUT_S = 5.0
_LAST_POSITION = 2**63 - 1
_READ_EVENTS = 10_000
_CREATE_LOCK = "coord.events"

_CREATE = (
    "CREATE SCHEMA IF NOT EXISTS coord",
    """
    CREATE TABLE IF NOT EXISTS coord.events (
        originator_id text NOT NULL,
        originator_version bigint NOT NULL,
        topic text NOT NULL,
        state bytea NOT NULL,
        notification_id bigserial NOT NULL,
        PRIMARY KEY (originator_id, originator_version)
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS events_notification_id_idx ON coord.events (notification_id)",
    """
    CREATE OR REPLACE FUNCTION coord.append_events(
        projects text[], sequences bigint[], topics text[], states bytea[]
    ) RETURNS bigint[] LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
    DECLARE
        positions bigint[];
    BEGIN
        LOCK TABLE coord.events IN EXCLUSIVE MODE;
        WITH inserted AS (
            INSERT INTO coord.events (originator_id, originator_version, topic, state)
            SELECT * FROM unnest(projects, sequences, topics, states)
            RETURNING notification_id
        )
        SELECT array_agg(notification_id) INTO positions FROM inserted;
        PERFORM pg_notify('coord_events', positions[cardinality(positions)]::text);
        RETURN positions;
    END
    $$
    """,
)

_APPEND = "SELECT coord.append_events(%b, %b::bigint[], %b, %b)"

_READ = """
SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s
"""

_READ_PROJECT = """
SELECT notification_id, originator_id, originator_version, topic, state FROM coord.events
WHERE originator_id = %s AND originator_version > %s AND notification_id <= %s
ORDER BY originator_version LIMIT %s
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


class UnknownSequence(CoordError):
    code = "unknown_sequence"
    says = "Project {project} has no event #{sequence}; its last is #{last}."


class EventLog(PostgresApplicationRecorder):
    """Appends and reads events; safe to use from several threads. Nothing is retried."""

    def __init__(self, url: str, *, pool_connections: int = _POOL_CONNECTIONS) -> None:
        super().__init__(_Datastore(url, pool_connections), events_table_name=TABLE)
        self.channel_name = CHANNEL
        self._tail = LogTail(url)

    def create_tables(self) -> None:
        """Create what is missing of the log; many may do it at once."""
        with self._connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number(_CREATE_LOCK),))
            for statement in _CREATE:
                connection.execute(statement)

    def create_table(self) -> None:
        self.create_tables()

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        """Write all of the events or none, and return their positions, in the same order."""
        if not events:
            return []
        columns = (
            [event.originator_id for event in events],
            [event.originator_version for event in events],
            [event.topic for event in events],
            [event.state for event in events],
        )
        (positions,) = self._fetch(_APPEND, columns)[0]
        return list(positions)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        return self.append(stored_events)

    def read(
        self, after: int, limit_events: int, *, until: int | None = None, project: str | None = None
    ) -> list[Row]:
        """The events that follow a position, in order, none past `until`; of all projects or of one."""
        last = _LAST_POSITION if until is None else until
        if project is not None:
            return self.read_project(project, self.sequence_at(project, after), last, limit_events)
        return self._fetch(_READ, (after, last, limit_events))

    def read_project(
        self,
        project: str,
        after_sequence: int,
        until_position: int = _LAST_POSITION,
        limit_events: int = _READ_EVENTS,
    ) -> list[Row]:
        """A project's events that follow a sequence, in order, none past the position."""
        return self._fetch(_READ_PROJECT, (project, after_sequence, until_position, limit_events))

    def read_at(self, project: str, sequences: Sequence[int]) -> list[Row]:
        """A project's events of these sequences, in order; those that do not exist are left out."""
        return self._fetch(_READ_AT, (project, list(sequences)))

    def head(self) -> int:
        """The position of the last event; 0 if there is none."""
        (position,) = self._fetch(HEAD)[0]
        return int(position)

    def project_head(self, project: str) -> tuple[int, int]:
        """The sequence and the position of a project's last event; zeros if it has none."""
        return self._last(project, _LAST_POSITION, lambda _: True)

    def projects(self) -> list[str]:
        """The names of all projects that have events, in order."""
        return [name for (name,) in self._fetch(_PROJECTS)]

    def at_time(self, project: str, moment: datetime) -> int:
        """The position of a project's last event at or before a moment; 0 if there is none."""
        _, position = self._search(project, lambda row: _time_of(row) <= moment)
        return position

    def at_sequence(self, project: str, sequence: int) -> int:
        """The position of a project's event of this sequence; 0 for sequence 0, the beginning."""
        if sequence == 0:
            return 0
        found, position = self._last(project, sequence, lambda row: row[2] == sequence)
        if found == 0:
            raise UnknownSequence(project=project, sequence=sequence, last=self.project_head(project)[0])
        return position

    def sequence_at(self, project: str, position: int) -> int:
        """The sequence of a project's last event at or before a position; 0 if there is none."""
        sequence, _ = self._search(project, lambda row: row[0] <= position)
        return sequence

    def wait_past(self, position: int, timeout_s: float) -> bool:
        """Return as soon as the log has events after this position: true; or after the timeout: false."""
        return self._tail.wait_past(position, timeout_s)

    def close(self) -> None:
        """Close all connections, and end the waiting."""
        self._tail.close()
        self.datastore.close()

    def _search(self, project: str, fits: Callable[[Row], bool]) -> tuple[int, int]:
        """Sequence and position of a project's last event that fits, where those that fit come first."""
        found, first, (last, _) = (0, 0), 1, self.project_head(project)
        while first <= last:
            middle = (first + last) // 2
            better = self._last(project, middle, fits)
            if better[0]:
                found, first = better, middle + 1
            else:
                last = middle - 1
        return found

    def _last(self, project: str, sequence: int, fits: Callable[[Row], bool]) -> tuple[int, int]:
        """Sequence and position of a project's last event up to a sequence; zeros if it does not fit."""
        rows: list[Row] = self._fetch(_LAST_AT, (project, sequence))
        return (rows[0][2], rows[0][0]) if rows and fits(rows[0]) else (0, 0)

    def _fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
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
            self.datastore.pool.check()  # what broke this connection has likely broken the idle ones too
            raise LogUnavailable(why=in_a_line(error)) from error
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
            originator_id_type="text",
            schema=SCHEMA,
            enable_db_functions=False,
        )
        self.pool.kwargs = {**options, "row_factory": dict_row}
        self.pool.reconnect_timeout = _POOL_TIMEOUT_S  # then again on demand, not after ever longer pauses

    def register_type_adapters(self) -> None:
        """Do nothing: events go as columns, without composite types. So no server is needed yet."""


class _Stamp(Struct):
    at: datetime


_time = msgspec.json.Decoder(_Stamp)


def _time_of(row: Row) -> datetime:
    return _time.decode(row[4]).at
