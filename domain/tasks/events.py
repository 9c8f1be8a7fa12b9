"""What can happen to a task."""

from datetime import datetime
from typing import ClassVar, Literal

from domain.messages import Data, Event
from domain.tasks.commands import Link, Retry

Status = Literal["queued", "blocked", "claimed", "in_progress", "completed", "failed", "cancelled", "dead"]


class TaskEvent(Event, frozen=True, kw_only=True):
    task: str

    @property
    def entity(self) -> str:
        return self.task


class TaskEnqueued(TaskEvent, frozen=True, kw_only=True):
    """`waiting_for` names the dependencies not yet completed; with any, or if early, it is blocked.

    `session` is the session that delegated it, if any did.
    """

    name: ClassVar[str] = "task.enqueued"

    title: str
    status: Literal["queued", "blocked"]
    description: str = ""
    type: str = "task"
    persona: str | None = None
    capabilities: tuple[str, ...] = ()
    priority: int = 0
    depends_on: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    parent: str | None = None
    links: tuple[Link, ...] = ()
    input: Data = None
    run_after: datetime | None = None
    retry: Retry = Retry()
    lease_s: float | None = None
    plan: str | None = None
    local: str | None = None
    session: str | None = None


class TaskImported(TaskEvent, frozen=True, kw_only=True):
    """A task that was already finished where it came from."""

    name: ClassVar[str] = "task.imported"

    title: str
    status: Literal["completed", "cancelled"]
    description: str = ""
    type: str = "task"
    persona: str | None = None
    capabilities: tuple[str, ...] = ()
    priority: int = 0
    depends_on: tuple[str, ...] = ()
    parent: str | None = None
    links: tuple[Link, ...] = ()
    result: Data = None


class TaskQueued(TaskEvent, frozen=True, kw_only=True):
    """A task that was blocked or resting can be claimed now."""

    name: ClassVar[str] = "task.queued"

    reason: Literal["dependencies completed", "due", "retry due", "retry asked"]


class TaskClaimed(TaskEvent, frozen=True, kw_only=True):
    """`brief` is the sequence of the event that says what the task is about."""

    name: ClassVar[str] = "task.claimed"

    agent: str
    fence: int
    brief: int
    attempt: int
    lease_s: float
    lease_until: datetime


class TaskStarted(TaskEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "task.started"

    agent: str
    fence: int


class TaskProgressed(TaskEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "task.progressed"

    agent: str
    fence: int
    note: str = ""
    percent: int | None = None


class TaskCompleted(TaskEvent, frozen=True, kw_only=True):
    """`seconds` is the time since this agent got the task."""

    name: ClassVar[str] = "task.completed"

    agent: str
    fence: int
    seconds: float
    result: Data = None


class TaskFailed(TaskEvent, frozen=True, kw_only=True):
    """An attempt failed; `failures` counts them, `retry_at` is when it is tried again, if ever."""

    name: ClassVar[str] = "task.failed"

    agent: str
    fence: int
    error: str
    failures: int
    seconds: float
    retry_at: datetime | None = None


class TaskLeaseExpired(TaskEvent, frozen=True, kw_only=True):
    """The holder fell silent: an attempt is spent. The task is queued again, unless a `task.died` follows."""

    name: ClassVar[str] = "task.lease_expired"

    agent: str
    fence: int
    failures: int


class TaskDied(TaskEvent, frozen=True, kw_only=True):
    """No attempt is left, or the failure was not worth another one."""

    name: ClassVar[str] = "task.died"

    failures: int
    reason: Literal["attempts exhausted", "not retryable"]


class TaskReleased(TaskEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "task.released"

    agent: str
    fence: int
    reason: str = ""


class TaskCancelled(TaskEvent, frozen=True, kw_only=True):
    """`agent` is who held it, if anybody did."""

    name: ClassVar[str] = "task.cancelled"

    reason: str = ""
    agent: str | None = None


class TaskReprioritized(TaskEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "task.reprioritized"

    old: int
    new: int


class TaskRevived(TaskEvent, frozen=True, kw_only=True):
    """A dead task starts afresh, its failures forgotten."""

    name: ClassVar[str] = "task.revived"

    status: Literal["queued", "blocked"]


AnyTaskEvent = (
    TaskEnqueued
    | TaskImported
    | TaskQueued
    | TaskClaimed
    | TaskStarted
    | TaskProgressed
    | TaskCompleted
    | TaskFailed
    | TaskLeaseExpired
    | TaskDied
    | TaskReleased
    | TaskCancelled
    | TaskReprioritized
    | TaskRevived
)
