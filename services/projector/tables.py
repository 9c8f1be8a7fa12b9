"""Projections as Postgres tables: their SQL, and rows in and out in batches.

Each has two: one of the rows as they are, each with the position `_since` which it is so; and `<name>_past`,
of rows as they were from `_since` until before `_until`, kept for the sake of a mark between the two. Rows
travel as JSON: msgspec writes and reads a row in about a microsecond, and Postgres takes a batch of them at
once; of rows that are there already only the columns that changed, and rows that are only ever added are
copied instead. It may touch the tables of projections, and nothing else.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from operator import attrgetter, is_not
from typing import Any, Generic, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from msgspec.structs import astuple
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal
from psycopg.types.json import set_json_dumps

from domain.errors import CoordError
from projections.framework import Key, Projection
from services.log.database import LogUnavailable, connect, in_a_line

R = TypeVar("R", bound=Struct)

Connection = psycopg.Connection[Any]

SCHEMA = "coord"
TEMPORARY = "pg_temp"
SINCE = "_since"

COLLATION = 'COLLATE "C"'
"""Text is ordered by its code points, as Python orders it."""

_CHUNK_BYTES = 16 * 2**20
_SCAN_ROWS = 2_000
_REMEMBERED_STATEMENTS = 64

_SPAN_BITS = SQL("length(ltrim((_until - _since)::bit(48)::text, '0'))")
"""How many binary digits the length of a span has."""

_LONGEST_SPAN_BITS = 48

_encode = msgspec.json.Encoder().encode


_SESSION = """
SET timezone = 'UTC';
SET synchronous_commit = off;
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3
"""
"""Commits need not wait for the disk: rows and positions are written together, so what a power loss takes is
folded again. The locks of a client whose host is gone are given up within half a minute."""


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection for work on read models; what befalls it is raised as LogUnavailable."""
    try:
        with connect(url) as connection:
            connection.prepare_threshold = None  # a plan made while a table was small ruins a catch-up
            connection.execute(_SESSION)
            set_json_dumps(_encode, connection)
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise LogUnavailable(why=in_a_line(error)) from error


class RowsMissing(CoordError):
    code = "rows_missing"
    says = "Table {table} lacks {missing} of the rows that changed; run `coordctl projection rebuild`."


class Update(Struct, frozen=True, kw_only=True):
    """What changed in rows that are there: the columns, and their values as JSON arrays of bounded size."""

    columns: tuple[str, ...] = ()
    chunks: Sequence[str] = ()
    rows: int = 0


class Packed(Struct, frozen=True, kw_only=True):
    """Rows on their way: as JSON arrays of bounded size, or as they are if they will only be added."""

    chunks: Sequence[str] = ()
    bytes: int = 0
    rows: Sequence[Struct] = ()
    update: Update = Update()


