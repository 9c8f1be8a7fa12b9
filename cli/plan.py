"""`coordctl plan`: what became of plans, and which of them grew."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import paged
from cli.output import warn
from cli.views import list_view


@click.group()
def plan() -> None:
    """See what became of plans; `task plan` makes one."""


@plan.command("list")
@paged
@pass_context
def list_(context: Context, /, **page: Any) -> None:
    """List the plans, the latest first, with the steps planned, added below them and completed.

    A plan whose completed steps exceed the planned by half is warned of.
    """
    for row in list_view(context, "plans", "There is no plan.", **page):
        if row["scope_creep"]:
            warn(f"{row['plan']} grew: {row['completed']} steps completed, {row['planned']} planned.")
