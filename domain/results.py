"""What a command's caller is told: made from the command's events alone.

So an answer can be given again from the log, long after the ledger has moved on. `Recall` fetches an earlier
event of the project by its sequence: a claim's answer tells what the task is about, and that stands there.
"""

from collections.abc import Callable, Sequence
from typing import Any, assert_never

import msgspec

from domain.agents import Heartbeat
from domain.bookmarks import BookmarkPlaced
from domain.handoffs import HandoffAccepted, HandoffInitiated
from domain.knowledge.actions import ActionsRecorded
from domain.knowledge.decisions import DecisionRecorded
from domain.knowledge.documentation import DocumentationCached
from domain.knowledge.spikes import SpikeInitiated
from domain.learning import EstimateRecorded, FailureRecorded, RetrospectiveRecorded
from domain.ledger import Ledger
from domain.memory import MemoryStored
from domain.messages import Command, Event
from domain.project import ProjectForked, ProjectRestored
from domain.sessions import SessionStarted
from domain.tasks.commands import ClaimTask
from domain.tasks.events import (
    TaskClaimed,
    TaskCompleted,
    TaskDied,
    TaskEnqueued,
    TaskFailed,
    TaskImported,
    TaskQueued,
)

Recall = Callable[[int], Event]
Result = dict[str, Any]

LEFT_OUT = "left_out"
"""The mark of a lease without what can be long."""

_BRIEF_FIELDS = (
    "title",
    "description",
    "type",
    "persona",
    "priority",
    "depends_on",
    "parent",
    "links",
    "input",
)

_LIGHT: Result = {"description": "", "depends_on": (), "links": (), "input": None}


def recalled(events: Sequence[Event]) -> list[int]:
    """The sequences of the earlier events that `result` will ask for."""
    wanted = []
    for event in events:
        if isinstance(event, TaskClaimed):
            wanted.append(event.brief)
        elif isinstance(event, HandoffAccepted):
            wanted += [event.brief, event.offer]
    return wanted


def result(events: Sequence[Event], recall: Recall) -> Result:
    """The answer to the command that brought these events about."""
    told = [event for event in events if isinstance(event, _TELLING)]
    if not told:
        return {}
    first = told[0]
    match first:
        case TaskClaimed():
            return {"tasks": [_lease(e, recall(e.brief)) for e in told if isinstance(e, TaskClaimed)]}
        case TaskCompleted() | TaskQueued():
            return {
                "completed": [e.task for e in told if isinstance(e, TaskCompleted)],
                "queued": [e.task for e in told if isinstance(e, TaskQueued)],
            }
        case TaskEnqueued() | TaskImported():
            return _enqueued([e for e in told if isinstance(e, TaskEnqueued | TaskImported)])
        case TaskFailed() as failed:
            dead = any(isinstance(event, TaskDied) for event in events)
            return {"status": "dead" if dead else "failed", "retry_at": failed.retry_at}
        case HandoffInitiated() as offer:
            return {"handoff": offer.handoff, "expires_at": offer.expires_at}
        case HandoffAccepted() as taken:
            return _taken(taken, recall)
        case EstimateRecorded():
            corrected = {"corrected": first.corrected, "factor": first.factor, "basis": first.basis}
            return {"id": first.estimate, **corrected}
        case DocumentationCached():
            return {"library": first.library, "expires_at": first.expires_at}
        case FailureRecorded() | RetrospectiveRecorded() | MemoryStored() as learned:
            return {"id": learned.entity}
        case SpikeInitiated() | DecisionRecorded() | ActionsRecorded() | SessionStarted() as known:
            return {"id": known.entity}
        case BookmarkPlaced():
            return {"bookmark": first.bookmark, "sequence": first.sequence}
        case ProjectForked() as fork:
            return {"project": fork.project, "origin": fork.origin, "sequence": fork.sequence}
        case ProjectRestored() as restored:
            return {"project": restored.project, "sequence": restored.sequence}
        case _:
            assert_never(first)


