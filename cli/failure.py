"""`coordctl failure`: what did not work, so that nobody tries it again."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.session import ask
from cli.types import KEY, TASK
from cli.views import list_view


@click.group()
def failure() -> None:
    """Record what failed and why, look it up before trying."""


@failure.command()
@click.argument("feature")
@click.option("--approach", required=True, help="What was tried.")
@click.option("--why", required=True, help="Why it failed.")
@click.option("--lesson", help="What to do instead.")
@click.option("--task", type=TASK, help="The task it happened in.")
@click.option("--session", type=KEY, help="The session it was in, of several that you have open.")
@acting
@pass_context
def record(context: Context, /, actor: str, **fields: Any) -> None:
    """Record a failure at a FEATURE.

    For example: coordctl failure record "Act two" --approach "Two narrators" --why "Readers lost track"
    """
    answer = ask(context, actor, "failure.record", given(**fields))
    print_answer(context, answer, f"Failure {answer.result['id']} is recorded.")


@failure.command()
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="How many at most.")
@pass_context
def similar(context: Context, text: str, limit: int) -> None:
    """Ask whether something like TEXT was tried before and failed: by meaning, and by the words of it.

    For example: coordctl failure similar "tell the second act by turns"
    """
    from cli.recalling import FAILURES, print_failures, recall

    found = recall(context, text=text, source=FAILURES, limit=limit)
    print_failures(context, found, "Nothing like this is known to have failed.")


@failure.command("list")
@click.option("--feature", help="Only those at this feature.")
@click.option("--task", type=TASK, help="Only those in this task.")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the failures, the latest first."""
    list_view(context, "failures", "No such failure is recorded.", **params)
