"""`coordctl plan`: what became of plans, and which of them grew."""

import click

from cli.context import Context, pass_context
from cli.options import paged
from cli.output import print_rows, warn
from cli.session import read
from cli.views import columns


@click.group()
def plan() -> None:
    """See what became of plans; `task plan` makes one."""


@plan.command("list")
@paged
@pass_context
def list_(context: Context, limit: int, offset: int) -> None:
    """List the plans, the latest first, with the steps planned, added below them and completed.

    A plan whose completed steps exceed the planned by half is warned of.
    """
    rows = read(context, "plans", limit=limit, offset=offset)
    print_rows(context, rows, columns("plans", rows), "There is no plan.")
    for row in rows:
        if row["scope_creep"]:
            warn(f"{row['plan']} grew: {row['completed']} steps completed, {row['planned']} planned.")
