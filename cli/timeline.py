"""`coordctl timeline`: what happened, in words; and `--why`: what brought it about."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.events import document
from cli.options import DEFAULT_ROWS, MAX_ROWS, given
from cli.output import Item, clean, moment, print_json_line, warn
from cli.past import Past, past
from cli.types import NAME

if TYPE_CHECKING:
    from domain.messages import Recorded
    from services.log.history import History

OUTCOMES = ("done", "failed", "undone", "other")
COLOURS = {"done": "green", "failed": "red", "undone": "yellow"}


@click.command()
@click.option("--since", metavar="POINT", help="Only what happened after this point.")
@click.option("--until", metavar="POINT", help="Only what happened up to this point.")
@click.option("--entity", help="Only events about this task, agent, handoff, …")
@click.option("--agent", type=NAME, help="Only what this agent did and what befell it.")
@click.option("--actor", type=NAME, help="Only what this actor brought about.")
@click.option(
    "--type", "types", multiple=True, metavar="NAMES",
    help="Only events of these names; task.claimed,handoff.* for example; repeatable.",
)  # fmt: skip
@click.option(
    "--outcome", "outcomes", type=click.Choice(OUTCOMES), multiple=True,
    help="Only what ended so: done well, failed, undone (given back, called off), or other; repeatable.",
)  # fmt: skip
@click.option(
    "--why", "subject", metavar="ENTITY",
    help="What led to the last event about ENTITY, or to the event of a sequence ('#56').",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=DEFAULT_ROWS, show_default=True,
    help="How many events at most, the latest.",
)  # fmt: skip
@pass_context
def timeline(
    context: Context, /, since: str | None, until: str | None, subject: str | None, limit: int, **chosen: Any
) -> None:
    """Tell what happened, an event on a line, the latest last.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'. With --why, each line is what brought about the line before it, back to who asked.

    For example: coordctl timeline --since "1h ago" --outcome failed
    """
    if subject is not None and (since or any(chosen.values())):
        raise click.UsageError("--why follows one event back; it goes with --until and --limit alone.")
    with past(context) as before:
        if subject is not None:
            _tell_why(context, before.history(context.project, until), subject, limit)
            return
        first = before.position(context.project, since) if since else 0
        rows = _rows(context, before, first, before.position(context.project, until), limit, **chosen)
    if len(rows) > limit:
        warn(f"There are more; these are the last {limit}. --limit shows more, --until what was before.")
    _tell(context, rows[:limit])


def _rows(
    context: Context, before: Past, first: int, last: int, limit: int,
    types: Sequence[str], outcomes: Sequence[str], **chosen: Any,
) -> list[Item]:  # fmt: skip
    """The activity after one position up to another, the latest first, one row more than asked for."""
    names = _event_names([name for each in types for name in each.split(",") if name], outcomes)
    params = given(**chosen, event=names, limit=min(limit + 1, MAX_ROWS))
    if "entity" in params:
        params["entity"] = (params["entity"],)
    rows = before.travel.view(context.project, "activity", last, params)
    return [row for row in rows if row["position"] > first]


def _event_names(patterns: Sequence[str], outcomes: Sequence[str]) -> tuple[str, ...]:
    """Which events are meant; none named if all are."""
    from domain.catalog import EVENTS
    from projections.outcomes import OUTCOMES as OUTCOME

    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in EVENTS):
            raise click.UsageError(f"No event is called {pattern}; there are {', '.join(sorted(EVENTS))}.")
    if not patterns and not outcomes:
        return ()
    named = [name for name in EVENTS if not patterns or any(fnmatchcase(name, each) for each in patterns)]
    chosen = tuple(name for name in named if not outcomes or OUTCOME[name] in outcomes)
    if not chosen:
        raise click.UsageError(f"None of {', '.join(named)} ends {' or '.join(outcomes)}.")
    return chosen


def _tell(context: Context, rows: Sequence[Item]) -> None:
    from projections.outcomes import OUTCOMES as OUTCOME

    width = max((len(row["actor"]) for row in rows), default=0)
    for row in reversed(rows):
        outcome = OUTCOME[row["event"]]
        if context.as_json:
            print_json_line({**row, "outcome": outcome})
        else:
            told = click.style(clean(row["words"]), fg=COLOURS.get(outcome))
            number = f"#{row['sequence']}"
            click.echo(f"{number:>8}  {moment(row['at'])}  {row['actor']:<{width}}  {told}")
    if not rows and not context.as_json:
        click.echo("Nothing of the kind happened.")


def _tell_why(context: Context, history: "History", subject: str, limit: int) -> None:
    """The event, then what brought it about, then what brought that about; in the end, who asked."""
    from projections.causes import causes, origin

    event = _subject(history, subject)
    chain = causes(event, history, limit)
    last = chain[-1].recorded if chain else event
    asked = origin(last, history) if len(chain) < limit else None
    if context.as_json:
        documents = [_document(event), *(_document(cause.recorded, why=cause.why) for cause in chain)]
        for told in (*documents[:-1], {**documents[-1], "origin": asked}):
            print_json_line(told)
        return
    click.echo(_line(event))
    for depth, cause in enumerate(chain, 1):
        because = click.style(f"because {clean(cause.why)}:", dim=True)
        click.echo(f"{'  ' * depth}{because} {_line(cause.recorded)}")
    end = f"because {asked}" if asked else f"and so on; --why '#{last.sequence}' goes on from here"
    click.echo(f"{'  ' * (len(chain) + 1)}{click.style(clean(end), dim=True)}")


def _subject(history: "History", subject: str) -> "Recorded":
    """The event that is to be explained."""
    from domain.errors import NotFound

    if subject.startswith("#") and subject[1:].isdecimal():
        return history.event(int(subject[1:]))
    events = history.of(subject)
    if not events:
        raise NotFound(kind="trace of", id=subject)
    return events[-1]


def _line(recorded: "Recorded") -> str:
    from projections.words import words

    return f"#{recorded.sequence}  {moment(recorded.at)}  {clean(words(recorded))}"


def _document(recorded: "Recorded", **more: str) -> Item:
    from projections.words import words

    return {**document(recorded), "words": words(recorded), **more}
