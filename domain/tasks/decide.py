"""Which decision answers which task command."""

from typing import TYPE_CHECKING, assert_never

from domain.messages import Context, Event
from domain.tasks import claim, enqueue, work
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    CompleteTasks,
    EnqueuePlan,
    EnqueueTask,
    ExpireLease,
    FailTask,
    ImportTasks,
    QueueDueTask,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    RequeueTask,
    RetryTask,
    StartTask,
    TaskCommand,
)

if TYPE_CHECKING:
    from domain.ledger import Ledger


def decide(ledger: "Ledger", command: TaskCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case ClaimTask():
            return claim.claim(ledger, command, context)
        case CompleteTask():
            return work.complete(ledger, command, context)
        case CompleteTasks():
            return work.complete_many(ledger, command, context)
        case StartTask():
            return work.start(ledger, command, context)
        case ReportProgress():
            return work.progress(ledger, command, context)
        case EnqueueTask():
            return enqueue.enqueue(ledger, command, context)
        case EnqueuePlan():
            return enqueue.enqueue_plan(ledger, command, context)
        case ImportTasks():
            return enqueue.import_tasks(ledger, command, context)
        case FailTask():
            return work.fail(ledger, command, context)
        case ReleaseTask():
            return work.release(ledger, command, context)
        case RequeueTask():
            return work.requeue(ledger, command, context)
        case CancelTask():
            return work.cancel(ledger, command, context)
        case ReprioritizeTask():
            return work.reprioritize(ledger, command, context)
        case RetryTask():
            return work.retry(ledger, command, context)
        case ExpireLease():
            return claim.expire_lease(ledger, command, context)
        case QueueDueTask():
            return claim.queue_due(ledger, command, context)
        case _:
            assert_never(command)
