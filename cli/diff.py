"""`coordctl diff`: what is different between two points, and what made it so."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.options import DEFAULT_ROWS, MAX_ROWS, NEGATIVE_NUMBERS
from cli.output import UNSEEN, cell, clean, moment, print_json
from cli.points import resolved
from cli.session import new_codec, opened_log
from cli.types import NAME
from cli.views import COLUMNS
from projections.catalog import VIEWS

if TYPE_CHECKING:
    from domain.messages import Recorded
    from projections.changes import FieldChange
    from services.reading.diff import Diff, Happened, Place, RowDiff, ViewDiff

SHOWN_CHARS = 100
"""How much people see of a value; --json has all of it."""

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "left": "<", "right": ">"}
_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}


@click.command(context_settings=NEGATIVE_NUMBERS)
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@click.option(
    "--view", "views", type=click.Choice([*VIEWS]), multiple=True,
    help="What to compare; repeatable. If not given, all but activity and setting_history.",
)  # fmt: skip
@click.option("--entity", help="Only rows about this task, agent, handoff, ….")
@click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=DEFAULT_ROWS, show_default=True,
    help="How many rows of each view to show at most; they are counted all the same.",
)  # fmt: skip
@click.option("--with-project", type=NAME, help="The project that B is a point of, if not this one.")
@pass_context
def diff(
    context: Context, left: str, right: str, views: tuple[str, ...], entity: str | None, limit: int,
    with_project: str | None,
) -> None:  # fmt: skip
    """Show what is different at B from what it was at A: rows added, removed, changed field by field.

    Under each row stand the last events that touched it since the two had the same past: > those that only B
    has, < those that only A has, because B is before them, or they were taken back, or happened in the
    origin of a fork.

    A and B are POINTs: a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC),
    '5 minutes ago', a bookmark, or 'now'.

    For example: coordctl diff "1h ago" now --view queue
    """
    from domain.errors import UnknownProject
    from services.reading.diff import Place

    project = with_project or context.project
    with opened_log(context) as log:
        if with_project and log.project_head(with_project) == (0, 0):
            raise UnknownProject(project=with_project)
        one = Place(context.project, resolved(log, context.project, left))
        other = Place(project, resolved(log, project, right))
    found = _find(context, one, other, views, entity, limit)
    if context.as_json:
        print_json(_document(one, other, found))
        return
    for line in _lines(one, other, found):
        click.echo(line)


def _find(
    context: Context, one: "Place", other: "Place", views: Sequence[str], entity: str | None, limit: int
) -> "Diff":
    from services.projector.tables import connected
    from services.reading.diff import USUAL
    from services.reading.diff import diff as differences

    with opened_log(context) as log, connected(context.doors().database_url) as connection:
        return differences(
            log, new_codec(), connection, one, other, views or USUAL, entity=entity, limit_rows=limit
        )


def _lines(one: "Place", other: "Place", found: "Diff") -> Iterator[str]:
    for name, place, last in (("A", one, found.last[0]), ("B", other, found.last[1])):
        yield f"{name}: {place.project} at position {place.position}, {_right_after(last)}"
    yield f"The same events up to #{found.common}." if found.common else "They have no event in common."
    for each in found.turns:
        yield _event(each)
    for view in found.views:
        if view.added or view.removed or view.changed:
            yield ""
            yield from _view(view)
    if not any(view.rows for view in found.views):
        yield "Nothing differs."


def _right_after(last: "Recorded | None") -> str:
    return f"right after event #{last.sequence} of {moment(last.at)}" if last else "before the first event"


def _view(view: "ViewDiff") -> Iterator[str]:
    counts = {"added": view.added, "removed": view.removed, "changed": view.changed}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    yield click.style(f"{view.view.replace('_', ' ').capitalize()}: {told}", bold=True)
    for row in view.rows:
        yield from _row(row)
    more = sum(counts.values()) - len(view.rows)
    if more > 0:
        yield f"  and {more} more; --limit shows more of them"


def _row(row: "RowDiff") -> Iterator[str]:
    change = row.change
    sign = click.style(_SIGNS[change.what], fg=_COLOURS[change.what], bold=True)
    yield f"  {sign} {click.style(clean(' '.join(map(str, change.key))), bold=True)}"
    fields = [each for each in change.fields if each.field not in UNSEEN]
    if change.what == "changed":
        yield from _changed(fields)
    else:
        yield from _told(change.view, fields)
    if row.more:
        yield click.style("      … events before these", dim=True)
    for each in row.events:
        yield f"      {_event(each)}"


def _changed(fields: "Sequence[FieldChange]") -> Iterator[str]:
    """Each field as it was and as it is."""
    told = {each.field.replace("_", " "): (cell(each.old), cell(each.new)) for each in fields}
    told = {name: values for name, values in told.items() if values[0] != values[1]}  # as far as is shown
    width = max(map(len, told), default=0)
    for name, (old, new) in told.items():
        yield f"      {click.style(name.ljust(width), dim=True)}  {_cut(old)} → {_cut(new)}"


def _told(view: str, fields: "Sequence[FieldChange]") -> Iterator[str]:
    """What people see of a row in the view's list, on one line."""
    shown = COLUMNS.get(view, [each.field for each in fields])
    values = {each.field: cell(each.new if each.old is None else each.old) for each in fields}
    told = [f"{name.replace('_', ' ')} {_cut(values[name])}" for name in shown[1:] if name in values]
    if told:
        yield f"      {', '.join(told)}"


def _event(each: "Happened") -> str:
    from projections.words import words

    recorded = each.recorded
    place = f"{_SIGNS[each.side]} #{recorded.sequence}"
    return f"{click.style(place, dim=True)}  {moment(recorded.at)}  {clean(words(recorded))}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _document(one: "Place", other: "Place", found: "Diff") -> dict[str, Any]:
    return {
        "left": _place(one, found.last[0]),
        "right": _place(other, found.last[1]),
        "common_sequence": found.common,
        "turns": [_happened(each) for each in found.turns],
        "views": {
            view.view: {
                "added": view.added,
                "removed": view.removed,
                "changed": view.changed,
                "rows": [_difference(row) for row in view.rows],
            }
            for view in found.views
        },
    }


def _place(place: "Place", last: "Recorded | None") -> dict[str, Any]:
    point = {"project": place.project, "position": place.position}
    return {**point, "sequence": last.sequence if last else 0, "at": last.at if last else None}


def _difference(row: "RowDiff") -> dict[str, Any]:
    change = row.change
    return {
        "key": change.key,
        "what": change.what,
        "fields": {each.field: {"old": each.old, "new": each.new} for each in change.fields},
        "events": [_happened(each) for each in row.events],
        "more_events": row.more,
    }


def _happened(each: "Happened") -> dict[str, Any]:
    from projections.words import words

    recorded = each.recorded
    return {
        "side": each.side,
        "sequence": recorded.sequence,
        "position": recorded.position,
        "at": recorded.at,
        "actor": recorded.actor,
        "event": recorded.event.name,
        "words": words(recorded),
    }
