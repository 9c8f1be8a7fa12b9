"""`coordctl task`: work to be done, by those who ask for it and those who see to it.

What an agent does with a task it holds stands in `cli/work.py`.
"""

from datetime import datetime
from typing import Any

import click

from cli import work
from cli.context import Context, pass_context
from cli.options import NEGATIVE_NUMBERS, acting, as_of, given, paged, searched
from cli.output import heading, print_answer, print_item, print_json, print_table
from cli.recalling import similar_failures, warn_of
from cli.session import ask, read
from cli.types import DURATION, JSON, JSON_OR_TEXT, KEY, MOMENT, NAME, PRIORITY, TASK, ParamType
from cli.views import COLUMNS, for_people, list_view

OPEN = ("queued", "blocked", "claimed", "in_progress", "failed", "dead")
STATUSES = (*OPEN, "completed", "cancelled")


@click.group()
def task() -> None:
    """Add tasks, work on them, see how they stand."""


for command in work.COMMANDS:
    task.add_command(command)


class Link(ParamType):
    """KIND:TO, as in `related:t1` or `doc:https://…`."""

    name = "kind:to"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        kind, colon, to = value.partition(":")
        if not (kind and colon and to):
            self.fail(f"{value!r} is not a link: write KIND:TO, as in related:t1.", param, ctx)
        return {"kind": KEY.convert(kind, param, ctx), "to": to}


@task.command()
@click.argument("title")
@click.option("--id", "task_id", type=TASK, help="Its id; made up if there is none.")
@click.option("--description", "-d", help="What is to be done.")
@click.option("--type", "task_type", type=KEY, help="What kind of task it is.")
@click.option("--persona", type=NAME, help="Only agents of this persona may claim it.")
@click.option(
    "--capability",
    "capabilities",
    type=KEY,
    multiple=True,
    help="What an agent must be able to do; repeatable.",
)
@click.option("--priority", "-p", type=PRIORITY, help="Higher goes first; 0 if not given.")
@click.option(
    "--after", "depends_on", type=TASK, multiple=True, help="A task that must be completed first; repeatable."
)
@click.option("--parent", type=TASK, help="The task it is part of.")
@click.option(
    "--link", "links", type=Link(), multiple=True, help="A pointer to anything, as in related:t1; repeatable."
)
@click.option(
    "--input", "input_", type=JSON_OR_TEXT, help="What it works on: JSON, text, @FILE or - for stdin."
)
@click.option("--run-after", type=MOMENT, help="Not before then: 10m from now, or an ISO time.")
@click.option(
    "--lease", "lease_s", type=DURATION, help="How long a claim holds without a heartbeat, as in 5m."
)
@click.option("--attempts", type=int, help="How often it is tried before it is dead.")
@click.option("--backoff", "backoff_s", type=DURATION, help="How long it rests after the first failure.")
@click.option("--backoff-factor", "factor", type=float, help="How many times longer after each further one.")
@click.option("--max-backoff", "max_backoff_s", type=DURATION, help="The longest it rests.")
@click.option("--session", type=KEY, help="The open session that delegates it.")
@acting
@pass_context
def add(
    context: Context,
    /,
    actor: str,
    task_id: str | None,
    task_type: str | None,
    input_: Any,
    run_after: datetime | None,
    attempts: int | None,
    backoff_s: float | None,
    factor: float | None,
    max_backoff_s: float | None,
    **fields: Any,
) -> None:
    """Add a task to the queue.

    For example: coordctl task add "Outline act two" --persona plot --priority 5 --after t1
    """
    retry = given(attempts=attempts, backoff_s=backoff_s, factor=factor, max_backoff_s=max_backoff_s)
    own = given(id=task_id, type=task_type, input=input_, run_after=run_after, retry=retry or None, **fields)
    answer = ask(context, actor, "task.enqueue", own)
    print_answer(context, answer, f"{answer.result['task']} is {answer.result['status']}.")
    warn_of(similar_failures(context, fields["title"], fields["description"] or ""))


