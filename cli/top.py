"""`coordctl top`: the fleet on a screen, live or at any moment."""

import logging
import sys

import click

from cli.context import Context, pass_context

VIEWS = ("fleet", "queue", "handoffs", "timeline", "learned", "known")


@click.command()
@click.option(
    "--view", type=click.Choice(VIEWS), default=VIEWS[0], show_default=True, help="What to show first."
)
@click.option("--until", metavar="POINT", help="Begin at this point of the past instead of live.")
@pass_context
def top(context: Context, view: str, until: str | None) -> None:
    """Watch agents, tasks, handoffs, the timeline and what is known, live, and step through the past.

    The arrows ← and → go back and on by an event and Space plays; ? tells what all keys do, q ends it.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl top --view queue
    """
    if context.as_json or not all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr)):
        raise click.UsageError(
            "`top` needs a terminal; for programs there are `status`, `agent list`, `task list`, `events`."
        )
    from cli.top_app import Top
    from services.top.tabs import TABS

    def find() -> str:
        return context.doors().database_url

    find()
    logging.getLogger().addHandler(logging.NullHandler())  # what is wrong stands on the screen, not across it
    app = Top(find, context.project, TABS[VIEWS.index(view)], until)
    app.run()
    if app.return_code:
        sys.exit(app.return_code)
