"""`coordctl retro`: looking back on finished work."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.session import ask
from cli.views import list_view


@click.group()
def retro() -> None:
    """Look back on finished work."""


@retro.command()
@click.argument("feature")
@click.option("--surprises", help="What was not expected.")
@click.option("--would-change", help="What one would do otherwise.")
@click.option("--new-patterns", help="What is worth doing again.")
@click.option("--spike-accuracy", type=int, help="How far the spike foresaw it, from 0 to 100.")
@acting
@pass_context
def record(context: Context, /, actor: str, **fields: Any) -> None:
    """Record a retrospective on a FEATURE.

    For example: coordctl retro record "Act two" --surprises "The villain took over" --spike-accuracy 60
    """
    answer = ask(context, actor, "retro.record", given(**fields))
    print_answer(context, answer, f"Retrospective {answer.result['id']} is recorded.")


@retro.command("list")
@click.option("--feature", help="Only those on this feature.")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the retrospectives, the latest first."""
    list_view(context, "retros", "No such retrospective is recorded.", **params)
