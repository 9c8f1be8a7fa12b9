"""One works, the others stand by: leadership by a lock in the log's database. Takes it; writes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from services.database import LogUnavailable, connect, in_a_line, lock_number

_NOTICE_DEAD_HOST = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
"""So that the server gives up the locks of a client whose host is gone, within half a minute."""


class Leadership:
    """The right to be the one that works while others stand by: a Postgres advisory lock on a connection.

    The lock goes with the connection, so also when this process or its host dies. Who loses the connection
    may go on for a moment after another has taken over: what is done under it must be fenced by other means.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._number = lock_number(key)
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._held = False

    def acquire(self, timeout_s: float) -> bool:
        """Wait until the right is ours (true), as long as the timeout allows."""
        if self._held and self.is_held():
            return True
        milliseconds = str(max(1, round(timeout_s * 1000)))
        with self._working() as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (milliseconds,))
            try:
                connection.execute("SELECT pg_advisory_lock(%s)", (self._number,))
            except psycopg.errors.LockNotAvailable:
                return False
            self._held = True
        return True

    def is_held(self) -> bool:
        """Whether the right is still ours, as far as the database can be asked."""
        if not self._held:
            return False
        try:
            with self._working() as connection:
                connection.execute("SELECT 1")
        except LogUnavailable:
            return False
        return True

    def release(self) -> None:
        """Let another have it."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._held = None, False

    @contextmanager
    def _working(self) -> Iterator[psycopg.Connection[TupleRow]]:
        try:
            if self._connection is None:
                self._connection = connect(self._url, impatient=True)
                self._connection.execute(_NOTICE_DEAD_HOST)
            yield self._connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.release()
            raise LogUnavailable(why=in_a_line(error)) from error
