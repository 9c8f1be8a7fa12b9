"""Why an event happened: the event that brought it about, and the one before that, back to who asked. Pure.

What the envelope says comes first (`causation_id`). Otherwise the domain's own rules tell: a claim follows
what made the task claimable, a completion the work on it, a death the failure. An event without a cause here
was asked for by its actor's command.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from domain.agents import AgentRecovered, AgentSpawned, AgentTerminated, AgentWentStale, AnyAgentEvent
from domain.handoffs import (
    HandoffAccepted,
    HandoffCompleted,
    HandoffEvent,
    HandoffExpired,
    HandoffInitiated,
    HandoffRejected,
)
from domain.learning import EstimateClosed, EstimateRecorded, FailureRecorded
from domain.messages import TICKER, Event, Recorded
from domain.project import AnyProjectEvent
from domain.tasks.events import (
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskDied,
    TaskEnqueued,
    TaskEvent,
    TaskFailed,
    TaskImported,
    TaskLeaseExpired,
    TaskProgressed,
    TaskQueued,
    TaskReleased,
    TaskRevived,
    TaskStarted,
)

MAX_LINKS = 50


class Past(Protocol):
    """What may be asked about the events of a project."""

    def about(self, entity: str, before: Recorded) -> Sequence[Recorded]:
        """The events about a thing before an event, oldest first; a task's with those of its handoffs.

        Without what a restore had taken back by then.
        """

    def beside(self, recorded: Recorded) -> Sequence[Recorded]:
        """The events of the same command, in order, without this one."""

    def last_by(self, actor: str, before: Recorded) -> Recorded | None:
        """What an actor brought about last before an event."""

    def last_of_command(self, command_id: str, before: Recorded) -> Recorded | None:
        """The last event of a command, if it stands not too far before an event."""


class Cause(Struct, frozen=True):
    """An event that brought another about; `why` says how, as it follows "because"."""

    recorded: Recorded
    why: str


_Kinds = tuple[type[Event], ...]
_Rule = Callable[[Recorded, Past], Cause | None]

_AT_WORK: _Kinds = (TaskStarted, TaskClaimed, HandoffAccepted)

_FOLLOWS: Mapping[type[Event], tuple[_Kinds, str]] = {
    TaskClaimed: (
        (TaskEnqueued, TaskQueued, TaskReleased, TaskLeaseExpired, TaskRevived),
        "it could be claimed",
    ),
    TaskStarted: ((TaskClaimed, HandoffAccepted), "its agent held it"),
    TaskProgressed: (_AT_WORK, "its agent was at work on it"),
    TaskCompleted: (_AT_WORK, "its agent was at work on it"),
    TaskFailed: (_AT_WORK, "its agent was at work on it"),
    TaskDied: ((TaskFailed, TaskLeaseExpired), "an attempt was spent"),
    TaskRevived: ((TaskDied,), "it was dead"),
    HandoffInitiated: (_AT_WORK, "its sender held the task"),
    HandoffAccepted: ((HandoffInitiated,), "it was offered"),
    HandoffRejected: ((HandoffInitiated,), "it was offered"),
    EstimateClosed: ((EstimateRecorded,), "it was estimated"),
    AgentRecovered: ((AgentWentStale,), "it had been silent, and spoke again"),
}
"""What follows from the last earlier event of certain kinds about the same thing, and how."""

_QUEUED: Mapping[str, tuple[_Kinds, str]] = {
    "due": ((TaskEnqueued,), "it was not to run before this"),
    "retry due": ((TaskFailed,), "it had rested long enough after the failure"),
    "retry asked": ((TaskFailed,), "it had failed, and was to run again at once"),
}

_CLOSES_A_HANDOFF: _Kinds = (
    TaskCompleted, TaskFailed, TaskReleased, TaskCancelled, TaskLeaseExpired, AgentTerminated,
    HandoffInitiated,
)  # fmt: skip


def causes(recorded: Recorded, past: Past, limit: int = MAX_LINKS) -> list[Cause]:
    """What led to an event, the nearest cause first, `limit` links at most."""
    chain: list[Cause] = []
    seen = {recorded.sequence}
    while len(chain) < limit:
        cause = cause_of(recorded, past)
        if cause is None or cause.recorded.sequence in seen:
            break
        chain.append(cause)
        recorded = cause.recorded
        seen.add(recorded.sequence)
    return chain


def cause_of(recorded: Recorded, past: Past) -> Cause | None:
    """The event that brought this one about; None if a command alone did."""
    return _named(recorded, past) or _by_rule(recorded, past)


def origin(recorded: Recorded, past: Past) -> str:
    """Who asked for an event without a cause, in which command, with what else."""
    if recorded.actor == TICKER:
        return "its time had come"
    others = [each.sequence for each in past.beside(recorded)]
    beside = f", which brought about {len(others)} more" if others else ""
    outside = f" because of {recorded.causation_id}" if recorded.causation_id else ""
    story = f", as part of {recorded.correlation_id}" if recorded.correlation_id else ""
    return f"{recorded.actor} asked for it{outside}{story} (command {recorded.command_id}{beside})"


def _named(recorded: Recorded, past: Past) -> Cause | None:
    """The cause that the command itself named."""
    if recorded.causation_id is None:
        return None
    found = past.last_of_command(recorded.causation_id, recorded)
    if found is None:
        return None
    return Cause(found, f"command {recorded.command_id} names command {found.command_id} as its cause")


def _by_rule(recorded: Recorded, past: Past) -> Cause | None:
    event = recorded.event
    if type(event) in _FOLLOWS:
        kinds, why = _FOLLOWS[type(event)]
        return _earlier(recorded, past, _subject(event), kinds, why)
    rule = _RULES.get(type(event))
    return rule(recorded, past) if rule else None


def _queued(recorded: Recorded, past: Past) -> Cause | None:
    event = recorded.event
    assert isinstance(event, TaskQueued)
    if event.reason != "dependencies completed":
        kinds, why = _QUEUED[event.reason]
        return _earlier(recorded, past, event.task, kinds, why)
    awaited = {
        dependency
        for each in past.about(event.task, recorded)
        if isinstance(each.event, TaskEnqueued)
        for dependency in each.event.depends_on
    }
    completed = [each for each in past.beside(recorded) if isinstance(each.event, TaskCompleted)]
    last = [each for each in completed if each.event.entity in awaited]
    return Cause(last[-1], "that was the last it waited for") if last else None


def _released(recorded: Recorded, past: Past) -> Cause | None:
    event = recorded.event
    assert isinstance(event, TaskReleased)
    for each in past.beside(recorded):
        if isinstance(each.event, AgentTerminated) and each.event.agent == event.agent:
            return Cause(each, "its agent ended")
    return _earlier(recorded, past, event.task, _AT_WORK, "its agent held it")


def _lease_expired(recorded: Recorded, past: Past) -> Cause | None:
    """The holder fell silent; if nobody noticed before, the claim is all there is to name."""
    event = recorded.event
    assert isinstance(event, TaskLeaseExpired)
    held = _earlier(recorded, past, event.task, _AT_WORK, "nothing renewed the lease that this gave")
    stale = _earlier(recorded, past, event.agent, (AgentWentStale,), "its agent had fallen silent")
    if stale and held and stale.recorded.sequence > held.recorded.sequence:
        return stale
    return held


def _handoff_closed(recorded: Recorded, past: Past) -> Cause | None:
    """What moved the task on in the same command; else the answer, or the offer nobody answered."""
    event = recorded.event
    assert isinstance(event, HandoffEvent)
    for each in past.beside(recorded):
        about = getattr(each.event, "task", None) == event.task or isinstance(each.event, AgentTerminated)
        if about and isinstance(each.event, _CLOSES_A_HANDOFF):
            return Cause(each, "the task moved on")
    if isinstance(event, HandoffCompleted):
        return _earlier(recorded, past, event.handoff, (HandoffAccepted,), "it was accepted")
    return _earlier(recorded, past, event.handoff, (HandoffInitiated,), "nobody answered it")


def _went_stale(recorded: Recorded, past: Past) -> Cause | None:
    return _silence(recorded, past, "after this nothing was heard of it")


def _terminated(recorded: Recorded, past: Past) -> Cause | None:
    """A fork or a restore ends the agents of before, time those silent or idle; others are asked to."""
    event = recorded.event
    assert isinstance(event, AgentTerminated)
    for each in past.beside(recorded):
        if isinstance(each.event, AnyProjectEvent):
            return Cause(each, "nobody of before goes on in it")
    if recorded.actor != TICKER:
        return None
    silent = _earlier(recorded, past, event.agent, (AgentWentStale, AgentRecovered), "it stayed silent")
    if silent and isinstance(silent.recorded.event, AgentWentStale):
        return silent
    return _silence(recorded, past, "after this it had nothing to do")


def _silence(recorded: Recorded, past: Past, why: str) -> Cause | None:
    event = recorded.event
    assert isinstance(event, AnyAgentEvent)
    last = past.last_by(event.agent, recorded)
    if last is not None:
        return Cause(last, why)
    return _earlier(recorded, past, event.agent, (AgentSpawned, AgentRecovered), why)


def _came_in(recorded: Recorded, past: Past) -> Cause | None:
    event = recorded.event
    assert isinstance(event, TaskEnqueued | TaskImported)
    if event.parent is None:
        return None
    return _earlier(recorded, past, event.parent, (TaskEnqueued, TaskImported), "it is a part of this")


def _failure(recorded: Recorded, past: Past) -> Cause | None:
    event = recorded.event
    assert isinstance(event, FailureRecorded)
    if event.task is None:
        return None
    return _earlier(recorded, past, event.task, (TaskFailed, TaskLeaseExpired, TaskDied), "it is about this")


_RULES: Mapping[type[Event], _Rule] = {
    TaskQueued: _queued,
    TaskReleased: _released,
    TaskLeaseExpired: _lease_expired,
    TaskEnqueued: _came_in,
    TaskImported: _came_in,
    HandoffCompleted: _handoff_closed,
    HandoffExpired: _handoff_closed,
    AgentWentStale: _went_stale,
    AgentTerminated: _terminated,
    FailureRecorded: _failure,
}
"""What needs more than the last event about the same thing."""


def _earlier(recorded: Recorded, past: Past, entity: str, kinds: _Kinds, why: str) -> Cause | None:
    """The last event of these kinds about a thing before this one."""
    for each in reversed(past.about(entity, recorded)):
        if isinstance(each.event, kinds) and _same_handoff(recorded.event, each.event):
            return Cause(each, why)
    return None


def _same_handoff(event: Event, cause: Event) -> bool:
    """A handoff follows from itself, not from another of the same task."""
    both = isinstance(event, HandoffEvent) and isinstance(cause, HandoffEvent)
    return not both or isinstance(event, HandoffInitiated) or event.entity == cause.entity


def _subject(event: Event) -> str:
    """Under which name the events that lead to this one are found."""
    return event.task if isinstance(event, TaskEvent | HandoffEvent) else event.entity
