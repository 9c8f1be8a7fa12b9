"""What each task event changes in the ledger. Never refuses, asks nothing: the decision is past."""

from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from domain.tasks.events import (
    AnyTaskEvent,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskDied,
    TaskEnqueued,
    TaskFailed,
    TaskImported,
    TaskLeaseExpired,
    TaskProgressed,
    TaskQueued,
    TaskReleased,
    TaskReprioritized,
    TaskRevived,
    TaskStarted,
)
from domain.tasks.state import NO_TASKS, Needs, Task

if TYPE_CHECKING:
    from domain.ledger import Ledger


def evolve(ledger: "Ledger", event: AnyTaskEvent, sequence: int, at: datetime) -> None:
    match event:
        case TaskEnqueued():
            _enqueued(ledger, event, sequence)
        case TaskImported():
            known = ledger.tasks.completed if event.status == "completed" else ledger.tasks.cancelled
            known[event.task] = 0
        case TaskClaimed():
            hold(ledger, event.task, event.agent, event.fence, event.lease_until, at)
        case TaskCompleted():
            _completed(ledger, event)
        case TaskStarted() | TaskProgressed():
            ledger.tasks.live[event.task].status = "in_progress"
        case TaskQueued():
            ledger.timers.clear("due", event.task)
            ledger.tasks.queue(ledger.tasks.live[event.task])
        case TaskReleased():
            ledger.tasks.queue(drop(ledger, event.task))
        case TaskLeaseExpired():
            task = drop(ledger, event.task)
            task.failures = event.failures
            ledger.tasks.queue(task)
        case TaskFailed():
            _failed(ledger, event)
        case TaskDied():
            task = ledger.tasks.live[event.task]
            ledger.tasks.unqueue(task)
            ledger.timers.clear("due", event.task)
            task.status = "dead"
        case TaskCancelled():
            _cancelled(ledger, event)
        case TaskReprioritized() | TaskRevived():
            _requeued(ledger, event)
        case _:
            assert_never(event)


def hold(ledger: "Ledger", name: str, agent: str, fence: int, until: datetime, at: datetime) -> None:
    """Give a task and its lease to an agent (a claim, or an accepted handoff)."""
    task = ledger.tasks.live[name]
    ledger.tasks.unqueue(task)
    if task.holder is not None:
        ledger.agents[task.holder].held.discard(name)
    task.status = "claimed"
    task.holder, task.fence, task.since = agent, fence, at
    ledger.agents[agent].held.add(name)
    ledger.timers.set("lease", name, until)


def drop(ledger: "Ledger", name: str) -> Task:
    """Take a task and its lease from its holder."""
    task = ledger.tasks.live[name]
    if task.holder is not None:
        ledger.agents[task.holder].held.discard(name)
    task.holder = task.since = None
    ledger.timers.clear("lease", name)
    return task


def _enqueued(ledger: "Ledger", event: TaskEnqueued, sequence: int) -> None:
    task = Task(
        id=event.task,
        sequence=sequence,
        priority=event.priority,
        status="blocked",
        needs=Needs(event.persona, frozenset(event.capabilities)),
        retry=event.retry,
        lease_s=event.lease_s,
        run_after=event.run_after,
        waiting_for=frozenset(event.waiting_for) or NO_TASKS,
    )
    ledger.tasks.add(task)
    if event.status == "queued":
        ledger.tasks.queue(task)
    elif event.run_after is not None:
        ledger.timers.set("due", event.task, event.run_after)


def _completed(ledger: "Ledger", event: TaskCompleted) -> None:
    task = drop(ledger, event.task)
    ledger.tasks.finish(task, ledger.tasks.completed)
    for dependent in ledger.tasks.waiting_on(event.task):
        dependent.waiting_for -= {event.task}
    ledger.tasks.dependents.pop(event.task, None)


def _failed(ledger: "Ledger", event: TaskFailed) -> None:
    task = drop(ledger, event.task)
    task.failures = event.failures
    task.status = "failed"
    if event.retry_at is not None:
        ledger.timers.set("due", event.task, event.retry_at)


def _cancelled(ledger: "Ledger", event: TaskCancelled) -> None:
    task = ledger.tasks.live[event.task]
    ledger.tasks.unqueue(task)
    drop(ledger, event.task)
    ledger.timers.clear("due", event.task)
    ledger.tasks.finish(task, ledger.tasks.cancelled)


def _requeued(ledger: "Ledger", event: TaskReprioritized | TaskRevived) -> None:
    task = ledger.tasks.live[event.task]
    if isinstance(event, TaskRevived):
        task.failures = 0
        task.status = event.status
        if event.status == "queued":
            ledger.tasks.queue(task)
        return
    queued = task.status == "queued"
    ledger.tasks.unqueue(task)
    task.priority = event.new
    if queued:
        ledger.tasks.queue(task)
