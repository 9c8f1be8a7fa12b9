"""`coordctl decision`: what was chosen, and why."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.session import ask
from cli.types import KEY, TASK
from cli.views import list_view


@click.group()
def decision() -> None:
    """Record choices that others have to know, and see which of them hold."""


@decision.command()
@click.argument("title")
@click.option("--choice", required=True, help="What was chosen.")
@click.option("--context", "because", help="What made a choice necessary.")
@click.option("--alternative", "alternatives", multiple=True, help="What else there was; repeatable.")
@click.option("--consequences", help="What follows from it.")
@click.option("--supersedes", type=KEY, help="The decision whose place it takes.")
@click.option("--task", type=TASK, help="The task it was made in.")
@click.option("--session", type=KEY, help="The session it was in, of several that you have open.")
@acting
@pass_context
def record(context: Context, /, actor: str, because: str | None, **fields: Any) -> None:
    """Record a decision under a TITLE.

    For example: coordctl decision record "Narrator" --choice "Third person" --alternative "First person"
    """
    answer = ask(context, actor, "decision.record", given(context=because, **fields))
    print_answer(context, answer, f"Decision {answer.result['id']} is recorded.")


@decision.command("list")
@click.option("--task", type=TASK, help="Only those made in this task.")
@click.option("--all", "every", is_flag=True, help="Those that were superseded as well.")
@searched
@paged
@pass_context
def list_(context: Context, /, every: bool, **params: Any) -> None:
    """List the decisions that hold, the latest first."""
    status = () if every else ("holds",)
    list_view(context, "decisions", "There is no such decision.", status=status, **params)
