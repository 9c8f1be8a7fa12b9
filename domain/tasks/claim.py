"""Decisions about who works on what: claims, and what the ticker takes back."""

from datetime import timedelta
from typing import TYPE_CHECKING

from domain.errors import TaskDoesNotFit, TaskNotClaimable, UnknownTask
from domain.messages import Context, Event
from domain.tasks.commands import ClaimTask, ExpireLease, QueueDueTask
from domain.tasks.events import TaskClaimed, TaskDied, TaskLeaseExpired, TaskQueued
from domain.tasks.state import HELD, Task

if TYPE_CHECKING:
    from domain.agents import Agent
    from domain.ledger import Ledger

MAX_NAMED_TASKS = 5


def claim(ledger: "Ledger", command: ClaimTask, context: Context) -> tuple[Event, ...]:
    """Nothing that fits is no rejection: the answer is an empty list (or a wait, which the writer keeps)."""
    agent = ledger.active_agent(context.actor)
    if command.task is not None:
        return _claim_named(ledger, agent, command.task, context)
    found = ledger.tasks.next_for(agent.persona, ledger.capabilities_of(agent), command.count)
    return tuple(_claimed(ledger, task, agent, context) for task in found)


def _claim_named(ledger: "Ledger", agent: "Agent", name: str, context: Context) -> tuple[Event, ...]:
    task = ledger.tasks.live.get(name)
    if task is None:
        if not ledger.tasks.knows(name):
            raise UnknownTask(task=name)
        raise TaskNotClaimable(task=name, status=ledger.tasks.status_of(name), detail="")
    if task.holder == agent.id:
        return ()
    if task.status != "queued":
        raise TaskNotClaimable(
            task=name, status=task.status, detail=_why_not(ledger, task), holder=task.holder
        )
    lacks = task.needs.missing(agent.persona, ledger.capabilities_of(agent))
    if lacks:
        raise TaskDoesNotFit(task=name, needs=lacks, agent=agent.id)
    return (_claimed(ledger, task, agent, context),)


def _why_not(ledger: "Ledger", task: Task) -> str:
    if task.holder is not None:
        return f" by {task.holder} under fence {task.fence}"
    if task.waiting_for:
        names = sorted(task.waiting_for)[:MAX_NAMED_TASKS]
        return ", waiting for " + ", ".join(f"{name} ({ledger.tasks.status_of(name)})" for name in names)
    if task.run_after is not None and task.status == "blocked":
        return f" until {task.run_after.isoformat()}"
    return ""


def _claimed(ledger: "Ledger", task: Task, agent: "Agent", context: Context) -> TaskClaimed:
    lease_s = ledger.lease_s(task)
    return TaskClaimed(
        task=task.id,
        agent=agent.id,
        fence=ledger.next_fence(task),
        brief=task.sequence,
        attempt=task.failures + 1,
        lease_s=lease_s,
        lease_until=context.at + timedelta(seconds=lease_s),
    )


def expire_lease(ledger: "Ledger", command: ExpireLease, context: Context) -> tuple[Event, ...]:
    task = ledger.tasks.live.get(command.task)
    if task is None or task.status not in HELD or task.holder is None:
        return ()
    failures = task.failures + 1
    events: list[Event] = [
        TaskLeaseExpired(task=task.id, agent=task.holder, fence=task.fence, failures=failures)
    ]
    if failures >= task.retry.attempts:
        events.append(TaskDied(task=task.id, failures=failures, reason="attempts exhausted"))
    return (*events, *ledger.close_handoff(task, "the lease expired"))


def queue_due(ledger: "Ledger", command: QueueDueTask, context: Context) -> tuple[Event, ...]:
    task = ledger.tasks.live.get(command.task)
    if task is None or task.status not in ("blocked", "failed") or task.waiting_for:
        return ()
    return (TaskQueued(task=task.id, reason="due" if task.status == "blocked" else "retry due"),)
