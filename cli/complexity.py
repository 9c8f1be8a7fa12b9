"""`coordctl complexity`: how large and tangled files are, and where that is going."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.session import ask
from cli.types import JSON
from cli.views import list_view


@click.group()
def complexity() -> None:
    """Measure files from time to time, and be warned of those that grow too fast."""


@complexity.command()
@click.argument("file")
@click.option("--score", type=float, required=True, help="On your own scale, the same from time to time.")
@click.option("--lines", type=int, help="How many lines it has.")
@click.option("--functions", type=int, help="How many functions it has.")
@click.option("--dependencies", type=int, help="On how many others it depends.")
@acting
@pass_context
def snapshot(context: Context, /, actor: str, **fields: Any) -> None:
    """Record how complex a FILE is now.

    For example: coordctl complexity snapshot src/plot.py --score 12.5 --lines 320
    """
    answer = ask(context, actor, "complexity.snapshot", {"files": [given(**fields)]})
    print_answer(context, answer, "Noted.")


@complexity.command("import")
@click.argument("measurements", type=JSON)
@acting
@pass_context
def import_(context: Context, measurements: Any, actor: str) -> None:
    """Record MEASUREMENTS of up to 1,000 files: a JSON list of objects with `file` and what `snapshot` takes.

    @FILE reads it from a file, - from stdin.
    """
    answer = ask(context, actor, "complexity.snapshot", {"files": measurements})
    print_answer(context, answer, "Noted.")


@complexity.command("list")
@click.option("--warning/--no-warning", default=None, help="Only files that grew too fast, or did not.")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the files, the most complex first; `growth` is over the last five measurements."""
    list_view(context, "complexity", "No such file was measured.", **params)
