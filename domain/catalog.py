"""Every command and event by its name: what the wire, the log and the documentation are made from."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from domain.agents import AnyAgentEvent, Heartbeat, Leave, SpawnAgent, TerminateAgent
from domain.bookmarks import AnyBookmarkEvent, BookmarkCommand
from domain.handoffs import AcceptHandoff, AnyHandoffEvent, CompleteHandoff, InitiateHandoff, RejectHandoff
from domain.knowledge.book import AnyKnowledgeEvent, KnowledgeCommand
from domain.learning import LearningCommand, LearningEvent
from domain.memory import AnyMemoryEvent, AskedMemoryCommand
from domain.messages import Command, Event
from domain.personas import DefinePersona, PersonaDefined
from domain.project import AnyProjectEvent, ProjectCommand
from domain.sessions import AnySessionEvent, SessionCommand
from domain.settings import SettingChanged, SettingCommand
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    CompleteTasks,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    ImportTasks,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    RequeueTask,
    RetryTask,
    StartTask,
)
from domain.tasks.events import AnyTaskEvent

COMMANDS: Mapping[str, type[Command]] = {
    command.name: command
    for command in (
        SpawnAgent, Heartbeat, Leave, TerminateAgent, DefinePersona,
        EnqueueTask, EnqueuePlan, ImportTasks, ClaimTask, StartTask, ReportProgress, CompleteTask,
        CompleteTasks, FailTask, ReleaseTask, RequeueTask, CancelTask, ReprioritizeTask, RetryTask,
        InitiateHandoff, AcceptHandoff, RejectHandoff, CompleteHandoff,
        *get_args(SettingCommand), *get_args(LearningCommand), *get_args(ProjectCommand),
        *get_args(BookmarkCommand), *get_args(AskedMemoryCommand),
        *get_args(KnowledgeCommand), *get_args(SessionCommand),
    )
}  # fmt: skip
"""What an actor may ask; the ticker's own commands are not among them."""

EVENTS: Mapping[str, type[Event]] = {
    event.name: event
    for event in (
        *get_args(AnyAgentEvent), *get_args(AnyTaskEvent), *get_args(AnyHandoffEvent),
        *get_args(LearningEvent), PersonaDefined, SettingChanged, *get_args(AnyProjectEvent),
        *get_args(AnyBookmarkEvent), *get_args(AnyMemoryEvent),
        *get_args(AnyKnowledgeEvent), *get_args(AnySessionEvent),
    )
}  # fmt: skip

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTS: Mapping[tuple[str, int], Upcast] = {}
"""From an event's name and stored version, how its data becomes that of the next version."""


def upcast(name: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
    """Stored data as the present version of its event has it."""
    while (name, version) in UPCASTS:
        data = UPCASTS[name, version](data)
        version += 1
    return data
