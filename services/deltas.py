"""Which rows differ between two marks, found where rows are kept, at a cost that follows how many they are.

Rows at a mark come in parts: those that a stream wrote itself, and below them those of the layer it stands
on. Parts that two marks share hold nothing that differs. Where they part, the versions of rows tell: what was
written after the one mark and held at the other. Only rows of parts above that are looked up on both sides.
It reads the tables of projections, and writes nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from projections.framework import Key
from projections.views import Filter
from services.bases import Base
from services.layers import Layers, rows_of
from services.tables import Connection, Table

_LOOKED_UP_ROWS = 5_000
"""So many rows are looked up one by one; to find more, all are read."""


class Part(Struct, frozen=True):
    """The rows that a stream wrote from the position `first` on, as they were at the mark `at`."""

    stream: str
    first: int
    at: int


class Found(Struct, frozen=True):
    """How many rows were `added`, `removed`, `changed`, and the keys of the first of them, in order."""

    counts: Mapping[str, int]
    keys: Sequence[Key]


NOTHING_FOUND = Found({}, ())


class Deltas:
    """Compares the rows of projections at two marks, both under the name of one project."""

    def __init__(self, connection: Connection, layers: Layers, named: str) -> None:
        self._connection = connection
        self._layers = layers
        self._named = named

    def find(
        self,
        table: Table[Any],
        left: Base,
        right: Base,
        *,
        without: Collection[Key],
        filters: Sequence[Filter] = (),
        limit_rows: int,
    ) -> Found:
        """The rows that differ, but for those of some keys; they pass the filters on either side."""
        relations = self._relations(table, left, right)
        if relations is None:
            return NOTHING_FOUND
        shared, before, after = relations
        names = table.projection.primary_key
        statement = SQL(
            "WITH skipped AS MATERIALIZED ({skipped}), {shared}"
            " a AS (SELECT * FROM {before} t WHERE {kept}), b AS (SELECT * FROM {after} t WHERE {kept}),"
            " differing AS MATERIALIZED (SELECT {key}, CASE WHEN a._since IS NULL THEN 'added'"
            " WHEN b._since IS NULL THEN 'removed' ELSE 'changed' END AS what"
            " FROM a FULL JOIN b ON {same} WHERE {differ} AND {passes})"
            " SELECT (SELECT json_object_agg(what, n)::text FROM"
            " (SELECT what, count(*) AS n FROM differing GROUP BY what) AS counted),"
            " (SELECT json_agg(json_build_array({names}) ORDER BY {names})::text FROM"
            " (SELECT * FROM differing ORDER BY {names} LIMIT {limit}) AS first)"
        ).format(
            skipped=_skipped(table),
            shared=shared,
            before=before,
            after=after,
            kept=SQL("NOT EXISTS (SELECT FROM skipped s WHERE {})").format(_equal("s", "t", names)),
            key=_joined(SQL("coalesce(a.{0}, b.{0}) AS {0}").format(Identifier(name)) for name in names),
            same=_equal("a", "b", names),
            differ=SQL(
                "(a._since IS NULL OR b._since IS NULL OR to_jsonb(a) - '_since' <> to_jsonb(b) - '_since')"
            ),
            passes=_passes(filters),
            names=_joined(map(Identifier, names)),
            limit=Literal(limit_rows),
        )
        skip = msgspec.json.encode([*without]).decode()
        row = self._connection.execute(statement, {"skipped": skip}).fetchone()
        assert row is not None  # a SELECT without FROM has one row
        counts, keys = (msgspec.json.decode(text) if text else None for text in row)
        return Found(counts or {}, [tuple(key) for key in keys or ()])

    def _relations(
        self, table: Table[Any], left: Base, right: Base
    ) -> tuple[Composable, Composable, Composable] | None:
        """What both need, and the rows of either side that may differ; None if there can be none."""
        lower, upper = self._parts(table, left), self._parts(table, right)
        common = sum(1 for _ in _alike(lower, upper))
        lower, upper = lower[common:], upper[common:]
        if not lower and not upper:
            return None
        if not left.mark or not right.mark:
            return SQL(""), self._whole(table, left), self._whole(table, right)
        written: list[Composable] = []
        if lower and upper and (lower[0].stream, lower[0].first) == (upper[0].stream, upper[0].first):
            part, marks = lower[0], (lower[0].at, upper[0].at)
            if len(lower) == len(upper) == 1:
                older, newer = self._older(table, part, *marks), self._newer(table, part, *marks)
                return SQL(""), *((older, newer) if marks[0] < marks[1] else (newer, older))
            written.append(self._newer(table, part, *marks))
            lower, upper = lower[1:], upper[1:]
        written += [self._at(table, part) for part in (*lower, *upper)]
        return self._either(table, left, right, written)

    def _either(
        self, table: Table[Any], left: Base, right: Base, written: Sequence[Composable]
    ) -> tuple[Composable, Composable, Composable]:
        """The rows of both sides whose keys have been written in one of some relations."""
        names = table.projection.primary_key
        key = _joined(map(Identifier, names))
        touched = SQL(" UNION ").join(SQL("SELECT {} FROM {} w").format(key, each) for each in written)
        few = self._connection.execute(
            SQL("SELECT count(*) < {} FROM ({}) AS touched").format(Literal(_LOOKED_UP_ROWS), touched)
        ).fetchone() == (True,)
        rows = "(SELECT t.* FROM {} t JOIN touched w ON {})"
        if few:  # one look into the index for each
            rows = "(SELECT t.* FROM touched w, LATERAL (SELECT * FROM {} t WHERE {} OFFSET 0) t)"
        same = _equal("w", "t", names)
        before, after = (
            SQL(rows).format(self._whole(table, base, by_key=few), same) for base in (left, right)
        )
        shared = SQL("touched AS MATERIALIZED ({}),").format(touched)
        return shared, before, after

    def _parts(self, table: Table[Any], base: Base) -> list[Part]:
        """What a stream's rows at a mark are made of, the lowest first; each hides rows of those below."""
        if not base.mark:
            return []
        layer = self._layers.under(base.stream, at=base.mark, record=table.projection.record)
        if layer is None:
            return [Part(base.stream, 0, base.mark)]
        below = self._parts(table, Base(layer.source, layer.mark, 0))
        return [*below, Part(base.stream, layer.position, base.mark)]

    def _whole(self, table: Table[Any], base: Base, *, by_key: bool = False) -> Composable:
        """All rows at a mark."""
        if not base.mark:
            return SQL("(SELECT * FROM {} WHERE false)").format(table.identifier)
        return rows_of(table, self._layers, base.stream, at=base.mark, named=self._named, by_key=by_key)

    def _newer(self, table: Table[Any], part: Part, one: int, other: int) -> Composable:
        """The rows at the later of two marks that were written since the other."""
        early, late = sorted((one, other))
        return self._held(table, part, late, SQL("{} > {}").format(_written(table), Literal(early)))

    def _older(self, table: Table[Any], part: Part, one: int, other: int) -> Composable:
        """The rows at the earlier of two marks that were replaced by the other."""
        early, late = sorted((one, other))
        replaced = SQL("int8range(_since, _until) @> {}::bigint AND _until <= {}")
        return SQL("({})").format(
            self._select(table, table.past, part, replaced.format(Literal(early), Literal(late)))
        )

    def _at(self, table: Table[Any], part: Part) -> Composable:
        """The rows of a part, those that it hides below left out."""
        return self._held(table, part, part.at, SQL("true"))

    def _held(self, table: Table[Any], part: Part, at: int, condition: Composable) -> Composable:
        """The rows that a stream itself held at a mark: those it still has, and those it had."""
        live = SQL("{} <= {} AND {}").format(_written(table), Literal(at), condition)
        past = SQL("int8range(_since, _until) @> {}::bigint AND {}").format(Literal(at), condition)
        return SQL("({} UNION ALL {})").format(
            self._select(table, table.identifier, part, live), self._select(table, table.past, part, past)
        )

    def _select(
        self, table: Table[Any], relation: Identifier, part: Part, condition: Composable
    ) -> Composable:
        rest = _joined(Identifier(column.name) for column in table.projection.columns[1:])
        return SQL(
            'SELECT {}::text COLLATE "C" AS project, {}, _since FROM {}'
            " WHERE project = {} AND _since >= {} AND {}"
        ).format(Literal(self._named), rest, relation, Literal(part.stream), Literal(part.first), condition)


