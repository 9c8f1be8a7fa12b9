"""A small world to project: items that are put on shelves, moved and taken away, in several projects."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from domain.messages import Context, Event, Recorded
from projections.framework import Key, Projection, Row, on, on_each
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import Table, connected
from services.projector.tracking import tracked

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class ItemEvent(Event, frozen=True, kw_only=True):
    item: str

    @property
    def entity(self) -> str:
        return self.item


class Stored(ItemEvent, frozen=True, kw_only=True):
    name = "item.stored"
    shelf: str
    label: Any = None


class Moved(ItemEvent, frozen=True, kw_only=True):
    name = "item.moved"
    origin: str | None = None
    shelf: str


class Taken(ItemEvent, frozen=True, kw_only=True):
    name = "item.taken"


class Swept(ItemEvent, frozen=True, kw_only=True):
    name = "items.swept"
    items: tuple[str, ...]


EVENTS = (Stored, Moved, Taken, Swept)
CODEC = Codec({event.name: event for event in EVENTS}, lambda _name, _version, data: data)


class ItemRow(Row, frozen=True, kw_only=True):
    item: str
    shelf: str
    label: Any = None
    moves: tuple[str, ...] = ()
    changed_at: datetime
    swept: bool = False


class ShelfRow(Row, frozen=True, kw_only=True):
    shelf: str
    arrived: int = 0
    left: int = 0


class HistoryRow(Row, frozen=True, kw_only=True):
    position: int
    item: str
    what: str
    at: datetime


def stored(row: ItemRow | None, event: Stored, recorded: Recorded) -> ItemRow:
    moves = row.moves if row else ()
    return ItemRow(
        project=recorded.project,
        item=event.item,
        shelf=event.shelf,
        label=event.label,
        moves=moves,
        changed_at=recorded.at,
    )


def moved(row: ItemRow | None, event: Moved, recorded: Recorded) -> ItemRow | None:
    moves = (*row.moves, event.shelf) if row else ()
    return row and replace(row, shelf=event.shelf, moves=moves, changed_at=recorded.at)


def taken(row: ItemRow | None, event: Taken, recorded: Recorded) -> ItemRow | None:
    return row and replace(row, shelf="", label=None, changed_at=recorded.at)


def swept(row: ItemRow | None, event: Swept, recorded: Recorded, key: Key) -> ItemRow | None:
    return row and replace(row, swept=True)


def arrived(row: ShelfRow | None, event: Stored | Moved, recorded: Recorded) -> ShelfRow:
    row = row or ShelfRow(project=recorded.project, shelf=event.shelf)
    return replace(row, arrived=row.arrived + 1)


def left(row: ShelfRow | None, event: Moved, recorded: Recorded) -> ShelfRow | None:
    return row and replace(row, left=row.left + 1)


def happened(row: HistoryRow | None, event: ItemEvent, recorded: Recorded) -> HistoryRow:
    return HistoryRow(
        project=recorded.project,
        position=recorded.position,
        item=event.item,
        what=event.name,
        at=recorded.at,
    )


ITEMS = Projection(
    name="items",
    version=1,
    row=ItemRow,
    key=("item",),
    folds=(
        on(Stored, stored),
        on(Moved, moved),
        on(Taken, taken),
        on_each(Swept, swept, keys=lambda event, _: event.items),
    ),
    indexes=(("project", "shelf"),),
    queries={
        "on_shelf": "SELECT item FROM {table} WHERE project = %(project)s AND shelf = %(shelf)s ORDER BY item"
    },
)
SHELVES = Projection(
    name="shelves",
    version=1,
    row=ShelfRow,
    key=("shelf",),
    folds=(
        on(Moved, left, key="origin"),
        on(Stored, arrived, key="shelf"),
        on(Moved, arrived, key="shelf"),
    ),
)
HISTORY = Projection(
    name="history",
    version=1,
    row=HistoryRow,
    key=("position",),
    folds=(on(ItemEvent, happened, key=lambda _, recorded: recorded.position),),
    append_only=True,
)
ALL = (ITEMS, SHELVES, HISTORY)

_item = st.sampled_from("abcde")
_shelf = st.sampled_from("xyz")
_label = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)

events = st.one_of(
    st.builds(Stored, item=_item, shelf=_shelf, label=_label),
    st.builds(Moved, item=_item, origin=st.none() | _shelf, shelf=_shelf),
    st.builds(Taken, item=_item),
    st.builds(Swept, item=_item, items=st.lists(_item, max_size=4).map(tuple)),
)


def append(log: EventLog, project: str, happened: Sequence[Event]) -> list[int]:
    """Write events to a project's stream, one a second since it began; returns their positions."""
    last, _ = log.project_head(project)
    return log.append(
        [CODEC.encode(event, _context(project, n), n) for n, event in enumerate(happened, last + 1)]
    )


def stores(count: int, first: int = 0) -> list[Event]:
    """So many different items put on shelves."""
    return [Stored(item=f"item-{n}", shelf=f"shelf-{n % 7}") for n in range(first, first + count)]


def rows_in(url: str, projections: Sequence[Projection[Any]], project: str) -> dict[str, dict[Key, Any]]:
    """What the read models hold for a project."""
    with connected(url) as connection, connection.transaction():
        standing = tracked(connection)
        return {
            projection.name: {
                projection.key_of(row): row
                for row in Table(projection, standing[projection.name].table_name).scan(connection, project)
            }
            for projection in projections
        }


def _context(project: str, sequence: int) -> Context:
    at = BEGAN + timedelta(seconds=sequence)
    return Context(project=project, actor="tester", at=at, command_id=f"{project}-{sequence}")
