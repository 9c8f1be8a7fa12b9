"""`coordctl spike`: short trials that answer one question."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer
from cli.recalling import similar_failures, similar_spikes, tell_of, warn_of
from cli.session import ask
from cli.types import KEY, TASK
from cli.views import list_view


@click.group()
def spike() -> None:
    """Try something before building on it, and keep what it showed."""


@spike.command()
@click.argument("question")
@click.option("--approach", help="How it is to be tried.")
@click.option("--task", type=TASK, help="The task it is for.")
@click.option("--session", type=KEY, help="The session it was in, of several that you have open.")
@acting
@pass_context
def initiate(context: Context, /, actor: str, **fields: Any) -> None:
    """Begin a trial that answers a QUESTION; what failed or was tried before that is like it is told.

    For example: coordctl spike initiate "Can act two be told by turns?" --approach "Two narrators"
    """
    answer = ask(context, actor, "spike.initiate", given(**fields))
    print_answer(context, answer, f"Spike {answer.result['id']} is open.")
    about = (fields["question"], fields["approach"] or "")
    warn_of(similar_failures(context, *about))
    tell_of(similar_spikes(context, *about))


@spike.command()
@click.argument("spike_id", metavar="SPIKE", type=KEY)
@click.option("--result", required=True, help="What it showed.")
@click.option("--viable/--not-viable", required=True, help="Whether this is a way to go.")
@click.option("--lessons", help="What to keep in mind.")
@click.option("--minutes", type=float, help="How long it took.")
@click.option("--session", type=KEY, help="The session it was in, of several that you have open.")
@acting
@pass_context
def conclude(context: Context, /, actor: str, spike_id: str, **fields: Any) -> None:
    """Say what a SPIKE showed."""
    answer = ask(context, actor, "spike.conclude", given(spike=spike_id, **fields))
    print_answer(context, answer, f"Spike {spike_id} is concluded.")


@spike.command("list")
@click.option("--task", type=TASK, help="Only those for this task.")
@click.option("--viable/--not-viable", default=None, help="Only those that showed a way to go, or none.")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the spikes, the latest first."""
    list_view(context, "spikes", "No such spike was tried.", **params)
