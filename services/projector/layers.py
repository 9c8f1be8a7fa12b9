"""Layers: what a project's rows stand on when it was forked or restored.

From the position of its fork or restore on, a project has rows of its own as they change; all others are
those of another history, at the last mark before the point that it went back to. So a fork shares rows
instead of copying them. What changed between mark and point is folded again, as the first of its own.

It touches the table `coord.layers`, which projectors fill when they meet a fork or a restore in the log.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct
from psycopg.rows import class_row
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from services.projector.tables import Connection, Table

LAYERS_TABLE = """
CREATE TABLE IF NOT EXISTS coord.layers (
    project text NOT NULL,
    position bigint NOT NULL,
    source text NOT NULL,
    mark bigint NOT NULL,
    restored bool NOT NULL,
    PRIMARY KEY (project, position)
)
"""


class Layer(Struct, frozen=True, kw_only=True):
    """From `position` on `project` stands on the rows that `source` had at the checkpoint `mark`.

    `restored` if it went back in its own history: records of what happened do not.
    """

    project: str
    position: int
    source: str
    mark: int
    restored: bool


class Layers:
    """All layers there are; few."""

    def __init__(self, layers: Iterable[Layer] = ()) -> None:
        self._all = sorted(layers, key=lambda each: each.position)
        self._of: defaultdict[str, list[Layer]] = defaultdict(list)
        for layer in self._all:
            self._of[layer.project].append(layer)

    def projects(self) -> list[str]:
        """The projects that stand on layers."""
        return sorted(self._of)

    def until(self, position: int) -> "Layers":
        """Those that there were at a position."""
        return Layers(each for each in self._all if each.position <= position)

    def restored(self, project: str) -> bool:
        """Whether the project went back in its own history."""
        return any(each.restored for each in self._of.get(project, ()))

    def begun(self, project: str, position: int) -> Layer | None:
        """The layer that begins exactly there."""
        return next((each for each in self._of.get(project, ()) if each.position == position), None)

    def with_one(self, layer: Layer) -> "Layers":
        """These, and one that may be among them already."""
        return self if layer in self._all else Layers([*self._all, layer])

    def under(self, project: str, *, at: int | None = None, record: bool = False) -> Layer | None:
        """What the project stands on, now or at a position."""
        for layer in reversed(self._of.get(project, [])):
            if (at is None or layer.position <= at) and not (record and layer.restored):
                return layer
        return None


NO_LAYERS: Final = Layers()


def read_layers(connection: Connection) -> Layers:
    with connection.cursor(row_factory=class_row(Layer)) as cursor:
        return Layers(cursor.execute("SELECT project, position, source, mark, restored FROM coord.layers"))


def add_layer(connection: Connection, layer: Layer) -> bool:
    """Note a layer; false if the projector of another projection has noted another, which holds for all."""
    connection.execute(
        "INSERT INTO coord.layers (project, position, source, mark, restored)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (layer.project, layer.position, layer.source, layer.mark, layer.restored),
    )
    return read_layers(connection).begun(layer.project, layer.position) == layer


def rows_of(
    table: Table[Any],
    layers: Layers,
    project: str,
    *,
    at: int | None = None,
    named: str | None = None,
    by_key: bool = False,
) -> Composed:
    """The relation of a project's rows, now or at a mark, with the columns of the table."""
    return union(parts_of(table, layers, project, at=at, named=named, by_key=by_key))


def union(parts: Sequence[Composable]) -> Composed:
    """The relation of the rows of all these."""
    return SQL("({})").format(SQL(" UNION ALL ").join(parts))


def parts_of(
    table: Table[Any],
    layers: Layers,
    project: str,
    *,
    at: int | None = None,
    named: str | None = None,
    by_key: bool = False,
) -> list[Composable]:
    """Queries that have the rows of a project between them, each row in one.

    The project's own rows hide those of the same key that its layer has. `named` is the project that the rows
    are to be of. `by_key` if they will be asked for by their keys: Postgres cannot tell how many were so at a
    mark, and would look for those first.
    """
    name = named or project
    layer = layers.under(project, at=at, record=table.projection.record)
    own = _own(table, project, at, layer.position if layer else 0, name, by_key=by_key)
    if layer is None:
        return own
    same = SQL(" AND ").join(SQL("o.{0} = b.{0}").format(Identifier(each)) for each in table.projection.key)
    hidden = SQL("SELECT FROM {} o WHERE {}").format(
        union(_own(table, project, at, layer.position, name, by_key=True)), same
    )
    below = parts_of(table, layers, layer.source, at=layer.mark, named=name, by_key=by_key)
    return [
        *own,
        *(SQL("SELECT * FROM ({}) b WHERE NOT EXISTS ({})").format(part, hidden) for part in below),
    ]


def _own(
    table: Table[Any], project: str, at: int | None, first: int, named: str, *, by_key: bool
) -> list[Composable]:
    """The rows that the project itself wrote since its layer began: those it still has, and those it had."""
    whose: Composable = SQL("project")
    if named != project:
        whose = SQL('{}::text COLLATE "C" AS project').format(Literal(named))
    rest = SQL(", ").join(Identifier(column.name) for column in table.projection.columns[1:])
    since = SQL("(_since + 0)" if by_key else "_since")  # a sum has no index: only the key's is of use
    selected = SQL("SELECT {}, {}, _since FROM {} WHERE project = {} AND {} >= {}")
    own = (Literal(project), since, Literal(first))
    live = selected.format(whose, rest, table.identifier, *own)
    if at is None:
        return [live]
    stays = table.projection.append_only and table.projection.record
    if stays and table.projection.key == ("position",):  # made there: so the key's index finds them
        return [live + SQL(" AND position <= {}").format(Literal(at))]
    live += SQL(" AND {} <= {}").format(since, Literal(at))
    if stays:
        return [live]
    if by_key:
        past = selected.format(whose, rest, table.past, *own)
        past += SQL(" AND {0} <= {1} AND _until > {1}").format(since, Literal(at))
    else:
        past = selected.format(whose, rest, SQL("{} kept").format(table.kept_at(project, at)), *own)
    return [live, past]
