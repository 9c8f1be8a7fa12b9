"""Numbered lots of a kind, shared out fairly among the processes that are there to work on them.

A process holds a lot by a session of its own: a connection that has the lot's advisory lock. With the
connection goes the lock, at once when the process dies. A process that is only paused keeps its connection,
so sessions beat: an idle one asks something every BEAT_S, which Postgres notes. Whoever finds a session of
the kind silent for more than SILENT_S ends it, and the lot is free. Each process also holds one lock that
all share, its seat; the seats, in order, say what each one's share is, and everybody reckons the same.

To use it: `Holdings(Shares(url, kind, lots, name), term).run(stop, settled)` (see `holdings`) runs
`term` for each lot that is ours, and ends it when the lot is lost or another's share. What a term does
through `session.using()` is fenced by the lock; what it does elsewhere is not, and must be harmless when
done twice.

Touches advisory locks, and sessions that are silent.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from time import monotonic

import psycopg
from msgspec import Struct
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from services.log.database import LogConflict, LogMissing, LogUnavailable, connect, in_a_line, unavailable

BEAT_S = 0.5
SILENT_S = 2.0
CLOSE_TIMEOUT_S = 5.0

_TAKE = "SELECT pg_try_advisory_lock(%s, %s)"
_SIT = "SELECT pg_advisory_lock_shared(%s, %s)"
_END = "SELECT pg_terminate_backend(%s)"
_HOLDERS = """
SELECT l.objid::bigint, l.pid,
    coalesce(a.state <> 'active' AND clock_timestamp() - a.state_change > make_interval(secs => %s), false)
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::bigint = %s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_NOTICE_DEAD_HOST = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
_ENDED = "57P"  # the class of errors by which a server tells that it ends a session
_MISSING = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
)

Connection = psycopg.Connection[TupleRow]

logger = logging.getLogger(__name__)


class Allotment(Struct, frozen=True):
    """How many lots this process is to have, and which are nobody's now, in no order."""

    share: int
    free: Sequence[int]


class Session:
    """A connection that holds one lot. Once it is lost nothing is done through it any more."""

    def __init__(self, connection: Connection, lot: int) -> None:
        self.lot = lot
        self.pid = connection.info.backend_pid
        self.lost = False
        self._connection = connection
        self._turn = threading.Lock()
        self._used_at = monotonic()

    @contextmanager
    def using(self) -> Iterator[Connection]:
        """The connection, to oneself. Raises LogConflict, LogMissing or LogUnavailable for its errors."""
        with self._turn:
            if self.lost:
                raise LogUnavailable(why="the session with the database is lost")
            try:
                yield self._connection
            except psycopg.errors.IntegrityError as error:
                raise LogConflict from error
            except _MISSING as error:
                raise LogMissing(why=in_a_line(error)) from error
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
                ended = (error.sqlstate or "").startswith(_ENDED)
                self.lost = self.lost or ended or self._connection.closed
                raise unavailable(error) from error
            finally:
                self._used_at = monotonic()

    def check(self) -> None:
        """Return if the lot is ours at this moment. Raises LogUnavailable."""
        with self.using() as connection:
            connection.execute("SELECT 1")

    def beat(self) -> None:
        """Show that we live, unless the session's work does."""
        if not self._turn.locked() and monotonic() - self._used_at >= BEAT_S:
            with suppress(LogUnavailable):  # then `lost` says so to whoever holds the session
                self.check()

    def close(self) -> None:
        """Let another have the lot, when what is being done through the session is done."""
        with self._turn:
            if not self.lost:  # to close is not waited for, and the next to look shall not see us
                with suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock_all()")
            self.lost = True
            self._connection.close()


class Shares:
    """What one process sees and takes of the lots. `close` at the end; its sessions are closed one by one."""

    def __init__(self, url: str, kind: str, lots: int, name: str) -> None:
        """`name` is what the sessions are called in the database."""
        self.lots = lots
        self._url = url
        self._kind = int.from_bytes(blake2b(kind.encode(), digest_size=4).digest(), "big") >> 1
        self._name = name
        self._seat: Session | None = None
        self._sessions: dict[int, Session] = {}
        self._pulse = Pulse(self._beat)

    def look(self) -> Allotment:
        """Our share now; ends sessions that are silent. Raises LogUnavailable."""
        seat = self._seated()
        with seat.using() as connection:
            holders = connection.execute(_HOLDERS, (SILENT_S, self._kind)).fetchall()
            self._end_silent(connection, [(lot, pid) for lot, pid, silent in holders if silent])
        seats = sorted(pid for lot, pid, _ in holders if lot == self.lots)
        least, more = divmod(self.lots, len(seats))
        free = sorted(set(range(self.lots)) - {lot for lot, _, _ in holders})
        random.shuffle(free)
        return Allotment(share=least + (seats.index(seat.pid) < more), free=free)

    def take(self, lot: int) -> Session | None:
        """A session that holds the lot; None if another has it. Raises LogUnavailable."""
        session = self._session(lot, f"{self._name} {lot}")
        taken = False
        try:
            with session.using() as connection:
                taken = connection.execute(_TAKE, (self._kind, lot)).fetchone() == (True,)
        finally:
            if not taken:
                session.close()
        if not taken:
            return None
        self._sessions[lot] = session
        return session

    def check(self) -> None:
        """Find out which of our sessions are lost."""
        for session in self._live():
            with suppress(LogUnavailable):  # then `lost` says so
                session.check()

    def close(self) -> None:
        """Leave the seat, so that the others' shares grow."""
        self._pulse.stop()
        if self._seat is not None:
            self._seat.close()
            self._seat = None

    def _seated(self) -> Session:
        if self._seat is None or self._seat.lost:
            self._seat = None
            seat = self._session(self.lots, self._name)
            with seat.using() as connection:
                connection.execute(_SIT, (self._kind, self.lots))
            self._seat = seat
            self._pulse.start()
        return self._seat

    def _session(self, lot: int, name: str) -> Session:
        try:
            connection = connect(make_conninfo(self._url, application_name=name), impatient=True)
            connection.execute(_NOTICE_DEAD_HOST)
        except psycopg.Error as error:
            raise unavailable(error) from error
        return Session(connection, lot)

    def _end_silent(self, connection: Connection, silent: Sequence[tuple[int, int]]) -> None:
        """Our own are not meant: while nobody else ends them, they are good."""
        own = {session.pid for session in self._live()}
        found = [(lot, pid) for lot, pid in silent if pid not in own]
        for _, pid in found:
            connection.execute(_END, (pid,))
        if lots := [lot for lot, _ in sorted(found) if lot < self.lots]:
            logger.warning("ended sessions that were silent: %s %s", self._name, ", ".join(map(str, lots)))

    def _beat(self) -> None:
        for session in self._live():
            session.beat()

    def _live(self) -> list[Session]:
        sessions = (*list(self._sessions.values()), self._seat)
        return [session for session in sessions if session is not None and not session.lost]


class Pulse:
    """Does something every BEAT_S in a thread of its own, which no other work of the process holds up."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_S):
            self._beat()
