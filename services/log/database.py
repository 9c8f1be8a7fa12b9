"""How the log's database is connected to, and what can be wrong with it. Touches nothing of its own."""

from collections.abc import Generator
from hashlib import blake2b
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row, TupleRow

from domain.errors import CoordError

SILENCE_S = 4.0
"""How long a server may say nothing to a short question."""

_CONNECT = {"connect_timeout": "5", "tcp_user_timeout": "10000", "application_name": "coordctl"}
"""What a connection has unless its URL says otherwise; with it, a database host that vanishes is noticed."""

FULL_RETRY_AFTER_S = 2.0

_ROOM = "SELECT count(*) FROM generate_series(1, 20000)"
"""More rows than fit into 64 kB: half a MiB is put on the disk for a moment, and nothing is changed."""


class LogConflict(CoordError):
    """Another writer has written, or this batch itself was committed before and the answer got lost."""

    code = "log_conflict"
    says = (
        "Another writer has appended to the same project; nothing was written. Read the log again and retry."
    )
    retryable = True


class LogUnavailable(CoordError):
    """Whether an append that met this was committed is not known: compare command ids before trying again."""

    code = "log_unavailable"
    says = "The database cannot be used now ({why}); try again, and see `coordctl doctor` if this goes on."
    retryable = True


class LogFull(LogUnavailable):
    """An append that met this was rolled back: nothing of it is in the log."""

    code = "log_full"
    says = (
        "The database has no room left ({why}); nothing was changed. Free some space or enlarge its disk;"
        " work then goes on by itself. Try again in {retry_after_s} s."
    )


class LogMissing(CoordError):
    code = "log_missing"
    says = "The database has no log ({why}); `coordctl up` creates it."


R = TypeVar("R")


class ImpatientConnection(psycopg.Connection[Row]):
    """A connection that closes, with an OperationalError, when the server is silent for `silence_s`.

    A server that hangs, or whose host does, says nothing and breaks nothing, and a timeout that the server
    keeps is of no use then. Waiting for notifications has its own timeout and is not bounded here.
    """

    silence_s: float = SILENCE_S

    def wait(self, gen: PQGen[R], *arguments: Any, **options: Any) -> R:
        if arguments or options:
            return super().wait(gen, *arguments, **options)
        try:
            return super().wait(_unless_silent(gen, self.silence_s))
        except _Silent as silent:
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.silence_s:g} s") from silent


class _Silent(Exception):
    """Nothing has come from the server for too long."""


def _unless_silent(gen: PQGen[R], silence_s: float) -> Generator[Any, Any, R]:
    """What `gen` does; psycopg also wakes it, several times a second, when there is nothing to read."""
    try:
        wanted = next(gen)
        deadline = monotonic() + silence_s
        while True:
            ready = yield wanted
            if ready:
                deadline = monotonic() + silence_s
            elif monotonic() > deadline:
                raise _Silent
            wanted = gen.send(ready)
    except StopIteration as end:
        result: R = end.value
        return result


def connect(url: str, *, impatient: bool = False) -> psycopg.Connection[TupleRow]:
    """A connection of its own to the log's database, in autocommit; impatient for short questions alone."""
    kind = ImpatientConnection[TupleRow] if impatient else psycopg.Connection[TupleRow]
    return kind.connect(make_conninfo(**parameters(url)), autocommit=True)


def check_room(connection: psycopg.Connection[Any]) -> None:
    """Raise psycopg's DiskFull if the database's disk has no room for a little more."""
    with connection.transaction():
        connection.execute("SET LOCAL work_mem = '64kB'")
        connection.execute(_ROOM)


def unavailable(error: Exception) -> LogUnavailable:
    """What an error of the database's driver means to those who need the log."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(cause, psycopg.errors.DiskFull):
        return LogFull(why=cause.diag.message_primary or in_a_line(error), retry_after_s=FULL_RETRY_AFTER_S)
    return LogUnavailable(why=in_a_line(error))


def lock_number(text: str) -> int:
    """The advisory lock that this text names."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def parameters(url: str) -> dict[str, Any]:
    return _CONNECT | {name: value for name, value in conninfo_to_dict(url).items() if value is not None}


def in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())
