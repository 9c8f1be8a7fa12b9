"""The verbs of `coordctl task` by which an agent works: claim, then start, progress, and one of the ends."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.context import Context, pass_context
from cli.held import fence_of, print_lease
from cli.options import acting, given
from cli.output import print_answer, print_json
from cli.recalling import similar_failures, warn_of
from cli.session import ask, read
from cli.types import DURATION, FENCE, JSON_OR_TEXT, TASK

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def holding(command: Decorated) -> Decorated:
    """What every verb about a held task takes: the TASK, its `--fence`, and who holds it."""
    task = click.argument("task", type=TASK)
    fence = click.option(
        "--fence", type=FENCE, help="The fence of your claim; looked up if you hold the task."
    )
    return task(fence(acting(pass_context(command))))  # type: ignore[return-value]  # decorators keep its kind


@click.command()
@click.argument("task", type=TASK, required=False)
@click.option("--count", type=int, help="The next so many that fit, 1 if not given.")
@click.option("--wait", "wait_s", type=DURATION, help="If there is none, wait so long for one, as in 30.")
@acting
@pass_context
def claim(context: Context, task: str | None, count: int | None, wait_s: float | None, actor: str) -> None:
    """Claim the TASK, or without one the next that fits the agent: by priority, then by age.

    Prints what the agent needs: the fence that every further step must carry, the deadline, the task.

    For example: coordctl task claim --agent a1 --wait 30 --count 10
    """
    fields = given(task=task, count=count, wait_s=wait_s)
    answer = ask(context, actor, "task.claim", fields, wait_s=wait_s or 0.0)
    leases = answer.result["tasks"]
    warnings = [similar_failures(context, lease["title"], lease["description"]) for lease in leases[:1]]
    if context.as_json:
        for lease, failed in zip(leases, warnings, strict=False):
            lease.update({"failed_before": failed} if failed else {})
        print_json(leases)
        return
    for lease in leases:
        print_lease(lease)
    for failed in warnings:
        warn_of(failed)
    if not leases:
        click.echo("nothing to claim")


@click.command()
@holding
def start(context: Context, task: str, fence: int | None, actor: str) -> None:
    """Say that work on a claimed TASK has begun."""
    answer = ask(context, actor, "task.start", _held(context, task, fence, actor))
    print_answer(context, answer, f"{task} is in progress.", f"{task} was in progress already.")
    for row in read(context, "queue", entity=task):
        warn_of(similar_failures(context, row["title"], row["description"]))


@click.command()
@click.option("--note", "-m", help="How it goes.")
@click.option("--percent", type=int, help="How much is done, from 0 to 100.")
@holding
def progress(
    context: Context, task: str, fence: int | None, actor: str, note: str | None, percent: int | None
) -> None:
    """Say how far the work on a TASK is; this renews the lease."""
    fields = given(**_held(context, task, fence, actor), note=note, percent=percent)
    print_answer(context, ask(context, actor, "task.progress", fields), f"{task} goes on.")


@click.command()
@click.option("--result", type=JSON_OR_TEXT, help="What came of it: JSON, text, @FILE or - for stdin.")
@holding
def complete(context: Context, task: str, fence: int | None, actor: str, result: Any) -> None:
    """Finish a TASK with its result."""
    fields = given(**_held(context, task, fence, actor), result=result)
    answer = ask(context, actor, "task.complete", fields)
    queued = answer.result.get("queued")
    freed = f" Now {', '.join(queued)} can be claimed." if queued else ""
    print_answer(context, answer, f"{task} is completed.{freed}", f"{task} was completed already.")


@click.command()
@click.option("--error", required=True, help="What went wrong.")
@click.option("--final", is_flag=True, help="Trying again is no use: the task is dead.")
@holding
def fail(context: Context, task: str, fence: int | None, actor: str, error: str, final: bool) -> None:
    """Give up this attempt: the TASK rests and is tried again, or is dead if no attempt is left."""
    fields = {**_held(context, task, fence, actor), "error": error, "retryable": not final}
    answer = ask(context, actor, "task.fail", fields)
    result = answer.result
    again = f" It is tried again from {result['retry_at']}." if result.get("retry_at") else ""
    revive = " `coordctl task retry` revives it." if result.get("status") == "dead" else ""
    print_answer(context, answer, f"{task} is {result.get('status')}.{again}{revive}")


@click.command()
@click.option("--reason", help="Why you let go of it.")
@holding
def release(context: Context, task: str, fence: int | None, actor: str, reason: str | None) -> None:
    """Put a claimed TASK back into the queue; this costs no attempt."""
    fields = given(**_held(context, task, fence, actor), reason=reason)
    print_answer(context, ask(context, actor, "task.release", fields), f"{task} is back in the queue.")


COMMANDS = (claim, start, progress, complete, fail, release)


def _held(context: Context, task: str, fence: int | None, actor: str) -> dict[str, Any]:
    return {"task": task, "fence": fence or fence_of(context, task, actor)}
