"""Every event as one line for people: "a1 claimed t-x under fence 2 (attempt 1)". Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never, get_args

import msgspec

from domain.agents import AgentRecovered, AgentSpawned, AgentTerminated, AgentWentStale, AnyAgentEvent
from domain.bookmarks import AnyBookmarkEvent, BookmarkPlaced, BookmarkRemoved
from domain.handoffs import (
    AnyHandoffEvent,
    HandoffAccepted,
    HandoffCompleted,
    HandoffExpired,
    HandoffInitiated,
    HandoffRejected,
)
from domain.knowledge.actions import ActionsRecorded
from domain.knowledge.book import AnyKnowledgeEvent
from domain.knowledge.complexity import ComplexityMeasured
from domain.knowledge.decisions import DecisionRecorded, DecisionSuperseded
from domain.knowledge.documentation import DocumentationCached
from domain.knowledge.patterns import PatternDefined, PatternUsed
from domain.knowledge.spikes import SpikeConcluded, SpikeInitiated
from domain.learning import (
    EstimateClosed,
    EstimateRecorded,
    FailureRecorded,
    LearningEvent,
    RetrospectiveRecorded,
)
from domain.memory import (
    AnyMemoryEvent,
    MemoriesArchived,
    MemoriesUsed,
    MemoryShared,
    MemoryStored,
    MemorySuperseded,
)
from domain.messages import Data, Event, Recorded
from domain.personas import PersonaDefined
from domain.project import AnyProjectEvent, ProjectForked, ProjectRestored
from domain.sessions import AnySessionEvent, SessionEnded, SessionStarted
from domain.settings import SettingChanged
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

_LONGEST_QUOTE_CHARS = 120


def words(recorded: Recorded) -> str:
    """What happened, in one line."""
    return _TELLERS[type(recorded.event)](recorded.event, recorded.actor)


def _of_task(event: AnyTaskEvent, by: str) -> str:
    """The commonest come first: this runs for every event of the log."""
    match event:
        case TaskClaimed(task=task):
            return f"{event.agent} claimed {task} under fence {event.fence} (attempt {event.attempt})"
        case TaskCompleted(task=task):
            return f"{event.agent} completed {task} in {event.seconds:.1f} s"
        case TaskStarted(task=task):
            return f"{event.agent} started {task}"
        case TaskProgressed(task=task):
            percent = "" if event.percent is None else f" ({event.percent}%)"
            return f"{event.agent} goes on with {task}{percent}{_because(event.note)}"
        case TaskEnqueued(task=task):
            return f"{by} enqueued {task} ({event.status}){_because(event.title)}"
        case TaskQueued(task=task):
            return f"{task} can be claimed: {event.reason}"
        case TaskImported(task=task):
            return f"{by} imported {task} ({event.status}){_because(event.title)}"
        case TaskFailed(task=task):
            return f"{event.agent} failed at {task} (failure {event.failures}){_because(event.error)}"
        case TaskLeaseExpired(task=task):
            return f"the lease of {event.agent} on {task} expired (failure {event.failures})"
        case TaskDied(task=task):
            return f"{task} is dead after {event.failures} failures: {event.reason}"
        case TaskReleased(task=task):
            return f"{event.agent} let go of {task}{_because(event.reason)}"
        case TaskCancelled(task=task):
            held = f", held by {event.agent}" if event.agent else ""
            return f"{by} cancelled {task}{held}{_because(event.reason)}"
        case TaskReprioritized(task=task):
            return f"{by} changed the priority of {task} from {event.old} to {event.new}"
        case TaskRevived(task=task):
            return f"{by} revived {task} ({event.status})"
        case _:
            assert_never(event)


def _of_handoff(event: AnyHandoffEvent, _: str) -> str:
    match event:
        case HandoffInitiated():
            to = event.to_agent or f"persona {event.to_persona}"
            return f"{event.from_agent} offered {event.task} to {to}{_because(event.reason)}"
        case HandoffAccepted():
            return (
                f"{event.to_agent} took {event.task} over from {event.from_agent} under fence {event.fence}"
            )
        case HandoffRejected():
            return f"{event.by} declined {event.task} from {event.from_agent}{_because(event.reason)}"
        case HandoffCompleted():
            handoff = f"the handoff of {event.task} from {event.from_agent}"
            return f"{event.to_agent} completed {handoff}{_because(event.note)}"
        case HandoffExpired():
            return f"the handoff of {event.task} from {event.from_agent} expired{_because(event.reason)}"
        case _:
            assert_never(event)


def _of_agent(event: AnyAgentEvent, by: str) -> str:
    match event:
        case AgentSpawned():
            return f"{event.agent} was spawned as {event.persona} by {by}"
        case AgentWentStale():
            return f"{event.agent} went stale after {event.silent_s:.0f} s of silence"
        case AgentRecovered():
            return f"{event.agent} is back"
        case AgentTerminated():
            return f"{event.agent} was terminated{_because(event.reason)}"
        case _:
            assert_never(event)


def _of_setting(event: SettingChanged, by: str) -> str:
    user = f" of {event.user}" if event.user else ""
    setting = f"the {event.scope} setting {event.key}{user}"
    if event.unset:
        return f"{by} unset {setting} (was {_value(event.old)})"
    return f"{by} set {setting} to {_value(event.new)} (was {_value(event.old)})"


def _of_project(event: AnyProjectEvent, by: str) -> str:
    match event:
        case ProjectForked():
            point = f"{event.origin} at #{event.sequence}"
            return f"{by} made {event.project} from {point}{_because(event.reason)}"
        case ProjectRestored():
            return f"{by} restored {event.project} to #{event.sequence}{_because(event.reason)}"
        case _:
            assert_never(event)


def _of_bookmark(event: AnyBookmarkEvent, by: str) -> str:
    match event:
        case BookmarkPlaced():
            moved = "" if event.before in (None, event.sequence) else f" (was #{event.before})"
            return f"{by} set bookmark {event.bookmark} at #{event.sequence}{moved}{_because(event.note)}"
        case BookmarkRemoved():
            return f"{by} removed bookmark {event.bookmark} (was #{event.sequence})"
        case _:
            assert_never(event)


def _of_learning(event: LearningEvent, by: str) -> str:
    match event:
        case FailureRecorded():
            return f"{by} recorded a failure at {_quote(event.feature)}{_because(event.why)}"
        case EstimateRecorded():
            return f"{by} estimated {event.sessions:g} sessions for {_quote(event.feature)}"
        case EstimateClosed():
            sessions = f"{event.sessions:g} sessions, {event.estimated:g} estimated"
            return f"{by} closed estimate {event.estimate}: {sessions}"
        case RetrospectiveRecorded():
            return f"{by} looked back on {_quote(event.feature)}{_because(event.surprises)}"
        case _:
            assert_never(event)


def _of_knowledge(event: AnyKnowledgeEvent, by: str) -> str:
    match event:
        case SpikeInitiated():
            return f"{by} initiated spike {event.spike}{_because(event.question)}"
        case SpikeConcluded():
            found = "viable" if event.viable else "not viable"
            return f"{by} concluded spike {event.spike}, {found}{_because(event.result)}"
        case DecisionRecorded():
            return f"{by} decided {event.decision}{_because(f'{event.title}: {event.choice}')}"
        case DecisionSuperseded():
            return f"{event.decision} is superseded by {event.by}"
        case PatternDefined():
            return f"{by} defined pattern {event.pattern}{_because(event.description)}"
        case PatternUsed():
            return f"{by} found {event.file} to keep to {event.pattern} by {event.compliance}%"
        case ComplexityMeasured():
            return f"{by} measured the complexity of {_several([each.file for each in event.files], 'files')}"
        case DocumentationCached():
            return f"{by} kept documentation of {event.library} {event.release}".rstrip()
        case ActionsRecorded():
            return f"{by} told of {_several([each.action for each in event.actions], 'actions')}"
        case _:
            assert_never(event)


def _of_memory(event: AnyMemoryEvent, by: str) -> str:
    match event:
        case MemoryStored():
            return f"{by} stored {event.kind} {event.memory}{_because(event.text)}"
        case MemorySuperseded():
            return f"{event.memory} is superseded by {event.by}"
        case MemoriesUsed():
            return f"{by} used {_several([gain.memory for gain in event.gains], 'memories')}"
        case MemoriesArchived():
            return f"{by} archived {_several(event.memories, 'memories')}{_because(event.reason)}"
        case MemoryShared():
            to = event.to_agent or f"project {event.to_project}"
            return f"{by} shared {event.memory} with {to}"
        case _:
            assert_never(event)


def _of_session(event: AnySessionEvent, _: str) -> str:
    match event:
        case SessionStarted():
            return f"{event.agent} began {event.role} session {event.session}{_because(event.focus)}"
        case SessionEnded():
            return f"session {event.session} of {event.agent} ended{_because(event.reason)}"
        case _:
            assert_never(event)


def _several(names: Sequence[str], what: str) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} {what}"


def _of_persona(event: PersonaDefined, by: str) -> str:
    return f"{by} defined persona {event.persona}{_because(event.definition)}"


def _because(text: str) -> str:
    return f": {_quote(text)}" if text else ""


def _value(value: Data) -> str:
    return _quote(msgspec.json.encode(value).decode())


def _quote(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: _LONGEST_QUOTE_CHARS + 1].split())
    return line if len(text) <= _LONGEST_QUOTE_CHARS else f"{line[:_LONGEST_QUOTE_CHARS]}…"


_Tell = Callable[[Any, str], str]
_UNIONS: tuple[tuple[Any, _Tell], ...] = (
    (AnyTaskEvent, _of_task),
    (AnyHandoffEvent, _of_handoff),
    (AnyAgentEvent, _of_agent),
    (AnyBookmarkEvent, _of_bookmark),
    (AnyProjectEvent, _of_project),
    (LearningEvent, _of_learning),
    (AnyMemoryEvent, _of_memory),
    (AnyKnowledgeEvent, _of_knowledge),
    (AnySessionEvent, _of_session),
)
_TELLERS: Mapping[type[Event], _Tell] = {
    SettingChanged: _of_setting,
    PersonaDefined: _of_persona,
    **{kind: tell for union, tell in _UNIONS for kind in get_args(union)},
}
"""Looked up by type: this runs for every event of the log."""
