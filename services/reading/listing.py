"""A view of a read model as SQL over its live table. It reads what it is asked for, and writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString

import msgspec
import psycopg
from msgspec import Struct
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable, Composed, Identifier

from projections.framework import Projection
from projections.views import MAX_ROWS, Filter, Page, View
from services.errors import Unavailable
from services.projector.layers import union
from services.projector.tables import Connection, Table, order_term


def served(projection: Projection[Any]) -> Table[Any]:
    """What is read: the name that always stands for the table being served."""
    return Table(projection, projection.name)


_FOUND: LiteralString = 'strpos(lower({} COLLATE "pg_c_utf8"), lower(%s::text COLLATE "pg_c_utf8")) > 0'
"""That collation knows the small letters of every alphabet, the same ones on every system."""

_Condition = tuple[Composable, list[Any]]
"""A condition, and the values of its placeholders."""


def chosen(
    connection: Connection,
    view: View[Any],
    project: str,
    page: Page,
    *,
    parts: Sequence[Composable] = (),
    limit_rows: int | None = None,
) -> list[Any]:
    """The rows of a project that the view lists.

    They are of the live table, or of all `parts`; `limit_rows` from the first on, whatever the page says.
    """
    filters = (Filter(("project",), (project,)), *view.filters(page))
    order = SQL(", ").join(map(order_term, view.order))
    bounds = (page.limit, page.offset) if limit_rows is None else (limit_rows, 0)
    return _rows(connection, view.projection, parts, filters, order, *bounds)


def all_rows(
    connection: Connection,
    projection: Projection[Any],
    filters: Sequence[Filter],
    parts: Sequence[Composable] = (),
) -> list[Any]:
    """All rows that pass, but never more than a view may list."""
    key = SQL(", ").join(map(Identifier, projection.key))
    return _rows(connection, projection, parts, filters, key, MAX_ROWS, 0)


def query(
    connection: Connection,
    projection: Projection[Any],
    name: str,
    parameters: Mapping[str, Any],
    source: Composable | None = None,
) -> list[dict[str, Any]]:
    """The result of one of the projection's named queries."""
    table = served(projection).identifier if source is None else SQL("{} AS rows").format(source)
    statement = SQL(projection.queries[name]).format(table=table)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def _rows(
    connection: Connection,
    projection: Projection[Any],
    parts: Sequence[Composable],
    filters: Sequence[Filter],
    order: Composable,
    limit_rows: int,
    offset_rows: int,
) -> list[Any]:
    """Each part is cut for itself first, so that each can be read in the order of an index."""
    conditions = [_condition(each) for each in filters]
    passing = SQL(" AND ").join(text for text, _ in conditions)
    values = [value for _, each in conditions for value in each]
    cut = SQL("(SELECT * FROM {} t WHERE {} ORDER BY {} LIMIT %s)")
    sources: list[Composable] = [union([part]) for part in parts]
    branches = [cut.format(part, passing, order) for part in sources or [served(projection).identifier]]
    statement = SQL(
        "SELECT row_to_json(t)::text FROM (SELECT * FROM {} u ORDER BY {} LIMIT %s OFFSET %s) t"
    ).format(union(branches), order)
    bounds = [*values, limit_rows + offset_rows] * len(branches)
    try:
        return list(_decoded(connection, projection.row, statement, [*bounds, limit_rows, offset_rows]))
    except (msgspec.ValidationError, psycopg.errors.UndefinedColumn) as error:
        why = "its table is of another version; it is being rebuilt"
        raise Unavailable(what=f"The read model {projection.name}", why=why) from error


def _decoded(
    connection: Connection, row: type[Struct], statement: Composed, values: Sequence[Any]
) -> Iterator[Struct]:
    decode = msgspec.json.Decoder(row).decode
    for (text,) in connection.execute(statement, values):
        yield decode(text)


def _condition(asked: Filter) -> _Condition:
    """One value is compared as such: rows come in the order of an index only then."""
    value: Any = asked.values[0] if len(asked.values) == 1 else list(asked.values)
    if asked.several:
        test, value = SQL("{} ?| %s"), list(asked.values)
    elif asked.least:
        test = SQL("{} >= %s")
    elif asked.search:
        test = SQL(_FOUND)
    else:
        test = SQL("{} = %s" if len(asked.values) == 1 else "{} = ANY(%s)")
    either = SQL(" OR ").join(test.format(Identifier(column)) for column in asked.columns)
    return SQL("({})").format(either), [value] * len(asked.columns)
