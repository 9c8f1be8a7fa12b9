"""`coordctl estimate`: what work was thought to take, what it took, and the factor between them."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import MAX_ROWS, acting, as_of, given, paged, searched
from cli.output import Item, print_answer, print_json, print_rows, warn
from cli.session import ask, read, reading
from cli.types import KEY, NAME
from cli.views import columns, print_view


@click.group()
def estimate() -> None:
    """Estimate work, say what it took, learn by how much to correct."""


@estimate.command()
@click.argument("feature")
@click.option("--sessions", type=float, required=True, help="How many sessions it will take.")
@click.option("--complexity", type=int, required=True, help="From 1, trivial, to 10.")
@click.option("--persona", type=NAME, help="The persona whose work it is.")
@acting
@pass_context
def record(context: Context, /, actor: str, **fields: Any) -> None:
    """Estimate a FEATURE before the work starts.

    For example: coordctl estimate record "Act two" --sessions 4 --complexity 7
    """
    answer = ask(context, actor, "estimate.record", given(**fields))
    print_answer(context, answer, f"Estimate {answer.result['id']} is recorded.{_corrected(answer.result)}")


@estimate.command()
@click.argument("estimate", type=KEY)
@click.option("--sessions", type=float, required=True, help="How many sessions it took.")
@click.option("--files-created", type=int, help="How many files were created.")
@click.option("--files-modified", type=int, help="How many files were modified.")
@click.option("--notes", help="Why it came as it did.")
@acting
@pass_context
def close(context: Context, /, actor: str, estimate: str, **fields: Any) -> None:
    """Say what the estimated work took in truth."""
    answer = ask(context, actor, "estimate.close", given(estimate=estimate, **fields))
    print_answer(context, answer, f"Estimate {estimate} is closed.")


@estimate.command("list")
@click.option("--feature", help="Only those of this feature.")
@click.option("--persona", type=NAME, help="Only those for this persona.")
@searched
@paged
@pass_context
def list_(context: Context, /, limit: int, offset: int, as_of: str | None, **params: Any) -> None:
    """List the estimates and the correction factor: the mean of actual / estimated of the last 90 days.

    `estimate factors` tells it by persona and by complexity.
    """
    page = given(limit=min(limit + 1, MAX_ROWS), offset=offset, **params)
    with reading(context, as_of) as reads:
        rows = reads.read(context.project, "estimates", page)
        factor = reads.read(context.project, "factor")[0]
    if len(rows) > limit:
        warn(f"There are more than these {limit}; --offset {offset + limit} shows what follows.")
    if context.as_json:
        print_json({"estimates": rows[:limit], "factor": factor["factor"], "closed": factor["estimates"]})
        return
    print_view(context, "estimates", rows[:limit], "There are no such estimates.")
    click.echo(f"\n{_advice(factor)}")


@estimate.command()
@as_of
@pass_context
def factors(context: Context, as_of: str | None) -> None:
    """List the correction factors of all, of each persona and of each band of complexity."""
    rows = read(context, "factors", as_of)
    nothing = "No estimate was closed in the last 90 days."
    print_rows(context, rows, columns("factors", rows), nothing)


def _corrected(result: Item) -> str:
    """What it comes to by earlier ones."""
    if result["corrected"] is None:
        return ""
    of = {"all": "all estimates", "persona": "this persona", "complexity": "this complexity"}[result["basis"]]
    return f" By the factor {result['factor']:.2f} of {of} it will take {result['corrected']:.1f} sessions."


def _advice(factor: Item) -> str:
    if factor["factor"] is None:
        return "No estimate was closed in the last 90 days, so there is no correction factor."
    count = factor["estimates"]
    return f"Correction factor {factor['factor']:.2f}, the mean of {count} closed in the last 90 days."
