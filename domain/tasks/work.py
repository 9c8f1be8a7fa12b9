"""Decisions about claimed tasks: every one carries the fence, and a stale fence changes nothing."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from domain.errors import InvalidCommand, StaleFence, UnknownTask, WrongState
from domain.messages import Context, Event
from domain.tasks.commands import (
    CancelTask,
    CompleteTask,
    CompleteTasks,
    Completion,
    FailTask,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    RequeueTask,
    RetryTask,
    StartTask,
)
from domain.tasks.events import (
    TaskCancelled,
    TaskCompleted,
    TaskDied,
    TaskFailed,
    TaskProgressed,
    TaskQueued,
    TaskReleased,
    TaskReprioritized,
    TaskRevived,
    TaskStarted,
)
from domain.tasks.state import HELD, Task

if TYPE_CHECKING:
    from domain.ledger import Ledger


def start(ledger: "Ledger", command: StartTask, context: Context) -> tuple[Event, ...]:
    task = held_by(ledger, context.actor, command.task, command.fence)
    if task.status == "in_progress":
        return ()
    return (TaskStarted(task=task.id, agent=context.actor, fence=task.fence),)


def progress(ledger: "Ledger", command: ReportProgress, context: Context) -> tuple[Event, ...]:
    """Progress on a task that was never started starts it."""
    task = held_by(ledger, context.actor, command.task, command.fence)
    report = TaskProgressed(
        task=task.id, agent=context.actor, fence=task.fence, note=command.note, percent=command.percent
    )
    if task.status == "in_progress":
        return (report,)
    return (TaskStarted(task=task.id, agent=context.actor, fence=task.fence), report)


def complete(ledger: "Ledger", command: CompleteTask, context: Context) -> tuple[Event, ...]:
    done = Completion(task=command.task, fence=command.fence, result=command.result)
    return _complete(ledger, (done,), context)


def complete_many(ledger: "Ledger", command: CompleteTasks, context: Context) -> tuple[Event, ...]:
    if len({done.task for done in command.tasks}) < len(command.tasks):
        raise InvalidCommand(why="A task stands twice in this list; name each once.")
    return _complete(ledger, command.tasks, context)


def _complete(ledger: "Ledger", completions: Iterable[Completion], context: Context) -> tuple[Event, ...]:
    """A completion that is already so (same task, same fence) is skipped: repeating it is no mistake."""
    open_ones = [d for d in completions if ledger.tasks.completed.get(d.task) != d.fence]
    tasks = [held_by(ledger, context.actor, done.task, done.fence) for done in open_ones]
    events: list[Event] = []
    for done, task in zip(open_ones, tasks, strict=True):
        events.append(
            TaskCompleted(
                task=task.id,
                agent=context.actor,
                fence=task.fence,
                seconds=_seconds(task, context),
                result=done.result,
            )
        )
        events += ledger.close_handoff(task, "the task was completed", completed=True)
    events += _unblocked(ledger, dict.fromkeys(task.id for task in tasks), context)
    return tuple(events)


def _unblocked(ledger: "Ledger", done: dict[str, None], context: Context) -> Iterable[TaskQueued]:
    """What can run now that these are completed: nothing left to wait for, and not early.

    In the order of `done`, so that the same command on the same ledger always says the same.
    """
    waiting = {task.id: task for name in done for task in ledger.tasks.waiting_on(name)}
    for task in waiting.values():
        early = task.run_after is not None and task.run_after > context.at
        if task.status == "blocked" and task.waiting_for <= done.keys() and not early:
            yield TaskQueued(task=task.id, reason="dependencies completed")


def fail(ledger: "Ledger", command: FailTask, context: Context) -> tuple[Event, ...]:
    task = held_by(ledger, context.actor, command.task, command.fence)
    failures = task.failures + 1
    again = command.retryable and failures < task.retry.attempts
    events: list[Event] = [
        TaskFailed(
            task=task.id,
            agent=context.actor,
            fence=task.fence,
            error=command.error,
            failures=failures,
            seconds=_seconds(task, context),
            retry_at=context.at + timedelta(seconds=task.retry.delay_s(failures)) if again else None,
        )
    ]
    if not again:
        exhausted = failures >= task.retry.attempts
        events.append(
            TaskDied(
                task=task.id, failures=failures, reason="attempts exhausted" if exhausted else "not retryable"
            )
        )
    return (*events, *ledger.close_handoff(task, "the attempt failed"))


def release(ledger: "Ledger", command: ReleaseTask, context: Context) -> tuple[Event, ...]:
    task = held_by(ledger, context.actor, command.task, command.fence)
    return let_go(ledger, task, command.reason)


def requeue(ledger: "Ledger", command: RequeueTask, context: Context) -> tuple[Event, ...]:
    task = _live(ledger, command.task, "claimed or in progress")
    if task.status == "queued":
        return ()
    if task.status not in HELD:
        raise WrongState(task=task.id, status=task.status, allowed="claimed or in progress")
    return let_go(ledger, task, command.reason)


def let_go(ledger: "Ledger", task: Task, reason: str) -> tuple[Event, ...]:
    """A held task returns to the queue, at no cost of an attempt."""
    return (released(task, reason), *ledger.close_handoff(task, "the task was released"))


def released(task: Task, reason: str) -> TaskReleased:
    """The end of a lease alone."""
    assert task.holder is not None
    return TaskReleased(task=task.id, agent=task.holder, fence=task.fence, reason=reason)


def cancel(ledger: "Ledger", command: CancelTask, context: Context) -> tuple[Event, ...]:
    if command.task in ledger.tasks.cancelled:
        return ()
    task = _live(ledger, command.task, "not finished")
    cancelled = TaskCancelled(task=task.id, reason=command.reason, agent=task.holder)
    return (cancelled, *ledger.close_handoff(task, "the task was cancelled"))


def reprioritize(ledger: "Ledger", command: ReprioritizeTask, context: Context) -> tuple[Event, ...]:
    task = _live(ledger, command.task, "not finished")
    if task.priority == command.priority:
        return ()
    return (TaskReprioritized(task=task.id, old=task.priority, new=command.priority),)


def retry(ledger: "Ledger", command: RetryTask, context: Context) -> tuple[Event, ...]:
    task = _live(ledger, command.task, "dead or failed")
    if task.status == "dead":
        return (TaskRevived(task=task.id, status="blocked" if task.waiting_for else "queued"),)
    if task.status == "failed":
        return (TaskQueued(task=task.id, reason="retry asked"),)
    raise WrongState(task=task.id, status=task.status, allowed="dead or failed")


def held_by(ledger: "Ledger", actor: str, name: str, fence: int) -> Task:
    """The task, if this actor holds it under this fence.

    Raises UnknownTask, AgentTerminated, UnknownAgent or StaleFence.
    """
    ledger.active_agent(actor)
    if not ledger.tasks.knows(name):
        raise UnknownTask(task=name)
    task = ledger.tasks.live.get(name)
    if task is None or task.status not in HELD or task.fence != fence or task.holder != actor:
        raise StaleFence(
            task=name,
            given=fence,
            current=ledger.tasks.fence_of(name),
            status=ledger.tasks.status_of(name),
            holder=task.holder if task else None,
        )
    return task


def _live(ledger: "Ledger", name: str, allowed: str) -> Task:
    task = ledger.tasks.live.get(name)
    if task is not None:
        return task
    if not ledger.tasks.knows(name):
        raise UnknownTask(task=name)
    raise WrongState(task=name, status=ledger.tasks.status_of(name), allowed=allowed)


def _seconds(task: Task, context: Context) -> float:
    assert task.since is not None
    return (context.at - task.since).total_seconds()
