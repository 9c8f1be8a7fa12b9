"""`coordctl replay`: the project as it was."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.options import DEFAULT_ROWS, MAX_ROWS
from cli.output import Item, clean, heading, print_item, print_json
from cli.past import past
from cli.points import named_time
from cli.session import new_codec
from cli.views import print_view
from projections.catalog import VIEWS
from services.reading.learned import LEARNED, timed_at

if TYPE_CHECKING:
    from domain.messages import Recorded
    from services.log.event_log import EventLog

USUAL = ("agents", "queue", "handoffs")
ALL = "all"


@click.command()
@click.option("--until", metavar="POINT", required=True, help="The point to go back to.")
@click.option(
    "--view",
    "views",
    type=click.Choice([*VIEWS, *LEARNED, ALL]),
    multiple=True,
    help="What to show; repeatable. agents, queue and handoffs if not given.",
)
@click.option("--entity", help="Only what is about this task, agent, handoff, …, wherever it occurs.")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ROWS),
    default=DEFAULT_ROWS,
    show_default=True,
    help="How many rows of each view at most.",
)
@pass_context
def replay(context: Context, until: str, views: tuple[str, ...], entity: str | None, limit: int) -> None:
    """Show the project as it was at a point. It changes nothing.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl replay --until "5 minutes ago" --view agents
    """
    names = _views(views, entity)
    params = {"limit": limit, **({"entity": entity} if entity else {})}
    with past(context) as there:
        position = there.position(context.project, until)
        last = _last(there.log, context.project, position)
        time = named_time(until)
        states = {
            name: there.travel.view(context.project, name, position, {**params, **timed_at(name, time)})
            for name in names
        }
    if entity and not any(states.values()):
        from domain.errors import NotFound

        raise NotFound(kind="trace of", id=f"{entity} at that point")
    if context.as_json:
        print_json({"project": context.project, "point": _point(position, last), **states})
        return
    click.echo(_where(context.project, position, last))
    for name, rows in states.items():
        if rows or not entity:
            _show(context, name, rows, entity)


def _views(views: tuple[str, ...], entity: str | None) -> Sequence[str]:
    """An entity alone is looked for everywhere."""
    if ALL in views or (entity and not views):
        return tuple(VIEWS)
    return tuple(dict.fromkeys(views)) or USUAL


def _last(log: "EventLog", project: str, position: int) -> "Recorded | None":
    """The last event of the project that the position includes."""
    found = log.read_at(project, [log.sequence_at(project, position)])
    return new_codec().decode(found[0]) if found else None


def _point(position: int, last: "Recorded | None") -> Item:
    return {
        "position": position,
        "sequence": last.sequence if last else 0,
        "at": last.at if last else None,
    }


def _where(project: str, position: int, last: "Recorded | None") -> str:
    from projections.words import words

    if last is None:
        return f"Project {project} at position {position}, before its first event."
    at = f"{last.at:%Y-%m-%dT%H:%M:%S.%fZ}"
    told = clean(words(last))
    return f"Project {project} at position {position}, right after event #{last.sequence} of {at}:\n  {told}"


def _show(context: Context, view: str, rows: Sequence[Item], entity: str | None) -> None:
    title = view.replace("_", " ").capitalize()
    if entity and len(rows) == 1:
        click.echo()
        print_item(context, rows[0], title)
    else:
        heading(f"\n{title}")
        print_view(context, view, rows, "none")