class Table(Generic[R]):
    """A table that holds the rows of a projection, under any name: served, being rebuilt, or temporary."""

    def __init__(self, projection: Projection[R], name: str, schema: str = SCHEMA) -> None:
        self.projection = projection
        self.name = name
        self.identifier = Identifier(schema, name)
        self.past = Identifier(schema, f"{name}_past")
        self.columns = _names(column.name for column in projection.columns)
        self._decode = msgspec.json.Decoder(projection.row).decode
        self._update = lru_cache(_REMEMBERED_STATEMENTS)(self._update_of)

    def create(self, connection: Connection) -> None:
        """Create both, without the further indexes."""
        columns = SQL(", ").join(
            SQL("{} {} {} {}").format(
                Identifier(column.name),
                SQL(column.type),
                SQL(COLLATION if column.type == "text" else ""),
                SQL("" if column.nullable else "NOT NULL"),
            )
            for column in self.projection.columns
        )
        key = _names(self.projection.primary_key)
        connection.execute(
            SQL("CREATE TABLE {} ({}, _since bigint NOT NULL, PRIMARY KEY ({}))").format(
                self.identifier, columns, key
            )
        )
        connection.execute(
            SQL(
                "CREATE TABLE {} ({}, _since bigint NOT NULL, _until bigint NOT NULL,"
                " PRIMARY KEY ({}, _since))"
            ).format(self.past, columns, key)
        )

    def create_indexes(self, connection: Connection) -> None:
        """Create the further indexes: sooner for a table in use, later for one being filled."""
        for index in self.projection.indexes:
            terms = SQL(", ").join(map(order_term, index))
            connection.execute(SQL("CREATE INDEX ON {} ({})").format(self.identifier, terms))
        if self.projection.append_only:
            return
        connection.execute(SQL("CREATE INDEX ON {} (project, _since)").format(self.identifier))
        connection.execute(SQL("CREATE INDEX ON {} (project, ({}), _until)").format(self.past, _SPAN_BITS))

    def drop(self, connection: Connection) -> None:
        connection.execute(SQL("DROP TABLE IF EXISTS {}, {}").format(self.identifier, self.past))

    def fits(self, connection: Connection) -> bool:
        """Whether its columns are those that the code declares."""
        found = connection.execute(
            "SELECT attname, atttypid FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (self.identifier.as_string(),),
        )
        declared = connection.execute(
            "SELECT name, type::regtype::oid FROM unnest(%s::text[], %s::text[]) AS t (name, type)",
            (
                [*(column.name for column in self.projection.columns), SINCE],
                [*(column.type for column in self.projection.columns), "bigint"],
            ),
        )
        return found.fetchall() == declared.fetchall()

    def load(
        self, connection: Connection, keys: Collection[Key], source: Composable | None = None
    ) -> dict[Key, R]:
        """The rows there are of these keys: in the table, or in another relation of its columns."""
        if not keys:
            return {}
        statement = SQL(
            "SELECT row_to_json(t)::text FROM json_array_elements(%s::json) AS k (_key),"
            " LATERAL (SELECT * FROM {} t WHERE {} OFFSET 0) t"  # one look into the index for each key
        ).format(source or self.identifier, self._same_key)
        found = connection.execute(statement, (_encode([*keys]).decode(),))
        rows = [self._decode(text) for (text,) in found]
        return {self.projection.key_of(row): row for row in rows}

    def load_all(self, connection: Connection, source: Composable) -> dict[Key, R]:
        """All rows of a relation of its columns."""
        statement = SQL("SELECT row_to_json(t)::text FROM {} t").format(source)
        rows = [self._decode(text) for (text,) in connection.execute(statement)]
        return {self.projection.key_of(row): row for row in rows}

    def kept_at(self, project: str, at: int) -> Composed:
        """The rows of a project that were kept and were so at a mark: those whose span holds it.

        Such a span ends after the mark, and by no more than its length; so the index of ends is looked into
        once for each order of length, and finds few that do not fit.
        """
        return SQL(
            "(SELECT p.* FROM generate_series(1, {longest}) AS span (bits), LATERAL ("
            "SELECT * FROM {past} WHERE project = {project} AND {bits} = span.bits"
            " AND _until > {at} AND _until < {at} + (1::bigint << span.bits) AND _since <= {at}"
            " OFFSET 0) p)"  # else all that ended after the mark would be read at once
        ).format(
            longest=Literal(_LONGEST_SPAN_BITS),
            past=self.past,
            project=Literal(project),
            bits=_SPAN_BITS,
            at=Literal(at),
        )

    def pack(
        self, rows: Sequence[R], changes: Sequence[tuple[R, R]] = (), *, replacing: bool = False
    ) -> "Packed":
        """Rows, made ready to be sent; `changes` of rows that are there, each before and after.

        `replacing` if even those rows that are only ever added may be there.
        """
        if self.projection.append_only and not replacing:
            return Packed(rows=rows)
        chunks, update = [*_chunks(map(_encode, rows))], self._pack_changes(changes)
        return Packed(chunks=chunks, bytes=sum(map(len, (*chunks, *update.chunks))), update=update)

    def _pack_changes(self, changes: Sequence[tuple[R, R]]) -> Update:
        """The columns in which any of the rows changed, and what is in them now."""
        if not changes:
            return Update()
        columns = self._changed(changes)
        sent = (*self.projection.primary_key, *columns)
        values, kind = attrgetter(*sent), _struct_of(sent)
        chunks = [*_chunks(_encode(kind(*values(row))) for _, row in changes)]
        return Update(columns=columns, chunks=chunks, rows=len(changes))

    def _changed(self, changes: Sequence[tuple[R, R]]) -> tuple[str, ...]:
        """The columns whose value is another in some row; looks only at those not known to differ yet."""
        names = self.projection.row.__struct_fields__
        changed: set[str] = set()
        others = attrgetter(*names)
        for old, new in changes:
            if any(map(is_not, others(old), others(new))):
                changed |= {name for name in names if getattr(old, name) is not getattr(new, name)}
                changed -= {*self.projection.primary_key}
                others = attrgetter(*(name for name in names if name not in changed))
        return tuple(name for name in names if name in changed)

    def write(self, connection: Connection, packed: "Packed", since: int) -> None:
        """Insert or replace rows, which are so since a position."""
        for chunk in packed.chunks:
            connection.execute(self._upsert, (since, chunk))
        if packed.update.rows:
            statement = self._update(packed.update.columns)
            found = sum(connection.execute(statement, (since, c)).rowcount for c in packed.update.chunks)
            if found != packed.update.rows:
                raise RowsMissing(table=self.name, missing=packed.update.rows - found)
        if packed.rows:
            with connection.cursor() as cursor, cursor.copy(self._copy) as copy:
                copy.set_types([*(column.type for column in self.projection.columns), "bigint"])
                for row in packed.rows:
                    copy.write_row((*astuple(row), since))

    def keep(self, connection: Connection, keys: Collection[Key], mark: int, until: int) -> None:
        """Save the rows of these keys that were so at the mark, before they are replaced."""
        if keys:
            connection.execute(self._keep, (until, _encode(keys).decode(), mark))

    def scan(
        self, connection: Connection, project: str | None = None, source: Composable | None = None
    ) -> Iterator[R]:
        """Every row, or every row of a project, without holding them all; or those of another relation of its
        columns. Needs a transaction around it.
        """
        statement = SQL(
            "SELECT row_to_json(t)::text FROM {} t WHERE %(project)s::text IS NULL OR project = %(project)s"
        ).format(source or self.identifier)
        with connection.cursor(name="scan") as cursor:
            cursor.itersize = _SCAN_ROWS
            for (text,) in cursor.execute(statement, {"project": project}):
                yield self._decode(text)

    @cached_property
    def _upsert(self) -> Composed:
        """Insert a batch of rows given as a JSON array, or replace those that exist."""
        columns = self.projection.columns
        values = [column.name for column in columns if column.name not in self.projection.primary_key]
        replace = SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(n)) for n in (*values, SINCE))
        return SQL(
            "INSERT INTO {table} ({names}, _since)"
            " SELECT {names}, %s FROM json_to_recordset(%s::json) AS t ({types})"
            " ON CONFLICT ({key}) DO UPDATE SET {replace}"
        ).format(
            table=self.identifier,
            names=self.columns,
            types=self._types(column.name for column in columns),
            key=_names(self.projection.primary_key),
            replace=replace,
        )

    def _update_of(self, columns: Sequence[str]) -> Composed:
        """Change these columns of the rows that a JSON array has by their keys."""
        key = self.projection.primary_key
        return SQL(
            "UPDATE {table} t SET {changed} _since = %s FROM json_to_recordset(%s::json) AS r ({types})"
            " WHERE {same}"
        ).format(
            table=self.identifier,
            changed=SQL("").join(SQL("{0} = r.{0}, ").format(Identifier(name)) for name in columns),
            types=self._types([*key, *columns]),
            same=SQL(" AND ").join(SQL("t.{0} = r.{0}").format(Identifier(name)) for name in key),
        )

    def _types(self, names: Iterable[str]) -> Composed:
        """Columns with their types."""
        types = {column.name: column.type for column in self.projection.columns}
        return SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(types[name])) for name in names)

    @cached_property
    def _copy(self) -> Composed:
        return SQL("COPY {} ({}, _since) FROM STDIN (FORMAT BINARY)").format(self.identifier, self.columns)

    @cached_property
    def _keep(self) -> Composed:
        return SQL(
            "INSERT INTO {past} ({columns}, _since, _until) SELECT {columns}, _since, %s FROM {} t"
            " JOIN json_array_elements(%s::json) AS k (_key) ON {} WHERE _since <= %s"
        ).format(self.identifier, self._same_key, past=self.past, columns=self.columns)

    @cached_property
    def _same_key(self) -> Composed:
        """Row `t` is the one whose key is the JSON array `k`."""
        types = {column.name: column.type for column in self.projection.columns}
        return SQL(" AND ").join(
            SQL("t.{} = (k._key ->> {})::{}").format(Identifier(name), place, SQL(types[name]))
            for place, name in enumerate(self.projection.primary_key)
        )


@lru_cache(_REMEMBERED_STATEMENTS)
def _struct_of(names: tuple[str, ...]) -> type[Struct]:
    """Something that is encoded as a JSON object with these fields: several times as fast as a dict."""
    return msgspec.defstruct("Changed", [(name, Any) for name in names])


def order_term(column: str) -> Composable:
    """A column to order by, `-` before one that goes down."""
    name = column.removeprefix("-")
    return SQL("{}{}").format(Identifier(name), SQL(" DESC" if name != column else ""))


def _names(names: Iterable[str]) -> Composed:
    return SQL(", ").join(map(Identifier, names))


def _chunks(rows: Iterable[bytes]) -> Iterator[str]:
    """Rows as JSON arrays of bounded size: a statement's parameter must not grow with what the rows carry."""
    chunk: list[bytes] = []
    size_bytes = 0
    for encoded in rows:
        chunk.append(encoded)
        size_bytes += len(encoded)
        if size_bytes >= _CHUNK_BYTES:
            yield f"[{b','.join(chunk).decode()}]"
            chunk, size_bytes = [], 0
    if chunk:
        yield f"[{b','.join(chunk).decode()}]"
