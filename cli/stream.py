"""`coordctl stream`: the stream of events that JetStream keeps for those who listen."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.exits import FAULT
from cli.output import clean, print_json
from cli.progress import bar, bars
from cli.session import opened_log

if TYPE_CHECKING:
    from services.audit.audit import Check


@click.group()
def stream() -> None:
    """Make the stream of events anew from the log."""


@stream.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def rebuild(context: Context, yes: bool) -> None:
    """Delete the stream COORD_EVENTS, have the relay fill it from the log, and compare the two.

    For a stream that is damaged, or holds what is not in the log, as after restoring an older backup; one
    that is lost is made anew by the relay, without this. No event is lost by it: the log has them all, and
    agents may go on working meanwhile.

    Whoever listens must begin anew: consumers go with the stream, durable ones too, and so do limits and
    other settings that were given to it. Create the consumers again. The stream's own sequences may be others
    than before, so a listener that must hear nothing twice leaves out what has a Coord-Position header up to
    the last one that it dealt with.

    The exit code is 1 if the stream is not the log in the end.
    """
    if not yes:
        if context.as_json:
            raise click.UsageError("With --json nobody is asked; say --yes.")
        click.confirm("Delete the stream COORD_EVENTS with all its consumers, and fill it anew?", abort=True)
    check = _rebuild(context)
    if context.as_json:
        import msgspec

        print_json(msgspec.to_builtins(check))
    else:
        verdict = click.style("ok ", fg="green") if check.ok else click.style("differs ", fg="red")
        click.echo(f"{verdict}stream: {clean(check.found)}")
    if not check.ok:
        sys.exit(FAULT)


def _rebuild(context: Context) -> "Check":
    from services.relay.refill import rebuild_stream

    with opened_log(context) as log, bars(shown=not context.as_json) as progress:
        advance = bar(progress, "filling", log.head())
        return asyncio.run(rebuild_stream(log, context.doors().nats_url, advance))
