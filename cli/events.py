"""`coordctl events`: the log itself, event by event."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.output import clean, moment, print_json_line
from cli.points import resolved
from cli.session import new_codec, opened_log
from cli.types import NAME

if TYPE_CHECKING:
    from domain.messages import Recorded
    from services.log.event_log import EventLog

BATCH_EVENTS = 1_000
RECENT_EVENTS = 10
WAIT_S = 1.0


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now, until Ctrl-C.")
@click.option("--since", metavar="POINT", help="Only what happened after this point.")
@click.option("--until", metavar="POINT", help="Only what happened up to this point.")
@click.option("--entity", help="Only events about this task, agent, handoff, …")
@click.option("--actor", type=NAME, help="Only what this actor brought about.")
@click.option(
    "--type", "types", multiple=True, help="Only events of this name; task.* matches too; repeatable."
)
@pass_context
def events(context: Context, /, follow: bool, since: str | None, until: str | None, **chosen: Any) -> None:
    """Print the events of the project, in order.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'. --follow begins with the last ten events unless --since is given.

    For example: coordctl events --follow --type 'handoff.*'
    """
    if follow and until:
        raise click.UsageError("--follow has no end, so it goes without --until.")
    with opened_log(context) as log:
        first, last = _range(log, context.project, since, until, recent=follow)
        try:
            for recorded in _events(log, context.project, first, last, follow):
                if _is_chosen(recorded, **chosen):
                    _show(recorded, context.as_json)
        except KeyboardInterrupt:
            if not follow:
                raise


def _range(
    log: "EventLog", project: str, since: str | None, until: str | None, *, recent: bool
) -> tuple[int, int | None]:
    """The sequence after which to begin, and the position at which to end."""
    last = resolved(log, project, until) if until else None
    if since:
        return log.sequence_at(project, resolved(log, project, since)), last
    return (max(log.project_head(project)[0] - RECENT_EVENTS, 0) if recent else 0), last


def _events(
    log: "EventLog", project: str, after: int, until: int | None, follow: bool
) -> "Iterator[Recorded]":
    """The project's events after a sequence; then, if it follows, those to come."""
    codec = new_codec()
    end = log.head() if until is None else until
    while True:
        while rows := log.read_project(project, after, end, BATCH_EVENTS):
            yield from map(codec.decode, rows)
            after = rows[-1][2]
        if not follow:
            return
        while not log.wait_past(end, WAIT_S):
            pass  # so long as nothing happens
        end = log.head()


def _is_chosen(recorded: "Recorded", entity: str | None, actor: str | None, types: tuple[str, ...]) -> bool:
    event = recorded.event
    return (
        (entity is None or event.entity == entity)
        and (actor is None or recorded.actor == actor)
        and (not types or any(fnmatchcase(event.name, each) for each in types))
    )


def _show(recorded: "Recorded", as_json: bool) -> None:
    from projections.words import words

    if as_json:
        print_json_line(document(recorded))
    else:
        line = f"{recorded.position:>8}  {moment(recorded.at)}  {recorded.event.name:<19}  {words(recorded)}"
        click.echo(clean(line))


def document(recorded: "Recorded") -> dict[str, Any]:
    """The event with its envelope, as JSON tells it."""
    import msgspec

    facts = {name: getattr(recorded, name) for name in recorded.__struct_fields__ if name != "event"}
    event = recorded.event
    known = {name: value for name, value in facts.items() if value is not None}
    return {**known, "event": event.name, "entity": event.entity, "data": msgspec.to_builtins(event)}
