"""What differs between two states of a row, field by field, and what an event changes. Pure."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal

from msgspec import Struct

from domain.messages import Recorded
from projections.framework import Key, Projection


class FieldChange(Struct, frozen=True):
    """A field that differs; a row that is not there holds None in every field."""

    field: str
    old: Any
    new: Any


class RowChange(Struct, frozen=True):
    """A row that differs. `key` is its primary key without the project."""

    view: str
    key: Key
    what: Literal["added", "changed", "removed"]
    fields: tuple[FieldChange, ...]


def row_changes(before: Struct | None, after: Struct | None) -> list[FieldChange]:
    """The fields in which a row differs from itself before, in the order of the row's fields."""
    row = before if before is not None else after
    if row is None or before is after:
        return []
    pairs = (
        (name, getattr(before, name, None), getattr(after, name, None)) for name in row.__struct_fields__
    )
    return [FieldChange(name, old, new) for name, old, new in pairs if old != new]


def change_of(view: str, key: Key, before: Struct | None, after: Struct | None) -> RowChange | None:
    """What became of one row between two points; None if nothing did."""
    fields = row_changes(before, after)
    if not fields:
        return None
    what: Literal["added", "changed", "removed"] = "changed"
    if before is None or after is None:
        what = "added" if before is None else "removed"
    return RowChange(view, key[1:], what, tuple(fields))


def event_changes(
    projections: Iterable[Projection[Any]],
    recorded: Recorded,
    rows: Mapping[str, MutableMapping[Key, Any]],
) -> list[RowChange]:
    """What an event changes, by the projections' own folds.

    `rows` are, by projection, those that the event touches as they were before it; they are brought to what
    they are after it, so that the next event can follow.
    """
    changes: list[RowChange | None] = []
    for projection in projections:
        touches = projection.touches([recorded])
        if not touches:
            continue
        held = rows[projection.name]
        before = {key: held.get(key) for _, key, _ in touches}
        projection.fold_into(held, touches)
        changes += [change_of(projection.name, key, row, held.get(key)) for key, row in before.items()]
    return [change for change in changes if change is not None]