def lightened(told: Result, size: Callable[[Any], int], most: int) -> Result:
    """A claim's answer of no more than `most`, by a measure of sizes; any other answer as it is.

    Of the largest tasks it leaves out what they are about, and marks them. Every lease is there: one that its
    holder does not hear of helps nobody.
    """
    if "tasks" not in told or not isinstance(told["tasks"], list):
        return told
    sizes = {place: size(lease) for place, lease in enumerate(told["tasks"])}
    leases, total = list(told["tasks"]), sum(sizes.values())
    for place in sorted(sizes, key=lambda place: -sizes[place]):
        if total <= most:
            break
        leases[place] = leases[place] | _LIGHT | {LEFT_OUT: True}
        total += size(leases[place]) - sizes[place]
    return {**told, "tasks": leases}


def result_unchanged(ledger: Ledger, command: Command, actor: str) -> tuple[Result, tuple[Event, ...]]:
    """The answer to a command that changed nothing, and the claim it repeats if it was one."""
    match command:
        case Heartbeat():
            return {"leases": _leases(ledger, actor)}, ()
        case ClaimTask(task=str(name)):
            return {}, (_standing_claim(ledger, name, actor),)
        case ClaimTask():
            return {"tasks": []}, ()
        case _:
            return {"unchanged": True}, ()


_TELLING = (
    TaskClaimed,
    TaskCompleted,
    TaskQueued,
    TaskEnqueued,
    TaskImported,
    TaskFailed,
    HandoffInitiated,
    HandoffAccepted,
    FailureRecorded,
    EstimateRecorded,
    RetrospectiveRecorded,
    MemoryStored,
    SpikeInitiated,
    DecisionRecorded,
    ActionsRecorded,
    DocumentationCached,
    SessionStarted,
    BookmarkPlaced,
    ProjectForked,
    ProjectRestored,
)


def _brief(event: Event) -> Result:
    return {field: getattr(event, field) for field in _BRIEF_FIELDS}


def _lease(event: TaskClaimed, enqueued: Event) -> Result:
    return {
        "task": event.task,
        "fence": event.fence,
        "attempt": event.attempt,
        "lease_s": event.lease_s,
        "lease_until": event.lease_until,
        **_brief(enqueued),
    }


def _taken(event: HandoffAccepted, recall: Recall) -> Result:
    offer = recall(event.offer)
    assert isinstance(offer, HandoffInitiated)
    return {
        "handoff": event.handoff,
        "from_agent": event.from_agent,
        "reason": offer.reason,
        "context": msgspec.to_builtins(offer.context),
        "task": event.task,
        "fence": event.fence,
        "lease_s": event.lease_s,
        "lease_until": event.lease_until,
        **_brief(recall(event.brief)),
    }


def _enqueued(events: Sequence[TaskEnqueued | TaskImported]) -> Result:
    first = events[0]
    if isinstance(first, TaskEnqueued) and first.plan is not None:
        ids = {e.local: e.task for e in events if isinstance(e, TaskEnqueued)}
        return {"plan": first.plan, "tasks": ids}
    if len(events) == 1:
        return {"task": first.task, "status": first.status}
    return {"tasks": [e.task for e in events]}


def _leases(ledger: Ledger, actor: str) -> list[Result]:
    held = sorted(ledger.active_agent(actor).held)
    return [
        {
            "task": name,
            "fence": ledger.tasks.live[name].fence,
            "lease_until": ledger.timers.due["lease", name],
        }
        for name in held
    ]


def _standing_claim(ledger: Ledger, name: str, actor: str) -> TaskClaimed:
    task = ledger.tasks.live[name]
    return TaskClaimed(
        task=name,
        agent=actor,
        fence=task.fence,
        brief=task.sequence,
        attempt=task.failures + 1,
        lease_s=ledger.lease_s(task),
        lease_until=ledger.timers.due["lease", name],
    )
