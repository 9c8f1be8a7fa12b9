"""Declaring read models and folding events into their rows, in memory."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct
from msgspec.structs import replace

from domain.messages import Event, Recorded
from projections.framework import FoldFailed, Projection, Row, columns, on
from tests.services.sample import (
    HISTORY,
    ITEMS,
    SHELVES,
    ItemEvent,
    ItemRow,
    Moved,
    Stored,
    Swept,
    Taken,
    stored,
)


def recorded(event: Event, position: int = 1, project: str = "p") -> Recorded:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Recorded(
        position=position,
        sequence=position,
        project=project,
        actor="tester",
        at=at,
        command_id="c",
        event=event,
    )


def fold(projection: Projection[Any], *events: Event, project: str = "p") -> dict[Any, Any]:
    rows: dict[Any, Any] = {}
    for position, event in enumerate(events, 1):
        projection.fold_into(rows, projection.touches([recorded(event, position, project)]))
    return rows


def test_an_event_changes_the_row_that_its_field_names() -> None:
    rows = fold(ITEMS, Stored(item="a", shelf="x"), Stored(item="b", shelf="x"), Moved(item="b", shelf="y"))
    assert {key: row.shelf for key, row in rows.items()} == {("p", "a"): "x", ("p", "b"): "y"}


def test_rows_of_projects_are_apart() -> None:
    rows = fold(ITEMS, Stored(item="a", shelf="x"))
    ITEMS.fold_into(rows, ITEMS.touches([recorded(Stored(item="a", shelf="y"), project="q")]))
    assert [(row.project, row.shelf) for row in rows.values()] == [("p", "x"), ("q", "y")]


def test_an_event_can_change_two_rows_of_one_projection_in_the_declared_order() -> None:
    rows = fold(SHELVES, Stored(item="a", shelf="x"), Moved(item="a", origin="x", shelf="y"))
    assert {row.shelf: (row.arrived, row.left) for row in rows.values()} == {"x": (1, 1), "y": (1, 0)}


def test_a_missing_key_touches_no_row() -> None:
    rows = fold(SHELVES, Moved(item="a", origin=None, shelf="y"))
    assert list(rows) == [("p", "y")]


def test_an_event_can_change_each_of_many_rows() -> None:
    rows = fold(
        ITEMS,
        *[Stored(item=item, shelf="x") for item in "abc"],
        Swept(item="broom", items=("a", "c", "unknown")),
    )
    assert {row.item: row.swept for row in rows.values()} == {"a": True, "b": False, "c": True}


def test_a_fold_may_not_take_a_row_away() -> None:
    gone = Projection(
        name="gone",
        version=1,
        row=ItemRow,
        key=("item",),
        folds=(on(Stored, stored), on(Taken, lambda *_: None)),
    )
    assert fold(gone, Taken(item="a")) == {}
    with pytest.raises(FoldFailed, match="mark it instead"):
        fold(gone, Stored(item="a", shelf="x"), Taken(item="a"))


def test_a_fold_of_a_base_event_gets_all_its_kinds() -> None:
    rows = fold(HISTORY, Stored(item="a", shelf="x"), Taken(item="a"))
    assert [row.what for row in rows.values()] == ["item.stored", "item.taken"]


class PairRow(Row, frozen=True, kw_only=True):
    item: str
    shelf: str
    count: int = 0


def test_keys_of_several_parts_come_from_fields_or_from_a_tuple() -> None:
    def count(row: PairRow | None, event: Stored | Moved, it: Recorded) -> PairRow:
        row = row or PairRow(project=it.project, item=event.item, shelf=event.shelf)
        return replace(row, count=row.count + 1)

    pairs = Projection(
        name="pairs",
        version=1,
        row=PairRow,
        key=("item", "shelf"),
        folds=(on(Stored, count), on(Moved, count, key=lambda event, _: (event.item, event.shelf))),
    )
    rows = fold(pairs, Stored(item="a", shelf="x"), Moved(item="a", shelf="x"), Moved(item="a", shelf="y"))
    assert {key: row.count for key, row in rows.items()} == {("p", "a", "x"): 2, ("p", "a", "y"): 1}


def test_a_fold_that_raises_is_named_with_its_position() -> None:
    def fails(row: Any, event: Stored, it: Recorded) -> Any:
        raise KeyError("missing")

    projection = Projection(name="bad", version=1, row=ITEMS.row, key=("item",), folds=(on(Stored, fails),))
    with pytest.raises(FoldFailed, match="Projection bad cannot fold event Stored at position 7") as error:
        projection.fold_into({}, projection.touches([recorded(Stored(item="a", shelf="x"), position=7)]))
    assert isinstance(error.value.__cause__, KeyError)


def test_a_fold_that_changes_the_key_is_refused() -> None:
    def renames(row: Any, event: Stored, it: Recorded) -> Any:
        return replace(stored(None, event, it), item="other")

    projection = Projection(name="bad", version=1, row=ITEMS.row, key=("item",), folds=(on(Stored, renames),))
    with pytest.raises(FoldFailed, match="other"):
        fold(projection, Stored(item="a", shelf="x"))


def test_an_append_only_row_is_not_touched_twice() -> None:
    projection = Projection(
        name="bad", version=1, row=ITEMS.row, key=("item",), folds=(on(Stored, stored),), append_only=True
    )
    with pytest.raises(FoldFailed, match="append-only"):
        fold(projection, Stored(item="a", shelf="x"), Stored(item="a", shelf="y"))


class Loose(Struct, frozen=True):
    project: str
    item: str | None
    tags: tuple[str, ...] = ()


class Thawed(Struct):
    project: str
    item: str


class Sparse(Struct, frozen=True, omit_defaults=True):
    project: str
    item: str = ""


class Homeless(Struct, frozen=True):
    item: str


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Items"}, "lower-case"),
        ({"name": "items_v2"}, "lower-case"),
        ({"version": 0}, "versions"),
        ({"row": Loose}, "plain values"),
        ({"row": Loose, "key": ("tags",)}, "plain values"),
        ({"row": Thawed}, "frozen"),
        ({"row": Sparse}, "plain frozen"),
        ({"row": Homeless}, "first field"),
        ({"key": ("nothing",)}, "key names fields"),
        ({"key": ()}, "key names fields"),
        ({"indexes": (("nothing",),)}, "indexes"),
        ({"folds": (on(ItemEvent, stored, key="nothing"),)}, "ItemEvent has no field nothing"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_reason(changes: dict[str, Any], says: str) -> None:
    declared: dict[str, Any] = {
        "name": "items",
        "version": 1,
        "row": ITEMS.row,
        "key": ("item",),
        "folds": (),
    }
    with pytest.raises(TypeError, match=says):
        Projection(**({"folds": ()} | declared | changes))


class Colour(Enum):
    RED = "red"


class Inner(Struct, frozen=True):
    parts: tuple["Inner", ...] = ()
    weight: float = 0.0


class EveryKind(Row, frozen=True, kw_only=True):
    text: Annotated[str, Meta(max_length=5)]
    maybe_text: str | None
    number: int
    ratio: float | None
    flag: bool
    at: datetime
    state: Literal["on", "off"] | None
    colour: Colour
    names: tuple[str, ...]
    inner: Inner | None
    counts: dict[str, int]
    either: str | int
    free: Any
    bag: dict[str, Any] | None
    numeric: list[int | float]


def test_each_kind_of_field_has_its_column() -> None:
    assert [(column.name, column.type, column.nullable) for column in columns(EveryKind)] == [
        ("project", "text", False),
        ("text", "text", False),
        ("maybe_text", "text", True),
        ("number", "bigint", False),
        ("ratio", "float8", True),
        ("flag", "bool", False),
        ("at", "timestamptz", False),
        ("state", "text", True),
        ("colour", "text", False),
        ("names", "jsonb", False),
        ("inner", "jsonb", True),
        ("counts", "json", False),
        ("either", "jsonb", False),
        ("free", "json", True),
        ("bag", "json", True),
        ("numeric", "json", False),
    ]


def test_a_key_function_may_name_no_row_at_all() -> None:
    projection = Projection(
        name="items",
        version=1,
        row=ITEMS.row,
        key=("item",),
        folds=(on(Stored, stored, key=lambda _event, _recorded: None),),
    )
    assert fold(projection, Stored(item="a", shelf="x")) == {}
