"""`coordctl agent`: the workers of a project."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, as_of, given, operator, paged
from cli.output import heading, print_answer, print_item, print_json, print_rows, print_table
from cli.session import ask, reading
from cli.types import JSON, KEY, NAME
from cli.views import COLUMNS, list_view

RECENT_EVENTS = 10
PRESENT = ("active", "stale")


@click.group()
def agent() -> None:
    """Spawn agents, see what they do, end them."""


@agent.command()
@click.argument("name", type=NAME, required=False)
@click.option("--persona", type=NAME, required=True, help="Its role; `persona list` shows which there are.")
@click.option("--platform", help="Where it runs, in any words.")
@click.option(
    "--capability", "capabilities", type=KEY, multiple=True, help="Something it can do; repeatable."
)
@click.option("--metadata", type=JSON, help="Anything else, as JSON, @FILE or - for stdin.")
@acting
@pass_context
def spawn(context: Context, /, name: str | None, actor: str, persona: str, **fields: Any) -> None:
    """Make an agent known; without a NAME, whoever asks.

    For example: coordctl agent spawn a1 --persona plot
    """
    answer = ask(context, actor, "agent.spawn", given(agent=name, persona=persona, **fields))
    agent_name = name or actor
    print_answer(
        context, answer, f"{agent_name} is spawned as {persona}.", f"{agent_name} is active already."
    )


@agent.command("list")
@click.option("--status", type=click.Choice([*PRESENT, "terminated"]), multiple=True, help="Only these.")
@click.option("--all", "everyone", is_flag=True, help="The terminated ones too.")
@click.option("--persona", type=NAME, help="Only those of this persona.")
@click.option("--platform", help="Only those on this platform.")
@paged
@pass_context
def list_(context: Context, /, status: tuple[str, ...], everyone: bool, **params: Any) -> None:
    """List the agents, with what each does and how it has done."""
    shown = status or (() if everyone else PRESENT)
    list_view(
        context, "agents", "There are no agents; `coordctl agent spawn` makes one.", status=shown, **params
    )


@agent.command()
@click.argument("name", type=NAME)
@as_of
@pass_context
def show(context: Context, name: str, as_of: str | None) -> None:
    """Show one agent: its figures, what it holds, what happened to it last."""
    from domain.errors import UnknownAgent

    with reading(context, as_of) as reads:
        found = reads.read(context.project, "agents", {"entity": name})
        held = reads.read(context.project, "queue", {"agent": name})
        recent = reads.read(context.project, "activity", {"agent": name, "limit": RECENT_EVENTS})
    if not found:
        raise UnknownAgent(agent=name)
    if context.as_json:
        print_json({**found[0], "held": held, "activity": recent})
        return
    print_item(context, found[0], name)
    if held:
        heading("\nHolds")
        print_table(held, ("task", "status", "fence", "lease_until", "title"))
    heading("\nLast events")
    print_table(recent, COLUMNS["activity"])


@agent.command()
@click.argument("name", type=NAME, required=False)
@click.option(
    "--agent",
    "--as",
    "actor",
    type=NAME,
    envvar=("COORD_AGENT", "COORD_ACTOR"),
    show_envvar=True,
    help="The agent, if there is no NAME.",
)
@pass_context
def heartbeat(context: Context, name: str | None, actor: str | None) -> None:
    """Say that an agent is alive; every lease it holds gets its full term again."""
    alive = name or actor or operator()
    answer = ask(context, alive, "agent.heartbeat", {})
    leases = answer.result["leases"]
    if context.as_json:
        print_json({"position": answer.position, **answer.result})
    elif leases:
        print_rows(context, leases, ("task", "fence", "lease_until"), "")
    else:
        click.echo(f"{alive} is alive and holds no task.")


@agent.command()
@click.argument("name", type=NAME, required=False)
@click.option("--reason", help="Why it ends.")
@acting
@pass_context
def terminate(context: Context, name: str | None, actor: str, reason: str | None) -> None:
    """End an agent, without a NAME whoever asks; what it held goes back to the queue."""
    verb = "agent.terminate" if name else "agent.leave"
    answer = ask(context, actor, verb, given(agent=name, reason=reason))
    ended = name or actor
    print_answer(context, answer, f"{ended} is terminated.", f"{ended} was terminated already.")
