"""A backup back into a database that is empty: every event at the position that it had.

All of it is written in one transaction, which comes about only if the whole file is as it was written. Writes
the log and, before, its tables; ends the sessions of the services that lead.
"""

from collections.abc import Iterator

from domain.errors import Rejection
from services.backup.database import Connection, exists, opened
from services.backup.reading import BackupReader
from services.backup.writing import Backup, Begun
from services.log.codec import Row
from services.log.migrations import MIGRATIONS, migrate
from services.log.tail import CHANNEL

LOCK_TIMEOUT_S = 5

_LOCK = "LOCK TABLE coord.events IN EXCLUSIVE MODE"
_EVENTS = """
COPY coord.events (notification_id, originator_id, originator_version, topic, state)
FROM STDIN (FORMAT BINARY)
"""
_COLUMNS = ("int8", "text", "int8", "text", "bytea")
_ANY_EVENT = "SELECT notification_id FROM coord.events LIMIT 1"
_ANY_ROW = "SELECT name FROM coord.projections WHERE position > 0 LIMIT 1"
_GO_ON = """
SELECT setval(sequence, greatest(%s, nextval(sequence) - 1))
FROM pg_get_serial_sequence('coord.events', 'notification_id') AS sequence
"""
_END_LEADERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class NotEmpty(Rejection):
    code = "not_empty"
    says = (
        "There is {what} already, and a backup is restored into an empty place alone: nothing was changed."
        " Choose another data directory with --data, or another database."
    )


def restore_backup(url: str, reader: BackupReader, begun: Begun) -> Backup:
    """Fill an empty log.

    Raises NotEmpty, BadBackup, DataNewer or LogUnavailable; then nothing was restored.
    """
    with opened(url) as connection:
        migrate(connection, MIGRATIONS)
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
            connection.execute(_LOCK)  # whoever appends waits, and then finds its sequences taken
            _check_empty(connection)
            _fill(connection, reader.rows(begun(reader.header)))
            if reader.header.head:
                connection.execute(_GO_ON, (reader.header.head,))
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(reader.header.head)))
        connection.execute("ANALYZE coord.events")
        connection.execute(_END_LEADERS)  # they begin anew, and so with the log as it is now
    return reader.backup


def _check_empty(connection: Connection) -> None:
    if connection.execute(_ANY_EVENT).fetchone():
        raise NotEmpty(what="a log with events")
    if exists(connection, "coord.projections") and (found := connection.execute(_ANY_ROW).fetchone()):
        raise NotEmpty(what=f"a read model {found[0]} of another log")


def _fill(connection: Connection, rows: Iterator[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(_EVENTS) as copy:
        copy.set_types(_COLUMNS)
        for row in rows:
            copy.write_row(row)
