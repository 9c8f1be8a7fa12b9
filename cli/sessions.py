"""`coordctl session`: beginning with what there is to know, delegating, and seeing what came of it."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, as_of, given, paged, searched
from cli.output import Item, print_answer, print_json, print_rows, warn
from cli.session import ask, opened_log
from cli.types import KEY, NAME, TASK
from cli.views import list_view

ROLES = ("worker", "planner", "operator")
MAX_TOKENS = 100_000
MIN_TOKENS = 400

AUDIT_COLUMNS = ("task", "status", "title", "asked", "agent", "result", "error", "attempts", "seconds")
HISTORY_COLUMNS = ("at", "kind", "id", "by", "words")

_tokens = click.option(
    "--tokens", type=click.IntRange(MIN_TOKENS, MAX_TOKENS),
    help="How long the context may be; 2,000 if not given.",
)  # fmt: skip


@click.group()
def session() -> None:
    """Begin with all there is to know, delegate tasks, see what came of them."""


@session.command()
@click.option("--role", type=click.Choice(ROLES), help="What you are here; worker if not given.")
@click.option("--platform", help="What you run on, as in a model's or a machine's name.")
@click.option("--focus", help="What you attend to, in a sentence.")
@click.option("--task", type=TASK, help="The task you are here for.")
@click.option("--parent", type=KEY, help="The open session that sent you.")
@_tokens
@acting
@pass_context
def start(context: Context, /, actor: str, tokens: int | None, **fields: Any) -> None:
    """Begin a session, and be told what there is to know.

    For example: coordctl session start --role planner --focus "Act two" --agent p1
    """
    answer = ask(context, actor, "session.start", given(**fields))
    name = str(answer.result["id"])
    asked = {"session": name, "min_position": answer.position, **given(tokens=tokens)}
    (landing,) = _asked(context, "landing", asked)
    if context.as_json:
        print_json({"session": name, **landing})
        return
    click.echo(f"Session {name} has begun; `coordctl session end {name}` ends it.\n\n{landing['prompt']}")


@session.command("context")
@click.argument("session", type=KEY, required=False)
@click.option("--for", "agent", type=NAME, help="For this agent.")
@click.option("--persona", type=NAME, help="For this persona; the agent's own if not given.")
@click.option("--role", type=click.Choice(ROLES), help="For this role.")
@click.option("--task", type=TASK, help="What is to be done.")
@click.option("--focus", help="What to attend to, in a sentence.")
@_tokens
@as_of
@pass_context
def context_(context: Context, /, **params: Any) -> None:
    """Tell what there is to know at the start of a SESSION, or for whoever the options describe.

    The most useful comes first; what there is no room for is left out, and counted.

    For example: coordctl session context --for a1 --task t1 --tokens 1000
    """
    (landing,) = _asked(context, "landing", _now(context, params))
    if context.as_json:
        print_json(landing)
    else:
        click.echo(landing["prompt"])


@session.command()
@click.argument("session", type=KEY)
@paged
@pass_context
def audit(context: Context, /, **params: Any) -> None:
    """See what came back for each task that a SESSION delegated, against what was asked."""
    _list(context, "session_audit", params, AUDIT_COLUMNS, "This session delegated nothing.")


@session.command()
@click.argument("session", type=KEY)
@paged
@pass_context
def history(context: Context, /, **params: Any) -> None:
    """Tell all that belongs to a SESSION, in order: tasks, actions, decisions, memories."""
    _list(context, "session_history", params, HISTORY_COLUMNS, "Nothing belongs to this session.")


@session.command()
@click.argument("session", type=KEY)
@click.option("--reason", help="Why it ends.")
@acting
@pass_context
def end(context: Context, session: str, reason: str | None, actor: str) -> None:
    """End a SESSION of yours. Its notes are made one."""
    answer = ask(context, actor, "session.end", given(session=session, reason=reason))
    print_answer(context, answer, f"Session {session} is over.")


@session.command("list")
@click.option("--of", "agent", type=NAME, help="Only those of this agent.")
@click.option("--role", type=click.Choice(ROLES), multiple=True, help="Only this role; repeatable.")
@click.option("--status", type=click.Choice(["open", "ended"]), multiple=True, help="Only these.")
@click.option("--parent", type=KEY, help="Only those that this session sent.")
@click.option("--task", type=TASK, help="Only those for this task.")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the sessions, the latest first."""
    list_view(context, "sessions", "There are no such sessions.", **params)


def _list(
    context: Context, view: str, params: dict[str, Any], columns: tuple[str, ...], nothing: str
) -> None:
    limit = params["limit"]
    rows = _asked(context, view, {**params, "limit": limit + 1})
    if len(rows) > limit:
        warn(f"There are more than these {limit}; --offset {params['offset'] + limit} shows what follows.")
    print_rows(context, rows[:limit], columns, nothing)


def _now(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    """With all that the log has now, unless the past is asked for."""
    if params["as_of"] is not None:
        return params
    with opened_log(context) as log:
        return {**params, "min_position": log.head()}


def _asked(context: Context, view: str, params: dict[str, Any]) -> list[Item]:
    """What a gateway answers. Raises Refused, NotRunning, TimedOut or Unavailable."""
    import asyncio

    from services.config import resolve_nats
    from services.landing.asking import ask as ask_gateway

    return [*asyncio.run(ask_gateway(resolve_nats(context.config()), context.project, view, given(**params)))]
