"""What differs between two points of a project, or of two projects, and the events that made it so.

Rows that the tail of a side touches are compared in memory, all others where they are kept. The right side is
read under the left project's name, so that a fork and its origin compare. It reads, and changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from domain.messages import Recorded
from projections.catalog import PROJECTIONS, VIEWS
from projections.changes import RowChange, change_of
from projections.framework import Key, Projection
from projections.views import Filter, View
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.layers import NO_LAYERS, read_layers
from services.projector.tables import Connection
from services.projector.tracking import NoReadModels, tracked
from services.reading.deltas import FEW_LOOPS, Deltas
from services.reading.listing import served
from services.reading.reads import parse
from services.reading.sides import Side, common
from services.reading.traces import Trace, Tracer

USUAL: tuple[str, ...] = tuple(name for name, view in VIEWS.items() if not view.projection.record)
"""The views of what is; the others only record what happened."""


class Place(Struct, frozen=True):
    """A project right after the event at a position."""

    project: str
    position: int


class Happened(Struct, frozen=True):
    """An event that only one side's state is made of."""

    side: Literal["left", "right"]
    recorded: Recorded


class RowDiff(Struct, frozen=True, kw_only=True):
    """A row that differs, and the last events that touched it on either side; `more` if there were others."""

    change: RowChange
    events: Sequence[Happened]
    more: bool


class ViewDiff(Struct, frozen=True, kw_only=True):
    """What differs in a view: how many rows, and the first of them by their keys."""

    view: str
    added: int
    removed: int
    changed: int
    rows: Sequence[RowDiff]


class Diff(Struct, frozen=True, kw_only=True):
    """What differs between two sides, which are made of the same events up to the sequence `common`.

    `last` are the last events of the sides, if there are any. `turns` are the forks and restores since.
    """

    common: int
    last: tuple[Recorded | None, Recorded | None]
    turns: Sequence[Happened]
    views: Sequence[ViewDiff]


def diff(
    log: EventLog,
    codec: Codec,
    connection: Connection,
    left: Place,
    right: Place,
    views: Sequence[str] = USUAL,
    *,
    entity: str | None = None,
    limit_rows: int,
) -> Diff:
    """What differs between two places in these views; of each, the first rows that differ."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(FEW_LOOPS)
        standing = _standing(connection)
        deltas = Deltas(connection, read_layers(connection) if standing else NO_LAYERS, left.project)
        one, other = (
            Side(log, codec, connection, each.project, each.position, left.project, standing, deltas)
            for each in (left, right)
        )
        found = {
            name: _compare(deltas, one, other, VIEWS[name], entity, limit_rows)
            for name in dict.fromkeys(views)
        }
        return _explained(connection, one, other, found)


def _standing(connection: Connection) -> dict[str, int]:
    """How far the tables of this code have come."""
    try:
        with connection.transaction():
            found = tracked(connection)
    except NoReadModels:
        return {}
    return {
        each.name: found[each.name].position
        for each in PROJECTIONS
        if each.name in found and found[each.name].is_of(each)
    }


class _Compared(Struct, frozen=True):
    """What differs in a view, without the events."""

    counts: Mapping[str, int]
    rows: Sequence[RowChange]


def _compare(
    deltas: Deltas, left: Side, right: Side, view: View[Any], entity: str | None, limit_rows: int
) -> _Compared:
    projection = view.projection
    filters = [*view.filters(parse(view.name, {"entity": entity}))] if entity else []
    folded = left.touched(projection) | right.touched(projection)
    kept = deltas.find(
        served(projection), left.base(projection), right.base(projection),
        without=folded, filters=filters, limit_rows=limit_rows,
    )  # fmt: skip
    found = _changes(projection, left, right, folded, filters)
    counts = {**dict.fromkeys(("added", "removed", "changed"), 0), **kept.counts}
    for change in found:
        counts[change.what] += 1
    first = {*sorted([*kept.keys, *((left.named, *change.key) for change in found)])[:limit_rows]}
    rows = [change for change in found if (left.named, *change.key) in first]
    rows += _changes(projection, left, right, first.intersection(kept.keys), filters)
    return _Compared(counts, sorted(rows, key=lambda change: change.key))


def _changes(
    projection: Projection[Any],
    left: Side,
    right: Side,
    keys: Collection[Key],
    filters: Sequence[Filter],
) -> list[RowChange]:
    """What became of the rows of these keys."""
    before, after = left.rows(projection, keys), right.rows(projection, keys)
    found = []
    for key in keys:
        rows = [row for row in (before.get(key), after.get(key)) if row is not None]
        if all(any(each.passes(row) for row in rows) for each in filters):
            found.append(change_of(projection.name, key, before.get(key), after.get(key)))
    return [change for change in found if change is not None]


def _explained(connection: Connection, left: Side, right: Side, found: Mapping[str, _Compared]) -> Diff:
    """What differs, each row with the events that touched it since the sides parted."""
    since = common(left.segments(), right.segments())
    one, other = Tracer(connection, left, right), Tracer(connection, right, left)
    projections = [VIEWS[name].projection for name in found]
    keys = {name: [change.key for change in compared.rows] for name, compared in found.items()}
    before, after = one.trace(projections, keys), other.trace(projections, keys)
    views = [
        ViewDiff(
            view=name,
            rows=[
                _row(change, before[name, change.key], after[name, change.key]) for change in compared.rows
            ],
            **compared.counts,
        )
        for name, compared in found.items()
    ]
    turns = [Happened("left", each) for each in one.turns()]
    turns += [Happened("right", each) for each in other.turns()]
    return Diff(common=since, last=(left.last_event(), right.last_event()), turns=turns, views=views)


def _row(change: RowChange, before: Trace, after: Trace) -> RowDiff:
    events = [Happened("left", each) for each in before.events]
    events += [Happened("right", each) for each in after.events]
    return RowDiff(change=change, events=events, more=before.more or after.more)
