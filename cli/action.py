"""`coordctl action`: the audit trail of what agents did."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.session import ask
from cli.types import DURATION, JSON, KEY, NAME, TASK
from cli.views import list_view


@click.group()
def action() -> None:
    """Tell what was done step by step, and see who is slow and what fails."""


@action.command()
@click.argument("action")
@click.option("--phase", type=KEY, help="In which part of the work; work if not given.")
@click.option("--input", help="From what, in short.")
@click.option("--output", help="What came out, in short.")
@click.option("--seconds", type=float, help="How long it took.")
@click.option("--failed", is_flag=True, help="It did not work.")
@click.option("--error", help="Why not.")
@click.option("--task", type=TASK, help="The task it was for.")
@click.option("--session", type=KEY, help="The session it was in.")
@acting
@pass_context
def record(context: Context, /, actor: str, failed: bool, error: str | None, **fields: Any) -> None:
    """Tell of an ACTION.

    For example: coordctl action record "make test" --phase verify --seconds 41 --failed --error "2 failed"
    """
    ended = {"success": False} if failed or error else {}
    answer = ask(context, actor, "action.record", {"actions": [given(error=error, **fields) | ended]})
    print_answer(context, answer, "Noted.")


@action.command("import")
@click.argument("actions", type=JSON)
@acting
@pass_context
def import_(context: Context, actions: Any, actor: str) -> None:
    """Tell of up to 1,000 ACTIONS at once: a JSON list of objects with `action` and what `record` takes.

    @FILE reads it from a file, - from stdin; `success` is false of what failed.
    """
    answer = ask(context, actor, "action.record", {"actions": actions})
    print_answer(context, answer, "Noted.")


@action.command("list")
@click.option("--from", "agent", type=NAME, help="Only those of this agent.")
@click.option("--phase", type=KEY, multiple=True, help="Only those in this phase; repeatable.")
@click.option("--task", type=TASK, help="Only those for this task.")
@click.option("--session", type=KEY, help="Only those in this session.")
@click.option("--success/--failed", default=None, help="Only those that worked, or did not.")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List what was done, the latest first."""
    list_view(context, "actions", "Nothing such was told of.", **params)


@action.command()
@click.option(
    "--by",
    type=click.Choice(["agent", "action"]),
    default="agent",
    show_default=True,
    help="Of whom or of what.",
)
@click.option("--within", type=DURATION, default="1d", show_default=True, help="Only what was told since.")
@paged
@pass_context
def stats(context: Context, /, by: str, within: float, **page: Any) -> None:
    """Say how many actions there were, how many failed and how long they took.

    The slowest agents come first, or the actions that fail most.
    """
    list_view(context, "action_stats", "Nothing was told of.", by=by, seconds=within, **page)
