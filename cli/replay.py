"""`coordctl replay`: the project as it was."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.options import DEFAULT_ROWS, MAX_ROWS
from cli.output import Item, clean, heading, print_item, print_json
from cli.points import resolved
from cli.session import new_codec, opened_log
from cli.views import print_view
from projections.catalog import VIEWS

if TYPE_CHECKING:
    from domain.messages import Recorded
    from services.log import EventLog

USUAL = ("agents", "queue", "handoffs")
ALL = "all"


@click.command()
@click.option("--until", metavar="POINT", required=True, help="The point to go back to.")
@click.option(
    "--view",
    "views",
    type=click.Choice([*VIEWS, ALL]),
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
    """Show the project as it was at a point, folded anew from the log. It changes nothing.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl replay --until "5 minutes ago" --view agents
    """
    names = _views(views, entity)
    with opened_log(context) as log:
        position, last = _go_back(log, context.project, until)
        states = _states(log, context.project, names, position, entity, limit)
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


def _go_back(log: "EventLog", project: str, until: str) -> "tuple[int, Recorded | None]":
    """The position that the point means, and the last event of the project that it includes."""
    position = resolved(log, project, until)
    found = log.read_at(project, [log.sequence_at(project, position)])
    return position, new_codec().decode(found[0]) if found else None


def _states(
    log: "EventLog", project: str, views: Sequence[str], position: int, entity: str | None, limit: int
) -> dict[str, list[dict[str, Any]]]:
    """The rows of each view at the position."""
    from services.travel import Travel

    travel = Travel(log, new_codec())
    params: Mapping[str, Any] = {"limit": limit, **({"entity": entity} if entity else {})}
    return {name: travel.view(project, name, position, params) for name in views}


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
