"""How the log's database is connected to, and what can be wrong with it. Touches nothing of its own."""

from hashlib import blake2b
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from domain.errors import CoordError

_CONNECT = {"connect_timeout": "5", "tcp_user_timeout": "10000", "application_name": "coordctl"}
"""What a connection has unless its URL says otherwise; with it, a database host that vanishes is noticed."""


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


class LogMissing(CoordError):
    code = "log_missing"
    says = "The database has no log ({why}); `coordctl up` creates it."


def connect(url: str) -> psycopg.Connection[TupleRow]:
    """A connection of its own to the log's database, in autocommit."""
    return psycopg.connect(make_conninfo(**parameters(url)), autocommit=True)


def lock_number(text: str) -> int:
    """The advisory lock that this text names."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def parameters(url: str) -> dict[str, Any]:
    return _CONNECT | {name: value for name, value in conninfo_to_dict(url).items() if value is not None}


def in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())
