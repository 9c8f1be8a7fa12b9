"""Rows of the past as one relation: those at a mark, and over them those that changed since. Pure."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.sql import SQL, Composable, Identifier

from services.projector.tables import COLLATION, Table

CHANGED = "changed_rows"


def overlaid(
    table: Table[Any], source: Composable | None, changed: Collection[Struct]
) -> tuple[Composable, dict[str, Any]]:
    """The relation, and the value of its placeholder: the changed rows, which hide others of their keys.

    `source` has the rows at the mark, if there were any.
    """
    columns = table.projection.columns
    names = SQL(", ").join(Identifier(column.name) for column in columns)
    typed = SQL(", ").join(SQL("{} {}").format(Identifier(each.name), SQL(each.type)) for each in columns)
    read = SQL(", ").join(
        SQL("r.{0} {1} AS {0}").format(Identifier(each.name), SQL(COLLATION if each.type == "text" else ""))
        for each in columns
    )
    over = SQL("SELECT {} FROM json_to_recordset(%({})s::json) AS r ({})").format(read, SQL(CHANGED), typed)
    values = {CHANGED: msgspec.json.encode([*changed]).decode()}
    if source is None:
        return SQL("({})").format(over), values
    same = SQL(" AND ").join(
        SQL("c.{0} = b.{0}").format(Identifier(name)) for name in table.projection.primary_key
    )
    kept = SQL("SELECT {} FROM {} AS b WHERE NOT EXISTS (SELECT FROM ({}) AS c WHERE {})")
    return SQL("({} UNION ALL {})").format(kept.format(names, source, over, same), over), values
