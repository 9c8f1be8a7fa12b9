"""`coordctl mcp`: coordctl as tools for a model, over stdin and stdout."""

import secrets
import sys

import click

from cli.context import Context, pass_context
from cli.options import operator
from cli.types import NAME

PROFILES = ("worker", "planner", "operator", "observer")
DEFAULT_PERSONA = "research"


@click.command()
@click.option(
    "--profile", type=click.Choice(PROFILES), default="worker", show_default=True,
    help="Which tools there are: to do tasks, to plan them, to see to the system, or only to look.",
)  # fmt: skip
@click.option(
    "--agent", "--as", "actor", type=NAME, envvar=("COORD_AGENT", "COORD_ACTOR"), show_envvar=True,
    help="Who the client is; a worker gets a name of its own if there is none.",
)  # fmt: skip
@click.option(
    "--persona", type=NAME, envvar="COORD_PERSONA", default=DEFAULT_PERSONA, show_default=True,
    show_envvar=True, help="A worker's persona, which decides what tasks it gets.",
)  # fmt: skip
@pass_context
def mcp(context: Context, profile: str, actor: str | None, persona: str) -> None:
    """Serve the Model Context Protocol on stdin and stdout, for the client that starts this.

    A worker is spawned as an agent when it first claims, its heartbeats are sent for it, and when the client
    goes it ends: what it holds is back in the queue. docs/mcp.md tells how clients are configured.

    For example: claude mcp add coordctl -- coordctl mcp --persona writing
    """
    import asyncio

    from services import logs
    from services.config import resolve, resolve_nats

    config = context.config()
    nats_url = resolve_nats(config)
    database_url = config.database_url if config.nats_url else resolve(config).database_url
    actor = actor or (f"{persona}-{secrets.token_hex(3)}" if profile == "worker" else operator())
    if sys.stdin.isatty():
        click.echo(
            "Waiting for an MCP client on stdin; see docs/mcp.md for how clients start this.", err=True
        )
    logs.set_up("mcp", context.log_format, context.log_level)
    from services.mcp.stdio import serve

    asyncio.run(serve(profile, nats_url, context.project, actor, persona, database_url))
