"""`coordctl up` and `down`: the whole system on this machine."""

import asyncio
import errno
import json
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from cli.context import Context, environ, json_option, pass_context, program
from services.roster import MAX_INSTANCES

if TYPE_CHECKING:
    from services.config import State

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""On the disk of our log: what cannot be written there is lost, and nothing else is."""

INSTANCES = click.IntRange(1, MAX_INSTANCES)


@click.command()
@click.option("--detach", is_flag=True, help="Return once everything is ready.")
@click.option(
    "--writers", type=INSTANCES, default=1, show_default=True, help="How many writers share the projects."
)
@click.option("--relays", type=INSTANCES, default=1, show_default=True, help="How many relays; one works.")
@click.option("--projectors", type=INSTANCES, default=1, show_default=True, help="How many projectors.")
@json_option
@pass_context
def up(context: Context, detach: bool, writers: int, relays: int, projectors: int, as_json: bool) -> None:
    """Run everything: Postgres, NATS and every service, some of them more than once.

    Stays in the foreground; Ctrl-C ends it in order. A second `up` on the same data finds the first. With
    COORD_DATABASE_URL or COORD_NATS_URL set, servers of your own are used; commas separate the servers of a
    NATS cluster, and COORD_STREAM_REPLICAS (1, 3 or 5) says how many of them keep the stream.
    """
    from services.supervisor import control

    config = context.config()
    counts = {"writer": writers, "relay": relays, "projector": projectors}
    if state := control.find(config.data):
        click.echo(f"coordctl is already up (process {state.pid}).", err=as_json)
    elif detach:
        state = control.detach(config, program(), environ(), counts)
    else:
        _foreground(context, counts, as_json or context.log_format == "json")
        return
    click.echo(doors_json(context, state) if as_json else doors_text(context, state))


def _foreground(context: Context, counts: Mapping[str, int], as_json: bool) -> None:
    from services import logs
    from services.supervisor import Supervisor

    variables = {
        **environ(), "COORD_LOG": context.log_format, "COORD_LOG_LEVEL": context.log_level
    }  # fmt: skip
    stop = asyncio.Event()

    def say(name: str, line: str) -> None:
        try:
            click.echo(logs.in_style(context.log_format, name, line))
        except OSError as error:
            if error.errno not in NO_ROOM:  # nobody reads any more: whoever closed our output wants us to end
                stop.set()

    def is_up(state: "State") -> None:
        click.echo(doors_json(context, state) if as_json else doors_text(context, state))

    async def supervise() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Supervisor(context.config(), program(), variables, say, counts).run(stop, is_up)

    asyncio.run(supervise())


def doors_text(context: Context, state: "State") -> str:
    """Every door, how to stop, and what to try next."""
    from services.config import CREDENTIALS, without_password

    data = context.config().data
    return "\n".join((
        "coordctl is up.",
        f"  NATS      {without_password(state.nats_url)}",
        f"  Postgres  {without_password(state.database_url)}",
        f"  HTTP      {state.http_url}  (/healthz /readyz /metrics)",
        f"  Console   {state.http_url}/console  (`coordctl console --open` logs a browser in)",
        f"  Data      {data}",
        f"  Keys      {data / CREDENTIALS} holds whose key is whose; `coordctl access enroll` makes more",
        "  Stop      coordctl down",
        "  Next      coordctl agent spawn a1 --persona plot",
        '            coordctl task add "Outline act two" --persona plot',
        "            coordctl status",
    ))  # fmt: skip


def doors_json(context: Context, state: "State") -> str:
    """Every door as one line of JSON."""
    from services.config import without_password

    doors = {
        "pid": state.pid,
        "data": str(context.config().data),
        "nats_url": without_password(state.nats_url),
        "credentials": state.credentials,
        "database_url": without_password(state.database_url),
        "http_url": state.http_url,
        "services": state.services,
    }
    return json.dumps(doors)


@click.command()
@pass_context
def down(context: Context) -> None:
    """Stop what `up` started, in order."""
    from services.supervisor import control

    config = context.config()
    ended = control.down(config.data)
    click.echo("coordctl is down." if ended else f"Nothing runs on {config.data}.")
