"""Which rows differ between two marks, found where rows are kept, at a cost that follows how many they are.

Rows at a mark come in parts: those that a stream wrote itself, and below them those of the layer it stands
on. Parts that two marks share hold nothing that differs. Where the sides go apart, the versions of rows tell:
what was written after the one mark and held at the other. Only rows of the parts above that are looked up on
both sides. It reads the tables of projections, and writes nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, LiteralString

import msgspec
from msgspec import Struct
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from projections.framework import Key
from projections.views import Filter
from services.projector.bases import Base
from services.projector.layers import Layers
from services.projector.tables import Connection, Table
from services.reading.replay import Rows


class Part(Struct, frozen=True):
    """The rows that a stream wrote from the position `first` on, as they were at the mark `at`."""

    stream: str
    first: int
    at: int

    def is_of(self, other: "Part") -> bool:
        """Whether both are of the same rows, maybe at different marks."""
        return (self.stream, self.first) == (other.stream, other.first)


class Found(Struct, frozen=True):
    """How many rows were `added`, `removed`, `changed`, and the keys of the first of them, in order."""

    counts: Mapping[str, int]
    keys: Sequence[Key]


FEW_LOOPS: LiteralString = "SET LOCAL enable_nestloop = off"

_ALL = SQL("true")
NOTHING_FOUND = Found({}, ())


class Deltas:
    """Reads and compares the rows of projections at marks, all under the name of one project.

    In a transaction that began with `FEW_LOOPS`: what Postgres knows of a stream may be older than the
    stream, and it would look through all its rows for each row of another.
    """

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
            skipped=_as_rows(table, SQL("%(skipped)s")),
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

    def load(self, table: Table[Any], base: Base, keys: Collection[Key]) -> Rows:
        """The rows there are of these keys at a mark."""
        parts = self._parts(table, base)
        if not parts or not keys:
            return {}
        wanted = _as_rows(table, Literal(msgspec.json.encode([*keys]).decode()))
        found = self._with_touched(table, self._nothing(table), parts[:1], parts[1:])
        source = SQL("(WITH touched AS MATERIALIZED ({}) SELECT * FROM {} AS found)").format(wanted, found)
        return table.load_all(self._connection, source)

    def _relations(
        self, table: Table[Any], left: Base, right: Base
    ) -> tuple[Composable, Composable, Composable] | None:
        """What both need, and the rows of either side that may differ; None if there can be none."""
        lower, upper = self._parts(table, left), self._parts(table, right)
        common = sum(1 for _ in _alike(lower, upper))
        one, other = lower[common:], upper[common:]
        if not one and not other:
            return None
        if one and other and one[0].is_of(other[0]):
            older, newer = self._older(table, one[0], other[0]), self._newer(table, one[0], other[0])
            before, after = (older, newer) if one[0].at < other[0].at else (newer, older)
            one, other = one[1:], other[1:]
        elif common:
            before = after = self._nothing(table)
        else:
            return SQL(""), self._shown(table, lower), self._shown(table, upper)
        if not one and not other:
            return SQL(""), before, after
        shared = SQL("touched AS MATERIALIZED ({}),").format(self._keys(table, [*one, *other]))
        below = lower[: len(lower) - len(one)], upper[: len(upper) - len(other)]
        before = self._with_touched(table, before, below[0], one)
        return shared, before, self._with_touched(table, after, below[1], other)

    def _keys(self, table: Table[Any], parts: Sequence[Part]) -> Composable:
        """The keys of the rows in these parts."""
        key = _joined(map(Identifier, table.projection.primary_key))
        held = (self._held(table, part, part.at) for part in parts)
        return SQL(" UNION ").join(SQL("SELECT {} FROM {} w").format(key, each) for each in held)

    def _with_touched(
        self, table: Table[Any], rows: Composable, below: Sequence[Part], above: Sequence[Part]
    ) -> Composable:
        """The rows, and instead of those that are touched what there is of them: above, or else below."""
        levels = SQL(" UNION ALL ").join(
            SQL("SELECT {} AS _level, x.* FROM {} x").format(Literal(level), self._keyed(table, part, "w"))
            for level, part in enumerate(below)
        )
        return SQL(
            "(SELECT {columns} FROM {rows} t WHERE NOT EXISTS (SELECT FROM touched w WHERE {same})"
            " UNION ALL SELECT {columns} FROM {shown} t WHERE EXISTS (SELECT FROM touched w WHERE {same})"
            " UNION ALL SELECT {columns} FROM (SELECT highest.* FROM"
            " (SELECT * FROM touched t WHERE {elsewhere}) AS w, LATERAL"
            " (SELECT * FROM ({levels}) AS levels ORDER BY _level DESC LIMIT 1) AS highest) AS found)"
        ).format(
            columns=_columns(table),
            rows=rows,
            same=_equal("w", "t", table.projection.primary_key),
            shown=self._shown(table, above),
            elsewhere=self._not_in(table, above),
            levels=levels,
        )

    def _parts(self, table: Table[Any], base: Base) -> list[Part]:
        """What a stream's rows at a mark are made of, the lowest first; each hides rows of those below."""
        if not base.mark:
            return []
        layer = self._layers.under(base.stream, at=base.mark, record=table.projection.record)
        if layer is None:
            return [Part(base.stream, 0, base.mark)]
        below = self._parts(table, Base(layer.source, layer.mark, 0))
        return [*below, Part(base.stream, layer.position, base.mark)]

    def _nothing(self, table: Table[Any]) -> Composable:
        return SQL("(SELECT {} FROM {} WHERE false)").format(_columns(table), table.identifier)

    def _shown(self, table: Table[Any], parts: Sequence[Part]) -> Composable:
        """The rows of these parts, but for those that are hidden."""
        rows = [
            SQL("SELECT * FROM {} t WHERE {}").format(
                self._held(table, part, part.at), self._not_in(table, parts[place + 1 :])
            )
            for place, part in enumerate(parts)
        ]
        return SQL("({})").format(SQL(" UNION ALL ").join([self._nothing(table), *rows]))

    def _not_in(self, table: Table[Any], parts: Sequence[Part]) -> Composable:
        """Row `t` is of a key that these parts do not have."""
        same = _equal("h", "t", table.projection.key)
        tests = [
            SQL("NOT EXISTS (SELECT FROM {} h WHERE {})").format(self._held(table, each, each.at), same)
            for each in parts
        ]
        return SQL(" AND ").join([_ALL, *tests])

    def _newer(self, table: Table[Any], one: Part, other: Part) -> Composable:
        """The rows at the later of two marks that were written since the other."""
        early, late = sorted((one.at, other.at))
        return self._held(table, one, late, SQL("{} > {}").format(_written(table), Literal(early)))

    def _older(self, table: Table[Any], one: Part, other: Part) -> Composable:
        """The rows at the earlier of two marks that were replaced by the other."""
        early, late = sorted((one.at, other.at))
        condition = SQL("_since >= {} AND _until <= {}").format(Literal(one.first), Literal(late))
        return SQL("({})").format(self._select(table, table.kept_at(one.stream, early), one, condition))

    def _held(self, table: Table[Any], part: Part, at: int, condition: Composable = _ALL) -> Composable:
        """The rows that a stream itself held at a mark: those it still has, and those it had."""
        since = SQL("_since >= {} AND {}").format(Literal(part.first), condition)
        live = SQL("{} <= {} AND {}").format(_written(table), Literal(at), since)
        return SQL("({} UNION ALL {})").format(
            self._select(table, table.identifier, part, live),
            self._select(table, table.kept_at(part.stream, at), part, since),
        )

    def _keyed(self, table: Table[Any], part: Part, wanted: str) -> Composable:
        """The row of a part that has the key of a row of another relation, found by its key."""
        same = _equal("x", wanted, table.projection.key)
        bounds = SQL("_since + 0 >= {} AND _since + 0 <= {}").format(Literal(part.first), Literal(part.at))
        live = SQL("{} AND {}").format(same, bounds)
        past = SQL("{} AND {} AND _until > {}").format(same, bounds, Literal(part.at))
        return SQL("({} UNION ALL {})").format(
            self._select(table, table.identifier, part, live), self._select(table, table.past, part, past)
        )

    def _select(
        self, table: Table[Any], relation: Composable, part: Part, condition: Composable
    ) -> Composable:
        rest = _joined(Identifier(column.name) for column in table.projection.columns[1:])
        return SQL(
            'SELECT {}::text COLLATE "C" AS project, {}, _since FROM {} x WHERE project = {} AND {}'
        ).format(Literal(self._named), rest, relation, Literal(part.stream), condition)


def _alike(left: Sequence[Part], right: Sequence[Part]) -> Iterator[Part]:
    """The parts that both begin with."""
    for one, other in zip(left, right, strict=False):
        if one != other:
            return
        yield one


def _columns(table: Table[Any]) -> Composable:
    return SQL("{}, _since").format(table.columns)


def _written(table: Table[Any]) -> Composable:
    """Where a row was written: rows of events are found by the index of their keys."""
    return Identifier("position" if table.projection.key == ("position",) else "_since")


def _as_rows(table: Table[Any], keys: Composable) -> Composable:
    """Keys that are given as JSON, as rows."""
    types = {column.name: column.type for column in table.projection.columns}
    fields = _joined(
        SQL("(k ->> {})::{} AS {}").format(Literal(place), SQL(types[name]), Identifier(name))
        for place, name in enumerate(table.projection.primary_key)
    )
    return SQL("SELECT {} FROM json_array_elements({}::json) AS k").format(fields, keys)


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
