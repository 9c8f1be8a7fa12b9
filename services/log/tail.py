"""Waiting for the log to grow: on a notification, and by looking once a second in case one is missed.

Reads the head of the log; changes nothing.
"""

import logging
import random
import threading
import time

import psycopg
from psycopg.rows import TupleRow

from services.log.database import LogMissing, connect, in_a_line

CHANNEL = "coord_events"
"""Notified with the last position of each append."""

_POLL_S = 1.0
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 2.0

HEAD = "SELECT coalesce(max(notification_id), 0) FROM coord.events"

_log = logging.getLogger(__name__)


class LogTail:
    """Waits for the log to grow, on a connection of its own. Threads that wait at once take turns.

    A lost connection is made anew, with a growing delay; what happened meanwhile is noticed then.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._head = 0
        self._delay_s = _FIRST_BACKOFF_S
        self._closed = threading.Event()
        self._turn = threading.Lock()

    def wait_past(self, position: int, timeout_s: float) -> bool:
        """Return as soon as the log has events after this position: true; or after the timeout: false."""
        deadline = time.monotonic() + timeout_s
        if not self._turn.acquire(timeout=timeout_s):
            return self._head > position
        try:
            while self._head <= position:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._closed.is_set():
                    return False
                self._try_to_look(left_s)
            return True
        finally:
            self._turn.release()
            if self._closed.is_set():
                self._disconnect()

    def close(self) -> None:
        """End the waiting, within a second; `wait_past` returns false from now on."""
        self._closed.set()
        if self._turn.acquire(blocking=False):  # else the waiting thread disconnects
            self._disconnect()
            self._turn.release()

    def _try_to_look(self, left_s: float) -> None:
        try:
            self._look(min(left_s, _POLL_S))
        except psycopg.errors.UndefinedTable as error:
            raise LogMissing(why=in_a_line(error)) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._disconnect()
            delay_s = self._delay_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
            _log.warning("cannot listen to the log (%s), again in %.1f s", in_a_line(error), delay_s)
            self._delay_s = min(2 * self._delay_s, _LAST_BACKOFF_S)
            self._closed.wait(min(left_s, delay_s))

    def _look(self, timeout_s: float) -> None:
        """Learn the head of the log: at once on a new connection, else when notified or after the timeout."""
        if self._connection is None:
            self._connection = connect(self._url, impatient=True)
            self._connection.execute(f"LISTEN {CHANNEL}")  # before looking, so that nothing falls between
            if self._delay_s != _FIRST_BACKOFF_S:
                _log.info("listening to the log again")
        else:
            for note in self._connection.notifies(timeout=timeout_s, stop_after=1):
                if note.payload.isdecimal():
                    self._head = max(self._head, int(note.payload))
                    return
        row = self._connection.execute(HEAD).fetchone()
        self._head = row[0] if row else 0
        self._delay_s = _FIRST_BACKOFF_S

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._head = 0  # the database may come back restored to an earlier state
