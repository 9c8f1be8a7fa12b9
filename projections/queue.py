"""The task queue: everything about each task, as the ledger sees it and as people ask for it."""

from datetime import datetime

from msgspec.structs import replace

from domain.handoffs import (
    HandoffAccepted,
    HandoffCompleted,
    HandoffExpired,
    HandoffInitiated,
    HandoffRejected,
)
from domain.messages import Data, Recorded
from domain.tasks.commands import Link, Retry
from domain.tasks.events import (
    Status,
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
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class TaskRow(Row, frozen=True, kw_only=True):
    """A task.

    `reason` says why its status is what it is, where the event said so; `error` what ended the last failed
    attempt. `lease_until` is the deadline as the claim set it: heartbeats, which are no events, move the
    real one. `worked_s` is how long agents held it, all attempts together. `brief` is the sequence of the
    event that brought it in, and so its age.
    """

    task: str
    title: str
    status: Status
    priority: int
    brief: int
    enqueued_at: datetime
    updated_at: datetime
    description: str = ""
    type: str = "task"
    persona: str | None = None
    capabilities: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    parent: str | None = None
    links: tuple[Link, ...] = ()
    input: Data = None
    run_after: datetime | None = None
    retry: Retry = Retry()
    lease_s: float | None = None
    plan: str | None = None
    local: str | None = None
    reason: str = ""
    holder: str | None = None
    fence: int = 0
    attempt: int = 0
    failures: int = 0
    claimed_at: datetime | None = None
    lease_until: datetime | None = None
    started_at: datetime | None = None
    percent: int | None = None
    note: str = ""
    handoff: str | None = None
    error: str = ""
    retry_at: datetime | None = None
    worked_s: float = 0.0
    result: Data = None
    completed_by: str | None = None
    finished_at: datetime | None = None


class QueueParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    status: tuple[Status, ...] = ()
    persona: str | None = None
    agent: str | None = None
    type: str | None = None
    parent: str | None = None
    plan: str | None = None
    text: Search | None = None


def enqueued(_: TaskRow | None, event: TaskEnqueued, recorded: Recorded) -> TaskRow:
    return TaskRow(
        project=recorded.project,
        task=event.task,
        title=event.title,
        status=event.status,
        priority=event.priority,
        brief=recorded.sequence,
        enqueued_at=recorded.at,
        updated_at=recorded.at,
        description=event.description,
        type=event.type,
        persona=event.persona,
        capabilities=event.capabilities,
        depends_on=event.depends_on,
        parent=event.parent,
        links=event.links,
        input=event.input,
        run_after=event.run_after,
        retry=event.retry,
        lease_s=event.lease_s,
        plan=event.plan,
        local=event.local,
    )


def imported(_: TaskRow | None, event: TaskImported, recorded: Recorded) -> TaskRow:
    return TaskRow(
        project=recorded.project,
        task=event.task,
        title=event.title,
        status=event.status,
        priority=event.priority,
        brief=recorded.sequence,
        enqueued_at=recorded.at,
        updated_at=recorded.at,
        description=event.description,
        type=event.type,
        persona=event.persona,
        capabilities=event.capabilities,
        depends_on=event.depends_on,
        parent=event.parent,
        links=event.links,
        reason="imported",
        result=event.result,
        finished_at=recorded.at,
    )


@known
def queued(row: TaskRow, event: TaskQueued, recorded: Recorded) -> TaskRow:
    return replace(row, status="queued", reason=event.reason, retry_at=None, updated_at=recorded.at)


@known
def claimed(row: TaskRow, event: TaskClaimed, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="claimed",
        reason="",
        holder=event.agent,
        fence=event.fence,
        attempt=event.attempt,
        claimed_at=recorded.at,
        lease_until=event.lease_until,
        started_at=None,
        percent=None,
        note="",
        updated_at=recorded.at,
    )


@known
def started(row: TaskRow, _: TaskStarted, recorded: Recorded) -> TaskRow:
    return replace(row, status="in_progress", started_at=recorded.at, updated_at=recorded.at)


@known
def progressed(row: TaskRow, event: TaskProgressed, recorded: Recorded) -> TaskRow:
    """A report without a percentage leaves the last one standing."""
    return replace(
        row,
        status="in_progress",
        percent=row.percent if event.percent is None else event.percent,
        note=event.note,
        updated_at=recorded.at,
    )


@known
def completed(row: TaskRow, event: TaskCompleted, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="completed",
        reason="",
        holder=None,
        lease_until=None,
        worked_s=_worked_s(row, recorded.at),
        result=event.result,
        completed_by=event.agent,
        finished_at=recorded.at,
        updated_at=recorded.at,
    )


@known
def failed(row: TaskRow, event: TaskFailed, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="failed",
        reason="",
        holder=None,
        lease_until=None,
        worked_s=_worked_s(row, recorded.at),
        failures=event.failures,
        error=event.error,
        retry_at=event.retry_at,
        updated_at=recorded.at,
    )


@known
def lease_expired(row: TaskRow, event: TaskLeaseExpired, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="queued",
        reason="lease expired",
        holder=None,
        lease_until=None,
        worked_s=_worked_s(row, recorded.at),
        failures=event.failures,
        error=f"the lease of {event.agent} expired",
        updated_at=recorded.at,
    )


@known
def died(row: TaskRow, event: TaskDied, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="dead",
        reason=event.reason,
        failures=event.failures,
        retry_at=None,
        updated_at=recorded.at,
    )


@known
def released(row: TaskRow, event: TaskReleased, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="queued",
        reason=event.reason,
        holder=None,
        lease_until=None,
        worked_s=_worked_s(row, recorded.at),
        updated_at=recorded.at,
    )


@known
def cancelled(row: TaskRow, event: TaskCancelled, recorded: Recorded) -> TaskRow:
    return replace(
        row,
        status="cancelled",
        reason=event.reason,
        holder=None,
        lease_until=None,
        worked_s=_worked_s(row, recorded.at),
        retry_at=None,
        finished_at=recorded.at,
        updated_at=recorded.at,
    )


@known
def reprioritized(row: TaskRow, event: TaskReprioritized, recorded: Recorded) -> TaskRow:
    return replace(row, priority=event.new, updated_at=recorded.at)


@known
def revived(row: TaskRow, event: TaskRevived, recorded: Recorded) -> TaskRow:
    return replace(row, status=event.status, reason="revived", failures=0, error="", updated_at=recorded.at)


@known
def offered(row: TaskRow, event: HandoffInitiated, recorded: Recorded) -> TaskRow:
    return replace(row, handoff=event.handoff, updated_at=recorded.at)


@known
def handed_over(row: TaskRow, event: HandoffAccepted, recorded: Recorded) -> TaskRow:
    """The receiver holds the task anew; what is done of it stays done."""
    return replace(
        row,
        status="claimed",
        reason="",
        holder=event.to_agent,
        fence=event.fence,
        worked_s=_worked_s(row, recorded.at),
        claimed_at=recorded.at,
        lease_until=event.lease_until,
        started_at=None,
        updated_at=recorded.at,
    )


@known
def handoff_closed(
    row: TaskRow, event: HandoffRejected | HandoffCompleted | HandoffExpired, recorded: Recorded
) -> TaskRow:
    return replace(row, handoff=None, updated_at=recorded.at) if row.handoff == event.handoff else row


def _worked_s(row: TaskRow, until: datetime) -> float:
    """The time worked on a task whose holder lets go of it now."""
    if row.holder is None or row.claimed_at is None:
        return row.worked_s
    return row.worked_s + (until - row.claimed_at).total_seconds()


QUEUE = Projection(
    name="queue",
    version=1,
    row=TaskRow,
    key=("task",),
    folds=(
        on(TaskEnqueued, enqueued),
        on(TaskImported, imported),
        on(TaskQueued, queued),
        on(TaskClaimed, claimed),
        on(TaskStarted, started),
        on(TaskProgressed, progressed),
        on(TaskCompleted, completed),
        on(TaskFailed, failed),
        on(TaskLeaseExpired, lease_expired),
        on(TaskDied, died),
        on(TaskReleased, released),
        on(TaskCancelled, cancelled),
        on(TaskReprioritized, reprioritized),
        on(TaskRevived, revived),
        on(HandoffInitiated, offered),
        on(HandoffAccepted, handed_over),
        on(HandoffRejected, handoff_closed),
        on(HandoffCompleted, handoff_closed),
        on(HandoffExpired, handoff_closed),
    ),
    indexes=(("project", "status"), ("project", "-priority", "brief", "task")),
    queries={
        "plans": "WITH RECURSIVE rows_of AS (SELECT task, parent, plan, status, enqueued_at FROM {table}"
        " WHERE project = %(project)s), steps AS (SELECT plan, task, status, enqueued_at, true AS planned"
        " FROM rows_of WHERE plan IS NOT NULL UNION SELECT steps.plan, added.task, added.status,"
        " added.enqueued_at, false FROM rows_of added JOIN steps ON added.parent = steps.task"
        " WHERE added.plan IS NULL)"
        " SELECT plan, min(enqueued_at) AS made_at, count(*) FILTER (WHERE planned) AS planned,"
        " count(*) FILTER (WHERE NOT planned) AS added,"
        " count(*) FILTER (WHERE status = 'completed') AS completed,"
        " count(*) FILTER (WHERE status NOT IN ('completed', 'cancelled')) AS unfinished,"
        " 2 * count(*) FILTER (WHERE status = 'completed') >= 3 * count(*) FILTER (WHERE planned)"
        " AS scope_creep"
        " FROM steps GROUP BY plan ORDER BY made_at DESC, plan LIMIT %(limit)s OFFSET %(offset)s",
        "unfinished": "SELECT task FROM {table}"
        " WHERE project = %(project)s AND task = ANY(%(tasks)s) AND status <> 'completed'",
        "counts": "SELECT project, status, count(*) AS count FROM {table}"
        " WHERE %(project)s::text IS NULL OR project = %(project)s GROUP BY project, status",
    },
)

QUEUE_VIEW = View(
    projection=QUEUE,
    params=QueueParams,
    order=("-priority", "brief", "task"),
    compares={"entity": ("task",), "agent": ("holder",)},
    searches=("task", "title", "description"),
)
