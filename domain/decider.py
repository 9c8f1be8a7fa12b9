"""Decide and evolve for a whole ledger: every command and event finds its context here.

`execute` is what the writer calls; `evolve` is what a fold of the log calls. Both leave the ledger the same.
"""

from datetime import datetime
from typing import assert_never

from domain import agents, bookmarks, handoffs, learning, memory, personas, project, sessions, settings
from domain.agents import AgentCommand, AnyAgentEvent, CheckAgent, Heartbeat, SpawnAgent
from domain.bookmarks import AnyBookmarkEvent, BookmarkCommand
from domain.errors import AgentTerminated
from domain.handoffs import AnyHandoffEvent, ExpireHandoff, HandoffCommand
from domain.knowledge import book as knowledge
from domain.knowledge.book import AnyKnowledgeEvent, KnowledgeCommand
from domain.learning import LearningCommand, LearningEvent
from domain.ledger import Ledger
from domain.memory import AnyMemoryEvent, ArchiveFaded, MemoryCommand
from domain.messages import Command, Context, Event
from domain.personas import DefinePersona, PersonaDefined
from domain.project import AnyProjectEvent, Bounds, ProjectCommand
from domain.sessions import AnySessionEvent, SessionCommand
from domain.settings import SettingChanged, SettingCommand
from domain.tasks import decide as task_decide
from domain.tasks import evolve as task_evolve
from domain.tasks.commands import ExpireLease, QueueDueTask, ReportProgress, StartTask, TaskCommand
from domain.tasks.events import AnyTaskEvent
from domain.timers import Timer

_RENEWING = (Heartbeat, StartTask, ReportProgress)


def execute(ledger: Ledger, command: Command, context: Context) -> tuple[Event, ...]:
    """Decide a command, apply its events to the ledger and return them.

    Raises a Rejection, and then the ledger is as it was.
    """
    events = decide(ledger, command, context)
    for event in events:
        evolve(ledger, event, ledger.sequence + 1, context.at)
    ledger.seen(context.actor, context.at, active=not isinstance(command, Heartbeat))
    if isinstance(command, _RENEWING):
        ledger.renew(context.actor, context.at)
    return events


def check_turn(ledger: Ledger, command: ProjectCommand, context: Context, bounds: Bounds) -> None:
    """May this actor fork or restore so? Raises a Rejection; asks only what is known without a fold."""
    _refuse_terminated(ledger, command, context)
    project.check(ledger, command, bounds)


def turn(ledger: Ledger, command: ProjectCommand, context: Context, then: Ledger) -> tuple[Event, ...]:
    """Decide a fork or a restore that was checked, apply its events to `then` and return them.

    `then` is the ledger of the moment gone back to; from now on it is the project's, in place of `ledger`.
    """
    events = project.decide(ledger, command, then)
    then.project = ledger.project
    then.sequence = max(then.sequence, ledger.sequence)
    for event in events:
        evolve(then, event, then.sequence + 1, context.at)
    return events


def recover(ledger: Ledger, context: Context) -> tuple[Event, ...]:
    """A stale agent that speaks is back, whatever becomes of what it asks."""
    events = agents.recover(ledger, context.actor)
    if events:
        ledger.seen(context.actor, context.at, active=False)
    for event in events:
        evolve(ledger, event, ledger.sequence + 1, context.at)
    return events


def decide(ledger: Ledger, command: Command, context: Context) -> tuple[Event, ...]:
    """What a command brings about: events, none if it is already so. Raises a Rejection; changes nothing.

    Forks and restores are not decided here but by `turn`: they need a second ledger.
    """
    _refuse_terminated(ledger, command, context)
    if isinstance(command, TaskCommand):
        return task_decide.decide(ledger, command, context)
    if isinstance(command, AgentCommand):
        return agents.decide(ledger, command, context)
    if isinstance(command, HandoffCommand):
        return handoffs.decide(ledger, command, context)
    if isinstance(command, SettingCommand):
        return settings.decide(ledger, command, context)
    if isinstance(command, DefinePersona):
        return personas.decide(ledger, command, context)
    if isinstance(command, BookmarkCommand):
        return bookmarks.decide(ledger, command, context)
    if isinstance(command, MemoryCommand):
        return memory.decide(ledger, command, context)
    if isinstance(command, SessionCommand):
        return sessions.decide(ledger, command, context)
    if isinstance(command, KnowledgeCommand):
        return knowledge.decide(ledger, command, context)
    assert isinstance(command, LearningCommand), command
    return learning.decide(ledger, command, context)


def _refuse_terminated(ledger: Ledger, command: Command, context: Context) -> None:
    if context.actor in ledger.terminated and not _spawns_itself(command, context):
        raise AgentTerminated(agent=context.actor, reason=ledger.terminated[context.actor])


def _spawns_itself(command: Command, context: Context) -> bool:
    """The one thing that a terminated agent may ask."""
    return isinstance(command, SpawnAgent) and command.agent in (None, context.actor)


def evolve(ledger: Ledger, event: Event, sequence: int, at: datetime) -> None:
    """Apply an event at its sequence. Never refuses."""
    ledger.sequence = sequence
    if isinstance(event, AnyTaskEvent):
        task_evolve.evolve(ledger, event, sequence, at)
    elif isinstance(event, AnyAgentEvent):
        agents.evolve(ledger, event, at)
    elif isinstance(event, AnyHandoffEvent):
        handoffs.evolve(ledger, event, sequence, at)
    elif isinstance(event, SettingChanged):
        settings.evolve(ledger, event)
    elif isinstance(event, PersonaDefined):
        personas.evolve(ledger, event)
    elif isinstance(event, AnyBookmarkEvent):
        bookmarks.evolve(ledger, event)
    elif isinstance(event, AnyMemoryEvent):
        memory.evolve(ledger, event, at)
    elif isinstance(event, AnySessionEvent):
        sessions.evolve(ledger, event, sequence)
    elif isinstance(event, AnyKnowledgeEvent):
        knowledge.evolve(ledger, event)
    elif isinstance(event, AnyProjectEvent):
        project.evolve(ledger, event)
    else:
        assert isinstance(event, LearningEvent), event
        learning.evolve(ledger, event, at)


def due(ledger: Ledger, now: datetime) -> Command | None:
    """The next command that time alone asks for, taken off the ledger's timers, or None."""
    while (timer := ledger.timers.pop_due(now)) is not None:
        command = _asked_by(timer, ledger, now)
        if command is not None:
            return command
    return None


def _asked_by(timer: Timer, ledger: Ledger, now: datetime) -> Command | None:
    kind, name = timer
    match kind:
        case "lease":
            return ExpireLease(task=name)
        case "due":
            return QueueDueTask(task=name)
        case "handoff":
            return ExpireHandoff(handoff=name)
        case "memory":
            return ArchiveFaded() if memory.has_faded(ledger, now) else None
        case "agent":
            agent = ledger.agents.get(name)
            if agent is None:
                return None
            check = agents.next_check(ledger, agent)
            if check > now:  # heard of, or given work, since the timer was set
                ledger.timers.set("agent", name, check)
                return None
            return CheckAgent(agent=name)
        case _:
            assert_never(kind)
