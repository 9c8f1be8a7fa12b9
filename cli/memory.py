"""`coordctl memory`: what agents keep for later, and find again by meaning."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import Item, print_answer
from cli.recalling import STATUSES
from cli.session import ask, read
from cli.types import KEY, NAME, PAST_MOMENT, TASK
from cli.views import list_view

VISIBILITIES = ("private", "project", "shared")


@click.group()
def memory() -> None:
    """Store facts and notes, recall them by meaning, see what took their place."""


@memory.command()
@click.argument("text")
@click.option("--kind", type=KEY, help="What it is, as in fact; note if not given.")
@click.option("--importance", type=click.FloatRange(0, 1), help="From 0 to 1; 0.5 if not given.")
@click.option("--tag", "tags", type=KEY, multiple=True, help="A word to find it by; repeatable.")
@click.option("--task", type=TASK, help="The task it comes from.")
@click.option("--session", type=KEY, help="The session it was in, of several that you have open.")
@click.option("--visibility", type=click.Choice(VISIBILITIES), help="Who recalls it; project if not given.")
@click.option("--supersedes", type=KEY, multiple=True, help="A memory whose place it takes; repeatable.")
@acting
@pass_context
def store(context: Context, /, actor: str, **fields: Any) -> None:
    """Keep a TEXT.

    Private ones are recalled by their agent alone, shared ones in every project.

    For example: coordctl memory store "The captain is called Berta" --kind fact --tag crew
    """
    answer = ask(context, actor, "memory.store", given(**fields))
    print_answer(context, answer, f"Memory {answer.result['id']} is stored.")


@memory.command()
@click.argument("memory_id", metavar="MEMORY", type=KEY)
@click.argument("text")
@acting
@pass_context
def supersede(context: Context, memory_id: str, text: str, actor: str) -> None:
    """Believe TEXT instead of MEMORY, with its kind, tags and importance. Both are kept.

    For example: coordctl memory supersede m-1 "The captain is called Berta"
    """
    old: Item = next(iter(read(context, "memories", entity=memory_id)), {})
    kept = ("kind", "tags", "importance", "visibility", "task")
    fields = {"text": text, "supersedes": [memory_id], **given(**{name: old.get(name) for name in kept})}
    answer = ask(context, actor, "memory.store", fields)
    print_answer(context, answer, f"Memory {answer.result['id']} takes the place of {memory_id}.")


@memory.command()
@click.argument("text", required=False)
@click.option("--by", type=click.Choice(["meaning", "text"]), help="Only this way; both if not given.")
@click.option("--kind", type=KEY, multiple=True, help="Only this kind; repeatable.")
@click.option("--tag", type=KEY, multiple=True, help="Only what has this tag; repeatable.")
@click.option("--from", "agent", type=NAME, help="Only what this agent stored.")
@click.option("--for", "reader", type=NAME, help="Also what is private to this agent, or shared with it.")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; repeatable.")
@click.option("--since", type=PAST_MOMENT, help="Only what is not older: 2h, or an ISO time.")
@click.option("--until", type=PAST_MOMENT, help="Only what is older: 2h, or an ISO time.")
@click.option("--as-of", metavar="POINT", help="What was known at this point.")
@click.option("--least", type=click.FloatRange(0, 1), help="How alike it must be, from 0 to 1.")
@click.option("--limit", type=click.IntRange(1, 100), help="How many at most; 10 if not given.")
@pass_context
def recall(context: Context, /, **params: Any) -> None:
    """Find memories that mean what TEXT says, or hold its words; without a TEXT, the latest.

    Each line says which way it was found. Names and error codes are found as they are written.

    For example: coordctl memory recall "what is the captain called" --as-of "2 days ago"
    """
    from cli.recalling import print_hits
    from cli.recalling import recall as search

    hits = search(context, source="memory", **params)
    print_hits(context, hits, "Nothing like it is remembered.")


@memory.command("list")
@click.option("--kind", type=KEY, multiple=True, help="Only this kind; repeatable.")
@click.option("--tag", type=KEY, multiple=True, help="Only those with this tag; repeatable.")
@click.option("--from", "agent", type=NAME, help="Only those of this agent.")
@click.option("--task", type=TASK, help="Only those from this task.")
@click.option("--session", type=KEY, help="Only those from this session.")
@click.option("--importance", type=click.FloatRange(0, 1), help="Only those of at least this importance.")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; repeatable.")
@click.option("--all", "every", is_flag=True, help="Those that were superseded or archived as well.")
@searched
@paged
@pass_context
def list_(context: Context, /, every: bool, status: tuple[str, ...], **params: Any) -> None:
    """List the memories, the latest first."""
    chosen = status or (() if every else ("current",))
    list_view(context, "memories", "There are no such memories.", status=chosen, **params)


@memory.command()
@click.argument("memories", metavar="MEMORY...", type=KEY, nargs=-1, required=True)
@acting
@pass_context
def use(context: Context, memories: tuple[str, ...], actor: str) -> None:
    """Say which memories were of use: they matter more from then on, and fade from anew."""
    uses = [{"memory": name} for name in memories]
    answer = ask(context, actor, "memory.use", {"uses": uses})
    print_answer(context, answer, "Noted.")


@memory.command()
@click.argument("memories", metavar="MEMORY...", type=KEY, nargs=-1, required=True)
@click.option("--reason", help="Why they are of no more use.")
@acting
@pass_context
def archive(context: Context, memories: tuple[str, ...], reason: str | None, actor: str) -> None:
    """Put memories away; `memory list --all` still shows them, `recall --status archived` finds them."""
    answer = ask(context, actor, "memory.archive", given(memories=memories, reason=reason))
    print_answer(context, answer, "Archived.")


@memory.command()
@click.argument("memory_id", metavar="MEMORY", type=KEY)
@click.option("--to-agent", type=NAME, help="An agent that may recall it though it is private.")
@click.option("--to-project", type=NAME, help="Another project that may recall it.")
@acting
@pass_context
def share(context: Context, memory_id: str, to_agent: str | None, to_project: str | None, actor: str) -> None:
    """Let another agent or another project recall a MEMORY."""
    fields = given(memory=memory_id, to_agent=to_agent, to_project=to_project)
    answer = ask(context, actor, "memory.share", fields)
    print_answer(context, answer, f"{memory_id} is shared with {to_agent or to_project}.")
