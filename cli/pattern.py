"""`coordctl pattern`: how things are done here, and how well files keep to it."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.session import ask
from cli.types import KEY, TASK
from cli.views import list_view


@click.group()
def pattern() -> None:
    """Say how things are done here, and how well files keep to it."""


@pattern.command()
@click.argument("pattern", type=KEY)
@click.argument("description")
@click.option("--example", help="What it looks like.")
@acting
@pass_context
def define(context: Context, /, actor: str, **fields: Any) -> None:
    """Say what a PATTERN is, or say it anew.

    For example: coordctl pattern define short-chapters "Ten pages at most"
    """
    answer = ask(context, actor, "pattern.define", given(**fields))
    print_answer(context, answer, f"Pattern {fields['pattern']} is defined.")


@pattern.command()
@click.argument("pattern", type=KEY)
@click.argument("file")
@click.option("--compliance", type=click.IntRange(0, 100), required=True, help="From 0 to 100.")
@click.option("--note", help="What is missing.")
@click.option("--task", type=TASK, help="The task in which it was looked at.")
@acting
@pass_context
def use(context: Context, /, actor: str, **fields: Any) -> None:
    """Say how well a FILE keeps to a PATTERN."""
    answer = ask(context, actor, "pattern.use", given(**fields))
    print_answer(context, answer, "Noted.")


@pattern.command("list")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the patterns, with how well they are kept."""
    list_view(context, "patterns", "There is no such pattern.", **params)


@pattern.command()
@click.option("--pattern", type=KEY, help="Only uses of this pattern.")
@click.option("--file", help="Only uses in this file.")
@paged
@pass_context
def uses(context: Context, /, **params: Any) -> None:
    """List how well each file keeps to each pattern, the worst first."""
    list_view(context, "pattern_uses", "There is no such use.", **params)
