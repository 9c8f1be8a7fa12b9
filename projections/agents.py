"""Agents: who there is, what each does now and since when, and how it has done so far."""

from datetime import datetime
from typing import Any, Literal

from msgspec.structs import replace

from domain.agents import AgentRecovered, AgentSpawned, AgentTerminated, AgentWentStale
from domain.handoffs import HandoffAccepted, HandoffInitiated
from domain.messages import TICKER, Data, Event, Recorded
from domain.tasks.events import (
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskFailed,
    TaskLeaseExpired,
    TaskProgressed,
    TaskReleased,
    TaskStarted,
)
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, View

AgentStatus = Literal["active", "stale", "terminated"]


class AgentRow(Row, frozen=True, kw_only=True):
    """An agent, with what it achieved in all its lives.

    `tasks` are those it holds, the one it is `doing` first; `since` is when it turned to that one (or to
    none). `decisions` counts the commands of its own that changed something. A handoff is sent when it is
    offered and received when it is accepted.
    """

    agent: str
    persona: str
    platform: str
    capabilities: tuple[str, ...]
    metadata: Data
    status: AgentStatus
    spawned_at: datetime
    since: datetime
    last_event_at: datetime
    tasks: tuple[str, ...] = ()
    doing: str | None = None
    terminated_at: datetime | None = None
    reason: str = ""
    decisions: int = 0
    claimed: int = 0
    completed: int = 0
    failed: int = 0
    leases_expired: int = 0
    handoffs_sent: int = 0
    handoffs_received: int = 0
    success_rate: float | None = None
    average_s: float | None = None
    last_command: str = ""


class AgentParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    agent: str | None = None
    status: tuple[AgentStatus, ...] = ()
    persona: str | None = None
    platform: str | None = None


def spawned(row: AgentRow | None, event: AgentSpawned, recorded: Recorded) -> AgentRow:
    """A name that is spawned again keeps what it achieved."""
    life: dict[str, Any] = {
        "persona": event.persona,
        "platform": event.platform,
        "capabilities": event.capabilities,
        "metadata": event.metadata,
        "status": "active",
        "spawned_at": recorded.at,
        "since": recorded.at,
        "last_event_at": recorded.at,
        "tasks": (),
        "doing": None,
        "terminated_at": None,
        "reason": "",
    }
    if row is not None:
        return replace(row, **life)
    return AgentRow(project=recorded.project, agent=event.agent, **life)


@known
def went_stale(row: AgentRow, _: AgentWentStale, recorded: Recorded) -> AgentRow:
    return replace(row, status="stale", last_event_at=recorded.at)


@known
def recovered(row: AgentRow, _: AgentRecovered, recorded: Recorded) -> AgentRow:
    return replace(row, status="active", last_event_at=recorded.at)


@known
def terminated(row: AgentRow, event: AgentTerminated, recorded: Recorded) -> AgentRow:
    return replace(
        row,
        status="terminated",
        reason=event.reason,
        terminated_at=recorded.at,
        since=recorded.at,
        last_event_at=recorded.at,
    )


@known
def claimed(row: AgentRow, event: TaskClaimed, recorded: Recorded) -> AgentRow:
    return _holding(row, (*row.tasks, event.task), recorded.at, claimed=row.claimed + 1)


@known
def turned_to(row: AgentRow, event: TaskStarted | TaskProgressed, recorded: Recorded) -> AgentRow:
    if row.doing == event.task:
        return replace(row, last_event_at=recorded.at)
    return _holding(row, (event.task, *_without(row.tasks, event.task)), recorded.at)


@known
def completed(row: AgentRow, event: TaskCompleted, recorded: Recorded) -> AgentRow:
    count = row.completed + 1
    before_s = row.average_s or 0.0
    return _holding(
        row,
        _without(row.tasks, event.task),
        recorded.at,
        completed=count,
        success_rate=count / (count + row.failed),
        average_s=before_s + (event.seconds - before_s) / count,
    )


@known
def failed(row: AgentRow, event: TaskFailed, recorded: Recorded) -> AgentRow:
    count = row.failed + 1
    tasks = _without(row.tasks, event.task)
    rate = row.completed / (row.completed + count)
    return _holding(row, tasks, recorded.at, failed=count, success_rate=rate)


@known
def lease_expired(row: AgentRow, event: TaskLeaseExpired, recorded: Recorded) -> AgentRow:
    tasks = _without(row.tasks, event.task)
    return _holding(row, tasks, recorded.at, leases_expired=row.leases_expired + 1)


@known
def let_go(row: AgentRow, event: TaskReleased | TaskCancelled, recorded: Recorded) -> AgentRow:
    return _holding(row, _without(row.tasks, event.task), recorded.at)


@known
def sent(row: AgentRow, _: HandoffInitiated, recorded: Recorded) -> AgentRow:
    return replace(row, handoffs_sent=row.handoffs_sent + 1, last_event_at=recorded.at)


@known
def gave(row: AgentRow, event: HandoffAccepted, recorded: Recorded) -> AgentRow:
    return _holding(row, _without(row.tasks, event.task), recorded.at)


@known
def took(row: AgentRow, event: HandoffAccepted, recorded: Recorded) -> AgentRow:
    received = row.handoffs_received + 1
    return _holding(row, (*row.tasks, event.task), recorded.at, handoffs_received=received)


@known
def decided(row: AgentRow, _: Event, recorded: Recorded) -> AgentRow:
    """The events of one command stand together, so that each command is counted once."""
    if row.last_command == recorded.command_id:
        return row
    return replace(
        row, decisions=row.decisions + 1, last_command=recorded.command_id, last_event_at=recorded.at
    )


def _holding(row: AgentRow, tasks: tuple[str, ...], at: datetime, **counts: float) -> AgentRow:
    """The row of an agent that holds these tasks now."""
    doing = tasks[0] if tasks else None
    since = row.since if doing == row.doing else at
    return replace(row, tasks=tasks, doing=doing, since=since, last_event_at=at, **counts)


def _without(tasks: tuple[str, ...], task: str) -> tuple[str, ...]:
    if task not in tasks:
        return tasks
    place = tasks.index(task)
    return tasks[:place] + tasks[place + 1 :]


def _actor(_: Event, recorded: Recorded) -> str | None:
    return None if recorded.actor == TICKER else recorded.actor


AGENTS = Projection(
    name="agents",
    version=1,
    row=AgentRow,
    key=("agent",),
    folds=(
        on(AgentSpawned, spawned),
        on(AgentWentStale, went_stale),
        on(AgentRecovered, recovered),
        on(AgentTerminated, terminated),
        on(TaskClaimed, claimed),
        on(TaskStarted, turned_to),
        on(TaskProgressed, turned_to),
        on(TaskCompleted, completed),
        on(TaskFailed, failed),
        on(TaskLeaseExpired, lease_expired),
        on(TaskReleased, let_go),
        on(TaskCancelled, let_go),
        on(HandoffInitiated, sent, key="from_agent"),
        on(HandoffAccepted, gave, key="from_agent"),
        on(HandoffAccepted, took, key="to_agent"),
        on(Event, decided, key=_actor),
    ),
    queries={
        "counts": "SELECT project, status, count(*) AS count FROM {table}"
        " WHERE %(project)s::text IS NULL OR project = %(project)s GROUP BY project, status",
    },
)

AGENTS_VIEW = View(projection=AGENTS, params=AgentParams, order=("agent",), compares={"entity": ("agent",)})
