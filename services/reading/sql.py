"""SQL over the read models as they were at a point: one statement, which can read one project, no more.

Each read model that the statement names becomes a temporary view of the project's rows at the point: what was
so at the last mark is read where it is kept, what changed since is folded into a small temporary table. The
statement then runs in a read-only transaction, as a role that may read these views alone, inside a function
that belongs to that role: there Postgres lets nobody become somebody else. In the end all is rolled back, the
role as well, so that nothing stays.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from psycopg.sql import SQL, Composable, Identifier

from domain.errors import CoordError
from projections.catalog import PROJECTIONS
from projections.framework import Projection
from services.projector.tables import TEMPORARY, Connection, Table
from services.reading.travel import Point, Travel

LIMIT_ROWS = 1_000
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 2**20

READER = "coord_reader"
"""The role that the statement runs as, if the database has it; otherwise one is made each time."""

_WORD = re.compile(r"[a-z_]+")
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/|\()*([a-z]*)", re.IGNORECASE | re.DOTALL)
_ANSWERED = ("SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN")

_CONNECTION_LOST = ("08", "57P")
_UNKNOWN_TABLE = "42P01"

_ANSWER = """
CREATE FUNCTION pg_temp.coord_answer(statement text, limit_rows bigint, limit_bytes bigint)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_temp AS $$
DECLARE
    found record;
    told text;
BEGIN
    FOR found IN EXECUTE statement LOOP
        SELECT json_build_array(coalesce(json_agg(name ORDER BY n), '[]'),
            coalesce(json_agg(value ORDER BY n), '[]'))
        INTO told FROM json_each(row_to_json(found)) WITH ORDINALITY AS field (name, value, n);
        limit_bytes := limit_bytes - octet_length(told);
        IF limit_bytes < 0 THEN
            RAISE program_limit_exceeded USING MESSAGE = 'the answer is too large',
                HINT = 'Choose fewer columns or rows.';
        END IF;
        RETURN NEXT told;
        limit_rows := limit_rows - 1;
        EXIT WHEN limit_rows = 0;
    END LOOP;
END
$$
"""

_decode = msgspec.json.Decoder(tuple[list[str], list[Any]]).decode


class BadSql(CoordError):
    """`why` is what Postgres says, its hint included; `at` is the character where, if it is known."""

    code = "bad_sql"
    says = "The SQL cannot be answered: {why}"


class SqlTimedOut(CoordError):
    code = "sql_timed_out"
    says = "The SQL was not answered within {timeout_s:g} s; ask for less, or allow more time."


class NoReader(CoordError):
    code = "no_reader"
    says = (
        "The database account may not make the role that SQL is run as ({why}). Have an administrator run,"
        " once: CREATE ROLE coord_reader NOLOGIN; GRANT coord_reader TO the account."
    )


class Answer(Struct, frozen=True, kw_only=True):
    """Rows by columns, their values as JSON has them; `more` if the limit cut off others."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: bool


def ask(
    connection: Connection,
    travel: Travel,
    project: str,
    position: int,
    statement: str,
    *,
    limit_rows: int = LIMIT_ROWS,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """What a statement answers over the read models right after the event at a position.

    `travel` reads over the same connection. Raises BadSql, SqlTimedOut or NoReader.
    """
    _check(statement)
    with connection.transaction(force_rollback=True):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader = _reader(connection)
        for projection in _named(statement):
            _show(connection, travel, travel.point(projection, project, position), reader)
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(SQL("SET LOCAL statement_timeout = {}").format(int(timeout_s * 1000)))
        with _told(timeout_s):
            asked = (statement, limit_rows + 1, MAX_ANSWER_BYTES)
            found = connection.execute("SELECT pg_temp.coord_answer(%s, %s, %s)", asked).fetchall()
    rows = [_decode(text) for (text,) in found]
    return Answer(
        columns=_distinct(rows[0][0]) if rows else (),
        rows=[values for _, values in rows[:limit_rows]],
        more=len(rows) > limit_rows,
    )


def _check(statement: str) -> None:
    """Say it plainly when something else is tried than reading; what can be read, Postgres decides."""
    first = _FIRST_WORD.match(statement)
    word = first[1].upper() if first else ""
    if word not in _ANSWERED:
        raise BadSql(why=f"it begins with {word or 'no word'}; one statement of {', '.join(_ANSWERED)} may.")
    if "\0" in statement:
        raise BadSql(why="it holds a NUL character.")


def _named(statement: str) -> list[Projection[Any]]:
    """The projections whose names occur."""
    words = {*_WORD.findall(statement.lower())}
    return [projection for projection in PROJECTIONS if projection.name in words]


def _reader(connection: Connection) -> Identifier:
    """The role to run as, with the function that runs the statement; both are gone with the transaction."""
    try:
        found = connection.execute(
            "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (READER,)
        ).fetchone()
        assert found is not None  # a SELECT without FROM has one row
        process, exists = found
        reader = Identifier(READER if exists else f"{READER}_{process}")
        if not exists:
            connection.execute(SQL("CREATE ROLE {} NOLOGIN").format(reader))
            connection.execute(SQL("GRANT {} TO CURRENT_USER").format(reader))
        connection.execute(_ANSWER)
        connection.execute(
            SQL("ALTER FUNCTION pg_temp.coord_answer(text, bigint, bigint) OWNER TO {}").format(reader)
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise NoReader(why=error.diag.message_primary) from error
    else:
        return reader


def _show(connection: Connection, travel: Travel, point: Point, reader: Identifier) -> None:
    """Let the reader find a projection's rows at the point under its name."""
    projection = point.table.projection
    columns = SQL(", ").join(Identifier(column.name) for column in projection.columns)
    changed = Table(projection, f"{projection.name}_changed", TEMPORARY)
    changed.create(connection)
    changed.write(connection, changed.pack([*travel.changed(point).values()]), point.position)
    select: Composable = SQL("SELECT {} FROM {} c").format(columns, changed.identifier)
    if point.source is not None:
        same = SQL(" AND ").join(SQL("c.{0} = u.{0}").format(Identifier(name)) for name in projection.key)
        select += SQL(" UNION ALL SELECT {} FROM {} u WHERE NOT EXISTS (SELECT FROM {} c WHERE {})").format(
            columns, point.source, changed.identifier, same
        )
    name = Identifier(TEMPORARY, projection.name)
    connection.execute(SQL("CREATE VIEW {} WITH (security_barrier) AS {}").format(name, select))
    connection.execute(SQL("GRANT SELECT ON {} TO {}").format(name, reader))


@contextmanager
def _told(timeout_s: float) -> Iterator[None]:
    """What Postgres has against a statement, told as a refusal; that it is gone is told elsewhere."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise SqlTimedOut(timeout_s=timeout_s) from error
    except psycopg.Error as error:
        state, diag = error.sqlstate or "", error.diag
        if not state or state.startswith(_CONNECTION_LOST):
            raise
        said = [diag.message_primary, diag.message_detail, diag.message_hint]
        if state == _UNKNOWN_TABLE:
            said.append(f"the read models are {', '.join(each.name for each in PROJECTIONS)}")
        why = " ".join(f"{each.rstrip('.')}." for each in said if each)
        raise BadSql(why=why, at=diag.internal_position, hint=diag.message_hint) from error


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns, the second of a name with its number: JSON can hold each once."""
    told: list[str] = []
    for name in names:
        number, free = 2, name
        while free in told:
            number, free = number + 1, f"{name}_{number}"
        told.append(free)
    return told
