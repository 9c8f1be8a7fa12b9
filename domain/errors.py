"""Why not: every refusal as a type with a stable code, one sentence for a person, and the facts.

`CoordError` is the root of all that coordctl refuses on purpose; `Rejection` is what a decision may raise,
and nothing else is. The services add their own branches (bad input, busy, unavailable).
"""

from typing import Any, ClassVar


class CoordError(Exception):
    """A refusal that is part of the contract: `code` for programs, `str()` for people, `facts` for both."""

    code: ClassVar[str] = "error"
    says: ClassVar[str] = "Something was refused."
    retryable: ClassVar[bool] = False

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.says.format(**facts))
        self.facts = facts


class Rejection(CoordError):
    """A decision's no: the command was understood and changes nothing."""

    code = "rejected"


class NotFound(Rejection):
    """The command names something that this project does not have."""

    code = "not_found"
    says = "There is no {kind} {id} in this project."


class UnknownTask(NotFound):
    code = "unknown_task"
    says = "There is no task {task} in this project; `task list` shows those there are."


class UnknownAgent(NotFound):
    code = "unknown_agent"
    says = "There is no agent {agent} in this project; spawn it first."


class UnknownPersona(NotFound):
    code = "unknown_persona"
    says = "There is no persona {persona}; `persona list` shows those there are, `persona define` adds one."


class UnknownHandoff(NotFound):
    code = "unknown_handoff"
    says = "There is no open handoff {handoff} in this project."


class UnknownEstimate(NotFound):
    code = "unknown_estimate"
    says = "There is no open estimate {estimate} in this project."


class UnknownSpike(NotFound):
    code = "unknown_spike"
    says = "There is no open spike {spike} in this project; `spike list` shows them all."


class UnknownDecision(NotFound):
    code = "unknown_decision"
    says = "There is no decision {decision} that holds in this project; `decision list` shows them."


class UnknownPattern(NotFound):
    code = "unknown_pattern"
    says = "There is no pattern {pattern} in this project; `pattern define` makes it."


class UnknownSession(NotFound):
    code = "unknown_session"
    says = "No session {session} is open in this project; `session list` shows which are."


class UnknownMemory(NotFound):
    code = "unknown_memory"
    says = (
        "There is no current memory {memory} in this project; `memory list --all` also shows those that were"
        " superseded or archived."
    )


class UnknownBookmark(NotFound):
    code = "unknown_bookmark"
    says = "There is no bookmark {bookmark} in this project{hint}."


class UnknownDependency(NotFound):
    code = "unknown_dependency"
    says = "Task {task} depends on {dependency}, which does not exist; enqueue it first or in the same plan."


class UnknownProject(NotFound):
    code = "unknown_project"
    says = "There is no project {project}: nothing has happened in it yet."


class UnknownSequence(NotFound):
    code = "unknown_sequence"
    says = "Project {project} has no event #{sequence}; its last is #{last}."


class InsideCommand(Rejection):
    code = "inside_command"
    says = (
        "Event #{sequence} of project {project} is in the middle of what one command did; choose #{last},"
        " where that is complete, or an earlier point."
    )


class ProjectExists(Rejection):
    code = "project_exists"
    says = "There is already a project {project}; a fork needs a name that was never used."


class ReservedProject(Rejection):
    code = "reserved_project"
    says = "Project {project} is reserved for coordctl's own settings and is neither forked nor restored."


class AgentExists(Rejection):
    code = "agent_exists"
    says = "Agent {agent} is already active as {persona}; terminate it first or choose another name."


class AgentTerminated(Rejection):
    code = "agent_terminated"
    says = "Agent {agent} was terminated ({reason}) and can change nothing; spawn it again to go on."


class AgentLimitReached(Rejection):
    code = "agent_limit_reached"
    says = (
        "The project already has {active} agents, its limit; terminate one or raise the setting max_agents."
    )


class PersonaExists(Rejection):
    code = "persona_exists"
    says = "Persona {persona} is built in and cannot be redefined; choose another name."


class TaskExists(Rejection):
    code = "task_exists"
    says = "There is already a task {task}; task ids are never used twice in a project."


class TaskNotClaimable(Rejection):
    code = "task_not_claimable"
    says = "Task {task} cannot be claimed now: it is {status}{detail}."


class TaskDoesNotFit(Rejection):
    code = "task_does_not_fit"
    says = "Task {task} needs {needs}, which agent {agent} does not have."


class StaleFence(Rejection):
    code = "stale_fence"
    says = "Fence {given} of task {task} is stale (now {current}, task is {status}); stop working on it."


class WrongState(Rejection):
    code = "wrong_state"
    says = "Task {task} is {status}; this is possible only for a task that is {allowed}."


class DependencyCycle(Rejection):
    code = "dependency_cycle"
    says = "These tasks would wait for each other for ever: {path}."


class InvalidPlan(Rejection):
    code = "invalid_plan"
    says = "The plan cannot be enqueued: {why}."


class HandoffOpen(Rejection):
    code = "handoff_open"
    says = "Task {task} already has an open handoff, {handoff}; it must be answered or expire first."


class HandoffNotYours(Rejection):
    code = "handoff_not_yours"
    says = "Handoff {handoff} is for {to}; agent {agent} cannot {verb} it."


class HandoffState(Rejection):
    code = "handoff_wrong_state"
    says = "Handoff {handoff} is {status}; this is possible only while it is {allowed}."


class InvalidSetting(Rejection):
    code = "invalid_setting"
    says = "Setting {key} must be {expected}; {given} is not."


class InvalidBookmark(Rejection):
    code = "invalid_bookmark"
    says = (
        "{bookmark} cannot be a bookmark's name: it must begin with a letter and be no word of time (now,"
        " today), so that it is not taken for another kind of point; choose another name."
    )


class BookmarkLimitReached(Rejection):
    code = "bookmark_limit_reached"
    says = "The project already has {limit} bookmarks, the most there may be; remove one."


class MemoryPrivate(Rejection):
    code = "memory_private"
    says = "Memory {memory} is private to agent {agent}; only that agent may change or share it."


class SessionOfAnother(Rejection):
    code = "session_of_another"
    says = "Session {session} is {agent}'s; only that agent ends it."


class InvalidCommand(Rejection):
    code = "invalid_command"
    says = "{why}"
