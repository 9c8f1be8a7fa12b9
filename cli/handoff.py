"""`coordctl handoff`: a task changes hands, with all that the receiver needs to know."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.held import fence_of, print_lease
from cli.options import acting, as_of, given, paged
from cli.output import print_answer, print_item, print_json
from cli.session import ask, read
from cli.types import DURATION, FENCE, JSON, KEY, NAME, TASK
from cli.views import list_view

STATUSES = ("initiated", "accepted", "rejected", "completed", "expired")


@click.group()
def handoff() -> None:
    """Hand a task on with its context, or take one over."""


@handoff.command()
@click.argument("task", type=TASK)
@click.option("--fence", type=FENCE, help="The fence of your claim; looked up if you hold the task.")
@click.option("--to-agent", type=NAME, help="The agent it is for …")
@click.option("--to-persona", type=NAME, help="… or the persona, any agent of which may take it.")
@click.option("--reason", help="Why you hand it on.")
@click.option("--goal", help="What is to be reached.")
@click.option("--done", multiple=True, help="Something that is done; repeatable.")
@click.option("--ruled-out", multiple=True, help="Something that is no use trying; repeatable.")
@click.option("--decision", "decisions", multiple=True, help="Something that is decided; repeatable.")
@click.option(
    "--artifact", "artifacts", multiple=True, help="Something made so far, or where it is; repeatable."
)
@click.option("--next-step", help="What to do first.")
@click.option("--data", type=JSON, help="Anything else, as JSON, @FILE or - for stdin.")
@click.option("--expires", "expires_s", type=DURATION, help="How long it waits for an answer, as in 30m.")
@acting
@pass_context
def initiate(
    context: Context,
    /,
    task: str,
    fence: int | None,
    to_agent: str | None,
    to_persona: str | None,
    reason: str | None,
    expires_s: float | None,
    actor: str,
    **baggage: Any,
) -> None:
    """Offer a TASK you hold; you keep it until somebody accepts.

    --data stands for data of the handoff here; the data directory can be named before the command.

    For example: coordctl handoff initiate t1 --agent a1 --to-persona editing --done "Scenes 1 to 4"
    """
    offer = given(to_agent=to_agent, to_persona=to_persona, reason=reason, expires_s=expires_s)
    fence = fence or fence_of(context, task, actor)
    fields = {"task": task, "fence": fence, "context": given(**baggage), **offer}
    answer = ask(context, actor, "handoff.initiate", fields)
    result = answer.result
    to = to_agent or f"persona {to_persona}"
    print_answer(context, answer, f"Handoff {result['handoff']} waits for {to} until {result['expires_at']}.")


@handoff.command()
@click.argument("handoff", type=KEY)
@acting
@pass_context
def accept(context: Context, handoff: str, actor: str) -> None:
    """Take the task over, with its lease and a new fence."""
    answer = ask(context, actor, "handoff.accept", {"handoff": handoff})
    if context.as_json or answer.result.get("unchanged"):
        print_answer(context, answer, "", f"{actor} has accepted {handoff} already.")
    else:
        print_lease(answer.result)


@handoff.command()
@click.argument("handoff", type=KEY)
@click.option("--reason", help="Why not.")
@acting
@pass_context
def reject(context: Context, handoff: str, actor: str, reason: str | None) -> None:
    """Decline; the sender still holds the task."""
    answer = ask(context, actor, "handoff.reject", given(handoff=handoff, reason=reason))
    print_answer(context, answer, f"Handoff {handoff} is rejected.")


@handoff.command()
@click.argument("handoff", type=KEY)
@click.option("--note", help="A last word to the sender.")
@acting
@pass_context
def complete(context: Context, handoff: str, actor: str, note: str | None) -> None:
    """Say that nothing more is needed from the sender."""
    answer = ask(context, actor, "handoff.complete", given(handoff=handoff, note=note))
    print_answer(context, answer, f"Handoff {handoff} is completed.")


@handoff.command("list")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; repeatable.")
@click.option("--agent", type=NAME, help="Only those from or to this agent.")
@click.option("--persona", type=NAME, help="Only those to this persona.")
@click.option("--task", type=TASK, help="Only those of this task.")
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the handoffs, the latest first."""
    list_view(context, "handoffs", "There are no such handoffs.", **params)


@handoff.command()
@click.argument("handoff", type=KEY)
@as_of
@pass_context
def show(context: Context, handoff: str, as_of: str | None) -> None:
    """Show one handoff with all of its context."""
    from domain.errors import NotFound

    found = read(context, "handoffs", as_of, entity=handoff)
    if not found:
        raise NotFound(kind="handoff", id=handoff)
    if context.as_json:
        print_json(found[0])
    else:
        row = dict(found[0])
        baggage = row.pop("context")
        print_item(context, {**row, **baggage}, f"Handoff {handoff}")