def _alike(left: Sequence[Part], right: Sequence[Part]) -> Iterator[Part]:
    """The parts that both begin with."""
    for one, other in zip(left, right, strict=False):
        if one != other:
            return
        yield one


def _written(table: Table[Any]) -> Composable:
    """Where a row was written: rows of events are found by the index of their keys."""
    return Identifier("position" if table.projection.key == ("position",) else "_since")


def _skipped(table: Table[Any]) -> Composable:
    """The keys that are given as JSON, as rows."""
    types = {column.name: column.type for column in table.projection.columns}
    fields = _joined(
        SQL("(k ->> {})::{} AS {}").format(Literal(place), SQL(types[name]), Identifier(name))
        for place, name in enumerate(table.projection.primary_key)
    )
    return SQL("SELECT {} FROM json_array_elements(%(skipped)s::json) AS k").format(fields)


def _passes(filters: Sequence[Filter]) -> Composable:
    """The row of one side has one of the values in one of the columns, for each filter."""
    tests = [
        SQL(" OR ").join(
            SQL("{} = ANY({})").format(Identifier(side, column), Literal([*each.values]))
            for side in ("a", "b")
            for column in each.columns
        )
        for each in filters
    ]
    return SQL(" AND ").join([SQL("true"), *(SQL("({})").format(test) for test in tests)])


def _equal(one: str, other: str, names: Iterable[str]) -> Composed:
    return SQL(" AND ").join(
        SQL("{} = {}").format(Identifier(one, name), Identifier(other, name)) for name in names
    )


def _joined(terms: Iterable[Composable]) -> Composed:
    return SQL(", ").join(terms)
