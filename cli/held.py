"""What an agent needs to work on a task it holds: its fence, and what the task is about."""

from typing import Any

import click

from cli.context import Context
from cli.output import Item, card
from cli.session import read
from domain.errors import Rejection, UnknownTask


class NotHeld(Rejection):
    code = "not_held"
    says = "{agent} does not hold task {task}, which is {status}; claim it first, or name its --fence."


def fence_of(context: Context, task: str, agent: str) -> int:
    """The fence under which this agent holds the task. Raises UnknownTask or NotHeld."""
    found = read(context, "queue", entity=task)
    if not found:
        raise UnknownTask(task=task)
    row = found[0]
    if row["holder"] != agent:
        raise NotHeld(agent=agent, task=task, status=row["status"])
    fence: int = row["fence"]
    return fence


def print_lease(lease: Item) -> None:
    """A task just claimed or taken over."""
    rest: dict[str, Any] = {name: value for name, value in lease.items() if name not in ("task", "title")}
    baggage = rest.pop("context", {})
    click.echo("\n".join(card({**rest, **baggage}, f"{lease['task']}  {lease['title']}")))
