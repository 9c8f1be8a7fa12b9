"""What may be asked of tasks."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.messages import Command, Data, Key, Name, TaskId, Text, Title

MAX_CLAIM_TASKS = 100
MAX_WAIT_S = 60
MAX_PLAN_TASKS = 1_000

Priority = Annotated[int, Constraint(ge=-1000, le=1000)]
Fence = Annotated[int, Constraint(ge=1)]
Seconds = Annotated[float, Constraint(ge=0, le=30 * 86_400)]
LeaseSeconds = Annotated[float, Constraint(ge=1, le=86_400)]
Due = Annotated[datetime, Constraint(tz=True)]


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """How often a task is tried, and how long a failed one rests: backoff_s * factor ** (failures - 1)."""

    attempts: Annotated[int, Constraint(ge=1, le=100)] = 3
    backoff_s: Seconds = 10.0
    factor: Annotated[float, Constraint(ge=1, le=10)] = 2.0
    max_backoff_s: Seconds = 3600.0

    def delay_s(self, failures: int) -> float:
        """Seconds to rest after this many failures, the first being 1."""
        return float(min(self.backoff_s * self.factor ** (failures - 1), self.max_backoff_s))


class Link(Struct, frozen=True, forbid_unknown_fields=True):
    """A pointer that decides nothing: `kind` says how, `to` names a task or anything else."""

    kind: Key
    to: Annotated[str, Constraint(min_length=1, max_length=500)]


class TaskFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What describes a task. Higher priority goes first; among equals the older one does."""

    title: Title
    description: Text = ""
    type: Key = "task"
    persona: Name | None = None
    capabilities: Annotated[tuple[Key, ...], Constraint(max_length=32)] = ()
    priority: Priority = 0
    depends_on: Annotated[tuple[TaskId, ...], Constraint(max_length=1_000)] = ()
    parent: TaskId | None = None
    links: Annotated[tuple[Link, ...], Constraint(max_length=1_000)] = ()
    input: Data = None
    run_after: Due | None = None
    retry: Retry = Retry()
    lease_s: LeaseSeconds | None = None


class EnqueueTask(TaskFields, Command, frozen=True, kw_only=True):
    """Add a task. Without an id of its own it gets one derived from the command id.

    `session` is the open session that delegates it.
    """

    name: ClassVar[str] = "task.enqueue"

    id: TaskId | None = None
    session: Key | None = None


class PlannedTask(TaskFields, frozen=True, kw_only=True):
    """A task of a plan; `depends_on` and `parent` may use the local names of its plan."""

    local: Key
    id: TaskId | None = None


class EnqueuePlan(Command, frozen=True, kw_only=True):
    """Add a whole graph of tasks, all or none; `session` is the open session that delegates them."""

    name: ClassVar[str] = "task.plan"

    tasks: Annotated[tuple[PlannedTask, ...], Constraint(min_length=1, max_length=MAX_PLAN_TASKS)]
    session: Key | None = None


class ImportedTask(TaskFields, frozen=True, kw_only=True):
    """A task that comes from another tracker, maybe finished there."""

    id: TaskId
    status: Literal["open", "completed", "cancelled"] = "open"
    result: Data = None


class ImportTasks(Command, frozen=True, kw_only=True):
    """Take over tasks of another tracker; ids that are already known are left as they are."""

    name: ClassVar[str] = "task.import"

    tasks: Annotated[tuple[ImportedTask, ...], Constraint(min_length=1, max_length=MAX_PLAN_TASKS)]


class ClaimTask(Command, frozen=True, kw_only=True):
    """Claim a named task, or the next `count` that fit; with `wait_s`, wait for one if there is none."""

    name: ClassVar[str] = "task.claim"

    task: TaskId | None = None
    count: Annotated[int, Constraint(ge=1, le=MAX_CLAIM_TASKS)] = 1
    wait_s: Annotated[float, Constraint(ge=0, le=MAX_WAIT_S)] = 0.0


class StartTask(Command, frozen=True, kw_only=True):
    """Say that work on a claimed task has begun."""

    name: ClassVar[str] = "task.start"

    task: TaskId
    fence: Fence


class ReportProgress(Command, frozen=True, kw_only=True):
    """Say how far the work is; this renews the lease."""

    name: ClassVar[str] = "task.progress"

    task: TaskId
    fence: Fence
    note: Text = ""
    percent: Annotated[int, Constraint(ge=0, le=100)] | None = None


class CompleteTask(Command, frozen=True, kw_only=True):
    """Finish a task with its result."""

    name: ClassVar[str] = "task.complete"

    task: TaskId
    fence: Fence
    result: Data = None


class Completion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task of a `task.complete_many`."""

    task: TaskId
    fence: Fence
    result: Data = None


class CompleteTasks(Command, frozen=True, kw_only=True):
    """Finish many tasks at once, all or none."""

    name: ClassVar[str] = "task.complete_many"

    tasks: Annotated[tuple[Completion, ...], Constraint(min_length=1, max_length=MAX_CLAIM_TASKS)]


class FailTask(Command, frozen=True, kw_only=True):
    """Give up this attempt: the task rests and is tried again, or is dead if that is no use."""

    name: ClassVar[str] = "task.fail"

    task: TaskId
    fence: Fence
    error: Text
    retryable: bool = True


class ReleaseTask(Command, frozen=True, kw_only=True):
    """Put a claimed task back into the queue; this costs no attempt."""

    name: ClassVar[str] = "task.release"

    task: TaskId
    fence: Fence
    reason: Text = ""


class RequeueTask(Command, frozen=True, kw_only=True):
    """Take a task from whoever holds it and put it back into the queue; this costs no attempt."""

    name: ClassVar[str] = "task.requeue"

    task: TaskId
    reason: Text = ""


class CancelTask(Command, frozen=True, kw_only=True):
    """Take a task out of the queue for good, also from whoever works on it."""

    name: ClassVar[str] = "task.cancel"

    task: TaskId
    reason: Text = ""


class ReprioritizeTask(Command, frozen=True, kw_only=True):
    """Change the priority of a task that is not finished."""

    name: ClassVar[str] = "task.reprioritize"

    task: TaskId
    priority: Priority


class RetryTask(Command, frozen=True, kw_only=True):
    """Revive a dead task, or let a failed one run again at once."""

    name: ClassVar[str] = "task.retry"

    task: TaskId


class ExpireLease(Command, frozen=True, kw_only=True):
    """Time is up for a lease (asked by the ticker alone)."""

    name: ClassVar[str] = "task.expire_lease"

    task: TaskId


class QueueDueTask(Command, frozen=True, kw_only=True):
    """A run-after time or a retry has come due (asked by the ticker alone)."""

    name: ClassVar[str] = "task.queue_due"

    task: TaskId


TaskCommand = (
    EnqueueTask
    | EnqueuePlan
    | ImportTasks
    | ClaimTask
    | StartTask
    | ReportProgress
    | CompleteTask
    | CompleteTasks
    | FailTask
    | ReleaseTask
    | RequeueTask
    | CancelTask
    | ReprioritizeTask
    | RetryTask
    | ExpireLease
    | QueueDueTask
)
