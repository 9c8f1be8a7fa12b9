"""`coordctl fork` and `coordctl restore`: a project from, or back to, a point of the past."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.options import acting, given, operator
from cli.output import clean, print_answer
from cli.points import resolved
from cli.session import ask, new_codec, opened_log
from cli.types import NAME

if TYPE_CHECKING:
    from services.log.event_log import EventLog

MAX_WAIT_S = 60.0
"""How long a fork or a restore of a long history may take."""


@click.command()
@click.option("--at", "point", metavar="POINT", required=True, help="Where the fork begins.")
@click.option("--as", "name", type=NAME, required=True, help="What the fork is called: a name never used.")
@click.option("--reason", help="What it is for.")
@click.option(
    "--agent", "actor", type=NAME, envvar=("COORD_AGENT", "COORD_ACTOR"), default=operator,
    show_default="your login name", show_envvar=True, help="Who asks: an agent, or anybody else by name.",
)  # fmt: skip
@pass_context
def fork(context: Context, point: str, name: str, reason: str | None, actor: str) -> None:
    """Make a project that begins as this one was at a POINT; from there on each goes its own way.

    Its agents and their leases are not alive in the fork: spawn there who is to work in it. Nothing that is
    done in the fork reaches this project.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl fork --at "1h ago" --as what-if
    """
    with opened_log(context) as log:
        sequence = _sequence(log, context.project, point)
        told = _told(log, context.project, sequence)
    fields = given(origin=context.project, sequence=sequence, reason=reason)
    answer = ask(replace(context, project=name), actor, "project.fork", fields, wait_s=MAX_WAIT_S)
    print_answer(context, answer, f"{name} begins as {context.project} was right after {told}")


@click.command()
@click.option("--to", "point", metavar="POINT", required=True, help="Where to go back to.")
@click.option("--reason", required=True, help="Why; every agent that this ends is told.")
@click.option("--yes", is_flag=True, help="Do not ask at a terminal.")
@acting
@pass_context
def restore(context: Context, point: str, reason: str, yes: bool, actor: str) -> None:
    """Make the project what it was at a POINT. What happened since stays in the log, and counts no more.

    All agents are terminated, and all leases with them; each agent is told why when it speaks next. A later
    restore can undo this one.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl restore --to before-merge --reason "the merge went wrong"
    """
    with opened_log(context) as log:
        sequence = _sequence(log, context.project, point)
        told = _told(log, context.project, sequence)
        if not yes and sys.stdin.isatty():
            click.confirm(f"Make {context.project} what it was right after {told}\n?", abort=True, err=True)
        fields = {"sequence": sequence, "reason": reason}
        answer = ask(context, actor, "project.restore", fields, wait_s=MAX_WAIT_S)
        before = log.lineage(context.project).last_turn.at - 1
    undo = f"`coordctl restore --to '#{before}'` takes this back."
    print_answer(context, answer, f"{context.project} is what it was right after {told}\n{undo}")


def _sequence(log: "EventLog", project: str, point: str) -> int:
    """The sequence of the last event that a POINT includes. Raises UnknownProject or UnknownSequence."""
    from domain.errors import UnknownProject, UnknownSequence

    sequence = log.sequence_at(project, resolved(log, project, point))
    last, _ = log.project_head(project)
    if not last:
        raise UnknownProject(project=project)
    if not sequence:
        raise UnknownSequence(project=project, sequence=0, last=last)
    return sequence


def _told(log: "EventLog", project: str, sequence: int) -> str:
    """An event as people are told of it."""
    from projections.words import words

    recorded = new_codec().decode(log.read_at(project, [sequence])[0])
    at = f"{recorded.at:%Y-%m-%dT%H:%M:%S.%fZ}"
    return f"event #{sequence} of {at}:\n  {clean(words(recorded))}"