@task.command()
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--session", type=KEY, help="The open session that delegates them.")
@acting
@pass_context
def plan(context: Context, file: str, session: str | None, actor: str) -> None:
    """Add a whole graph of tasks from a JSON FILE (- for stdin), all or none.

    The file holds a list of tasks, or an object with such a list as `tasks`. Each has a `local` name, by
    which others of the plan can name it in `depends_on` and `parent`, a `title`, and what else a task has.
    """
    content = JSON.convert("-" if file == "-" else f"@{file}", None, click.get_current_context())
    fields = content if isinstance(content, dict) else {"tasks": content}
    answer = ask(context, actor, "task.plan", {**fields, **given(session=session)})
    if context.as_json:
        print_answer(context, answer, "")
        return
    ids = answer.result["tasks"]
    click.echo(f"Plan {answer.result['plan']} is enqueued.")
    print_table([{"local": local, "task": name} for local, name in ids.items()], ("local", "task"))


@task.command("list")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; repeatable.")
@click.option("--all", "everything", is_flag=True, help="The completed and cancelled ones too.")
@click.option("--persona", type=NAME, help="Only those for this persona.")
@click.option("--agent", type=NAME, help="Only those that this agent holds.")
@click.option("--type", "task_type", type=KEY, help="Only this kind.")
@click.option("--parent", type=TASK, help="Only parts of this task.")
@click.option("--plan", help="Only those of this plan.")
@searched
@paged
@pass_context
def list_(
    context: Context, /, status: tuple[str, ...], everything: bool, task_type: str | None, **params: Any
) -> None:
    """List the tasks in the order in which they are claimed; those not finished, if nothing is chosen."""
    shown = status or (() if everything else OPEN)
    nothing = "There are no such tasks; `coordctl task add` makes one."
    list_view(context, "queue", nothing, status=shown, type=task_type, **params)


@task.command()
@click.argument("task", type=TASK)
@as_of
@pass_context
def show(context: Context, task: str, as_of: str | None) -> None:
    """Show one task with all there is: what it waits for, who waits for it, handoffs, what happened."""
    from domain.errors import NotFound, UnknownTask

    try:
        found = dict(read(context, "task", as_of, task=task)[0])
    except NotFound as error:
        raise UnknownTask(task=task) from error
    if context.as_json:
        print_json(found)
        return
    handoffs, activity = found.pop("handoffs"), found.pop("activity")
    print_item(context, found, f"{task}  {found['title']}")
    if handoffs:
        heading("\nHandoffs")
        print_table(for_people("handoffs", handoffs), COLUMNS["handoffs"])
    heading("\nWhat happened, the latest first")
    print_table(activity, COLUMNS["activity"])


@task.command()
@click.argument("task", type=TASK)
@click.option("--reason", help="Why it is no longer wanted.")
@acting
@pass_context
def cancel(context: Context, task: str, actor: str, reason: str | None) -> None:
    """Take a task out of the queue for good, also from whoever works on it."""
    answer = ask(context, actor, "task.cancel", given(task=task, reason=reason))
    print_answer(context, answer, f"{task} is cancelled.", f"{task} was cancelled already.")


@task.command()
@click.argument("task", type=TASK)
@click.option("--reason", help="Why its holder is to stop.")
@acting
@pass_context
def requeue(context: Context, task: str, actor: str, reason: str | None) -> None:
    """Take a task from whoever holds it and put it back into the queue; this costs no attempt."""
    answer = ask(context, actor, "task.requeue", given(task=task, reason=reason))
    print_answer(context, answer, f"{task} is back in the queue.", f"{task} was in the queue already.")


@task.command(context_settings=NEGATIVE_NUMBERS)
@click.argument("task", type=TASK)
@click.argument("priority", type=PRIORITY)
@acting
@pass_context
def reprioritize(context: Context, task: str, priority: int, actor: str) -> None:
    """Change the priority of a task that is not finished."""
    answer = ask(context, actor, "task.reprioritize", {"task": task, "priority": priority})
    print_answer(
        context, answer, f"{task} has priority {priority}.", f"{task} had priority {priority} already."
    )


@task.command()
@click.argument("task", type=TASK)
@acting
@pass_context
def retry(context: Context, task: str, actor: str) -> None:
    """Revive a dead task, or let a failed one run again at once."""
    answer = ask(context, actor, "task.retry", {"task": task})
    print_answer(context, answer, f"{task} is back in the queue.")
