"""Work under a lease: every write carries its fence, and a stale fence changes nothing."""

from collections.abc import Callable

import pytest

from domain.errors import InvalidCommand, StaleFence, UnknownAgent, UnknownTask, WrongState
from domain.handoffs import InitiateHandoff
from domain.messages import Command
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    CompleteTasks,
    Completion,
    FailTask,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    RequeueTask,
    Retry,
    RetryTask,
    StartTask,
)
from domain.tasks.events import (
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskDied,
    TaskFailed,
    TaskProgressed,
    TaskQueued,
    TaskReleased,
    TaskReprioritized,
    TaskRevived,
    TaskStarted,
)
from tests.domain.given import Asked, agent, at, given, task

HELD: tuple[Asked, ...] = (agent("a1"), agent("a2"), task("t1"), ("a1", ClaimTask(task="t1")))

FENCED: dict[str, Callable[[str, int], Command]] = {
    "start": lambda task, fence: StartTask(task=task, fence=fence),
    "progress": lambda task, fence: ReportProgress(task=task, fence=fence, percent=50),
    "complete": lambda task, fence: CompleteTask(task=task, fence=fence),
    "complete_many": lambda task, fence: CompleteTasks(tasks=(Completion(task=task, fence=fence),)),
    "fail": lambda task, fence: FailTask(task=task, fence=fence, error="no"),
    "release": lambda task, fence: ReleaseTask(task=task, fence=fence),
    "handoff": lambda task, fence: InitiateHandoff(task=task, fence=fence, to_agent="a2"),
}
every_fenced_write = pytest.mark.parametrize("write", FENCED.values(), ids=FENCED.keys())
Write = Callable[[str, int], Command]


@every_fenced_write
def test_a_write_under_the_current_fence_is_taken(write: Write) -> None:
    scenario = given(*HELD).when("a1", write("t1", 1))
    assert scenario.refusal is None
    assert scenario.events


@every_fenced_write
def test_a_write_under_an_older_fence_is_refused_though_the_same_agent_holds_the_task(write: Write) -> None:
    given(*HELD, ("a1", ReleaseTask(task="t1", fence=1)), ("a1", ClaimTask())).when(
        "a1", write("t1", 1)
    ).rejected(StaleFence, task="t1", given=1, current=2, status="claimed", holder="a1")


@every_fenced_write
def test_a_write_after_the_lease_went_to_another_is_refused(write: Write) -> None:
    given(*HELD, ("a1", ReleaseTask(task="t1", fence=1)), ("a2", ClaimTask())).when(
        "a1", write("t1", 1)
    ).rejected(StaleFence, given=1, current=2, holder="a2")


@every_fenced_write
def test_a_fence_is_no_use_to_whom_it_was_not_given(write: Write) -> None:
    given(*HELD).when("a2", write("t1", 1)).rejected(StaleFence, holder="a1")


@every_fenced_write
def test_a_fence_of_the_future_is_refused(write: Write) -> None:
    given(*HELD).when("a1", write("t1", 2)).rejected(StaleFence, given=2, current=1)


@every_fenced_write
def test_a_write_to_what_is_queued_again_is_refused(write: Write) -> None:
    given(*HELD, ("a1", ReleaseTask(task="t1", fence=1))).when("a1", write("t1", 1)).rejected(
        StaleFence, given=1, current=1, status="queued", holder=None
    )


@every_fenced_write
def test_a_write_to_a_cancelled_task_is_refused(write: Write) -> None:
    given(*HELD, ("operator", CancelTask(task="t1"))).when("a1", write("t1", 1)).rejected(
        StaleFence, status="cancelled", current=1
    )


@every_fenced_write
def test_a_write_to_an_unknown_task_or_by_an_unknown_agent_is_refused(write: Write) -> None:
    given(*HELD).when("a1", write("t9", 1)).rejected(UnknownTask, task="t9")
    given(*HELD).when("a9", write("t1", 1)).rejected(UnknownAgent, agent="a9")


def test_work_is_started_once() -> None:
    scenario = given(*HELD).when("a1", StartTask(task="t1", fence=1))
    scenario.then(TaskStarted(task="t1", agent="a1", fence=1))
    assert scenario.status("t1") == "in_progress"
    scenario.when("a1", StartTask(task="t1", fence=1)).then()


def test_progress_is_reported_and_starts_the_work_if_nothing_did() -> None:
    report = ReportProgress(task="t1", fence=1, note="half way", percent=50)
    told = TaskProgressed(task="t1", agent="a1", fence=1, note="half way", percent=50)
    scenario = given(*HELD).when("a1", report).then(TaskStarted(task="t1", agent="a1", fence=1), told)
    scenario.when("a1", report).then(told)


def test_a_task_is_completed_with_its_result_and_how_long_it_took() -> None:
    scenario = (
        given(*HELD).after(seconds=90).when("a1", CompleteTask(task="t1", fence=1, result={"words": 1200}))
    )
    scenario.then(TaskCompleted(task="t1", agent="a1", fence=1, seconds=90.0, result={"words": 1200}))
    assert scenario.status("t1") == "completed"
    assert scenario.ledger.agents["a1"].held == set()


def test_completing_again_under_the_same_fence_changes_nothing() -> None:
    done = given(*HELD, ("a1", CompleteTask(task="t1", fence=1)))
    done.when("a1", CompleteTask(task="t1", fence=1)).then()
    done.when("a1", CompleteTask(task="t1", fence=2)).rejected(StaleFence, status="completed")


def test_completion_queues_what_waited_for_nothing_else() -> None:
    scenario = given(
        *HELD,
        task("other"),
        task("next", depends_on=("t1",)),
        task("both", depends_on=("t1", "other")),
    )
    scenario.when("a1", CompleteTask(task="t1", fence=1)).then(
        TaskCompleted(task="t1", agent="a1", fence=1, seconds=0.0),
        TaskQueued(task="next", reason="dependencies completed"),
    )
    scenario.when("a2", ClaimTask(task="other")).when("a2", CompleteTask(task="other", fence=1)).then_kinds(
        TaskCompleted, TaskQueued
    )
    assert scenario.status("both") == "queued"


def test_many_are_completed_at_once_and_what_waited_for_several_is_queued_once() -> None:
    scenario = given(
        agent("a1"),
        task("t1"),
        task("t2"),
        task("next", depends_on=("t1", "t2")),
        ("a1", ClaimTask(count=2)),
    )
    scenario.when(
        "a1",
        CompleteTasks(
            tasks=(Completion(task="t1", fence=1, result=1), Completion(task="t2", fence=1, result=2))
        ),
    ).then(
        TaskCompleted(task="t1", agent="a1", fence=1, seconds=0.0, result=1),
        TaskCompleted(task="t2", agent="a1", fence=1, seconds=0.0, result=2),
        TaskQueued(task="next", reason="dependencies completed"),
    )


def test_what_many_completions_unblock_is_told_in_the_order_they_were_given() -> None:
    names = [f"t{n}" for n in range(8)]
    scenario = given(
        agent("a1"),
        *(task(name) for name in names),
        *(task(f"after-{name}", depends_on=(name,)) for name in names),
        ("a1", ClaimTask(count=8)),
    )
    scenario.when("a1", CompleteTasks(tasks=tuple(Completion(task=name, fence=1) for name in names)))
    queued = [event.task for event in scenario.events if isinstance(event, TaskQueued)]
    assert queued == [f"after-{name}" for name in names]


def test_many_are_completed_all_or_none() -> None:
    scenario = given(agent("a1"), task("t1"), task("t2"), ("a1", ClaimTask(count=2)))
    scenario.when(
        "a1", CompleteTasks(tasks=(Completion(task="t1", fence=1), Completion(task="t2", fence=7)))
    ).rejected(StaleFence, task="t2")
    assert scenario.status("t1") == "claimed"
    scenario.when(
        "a1", CompleteTasks(tasks=(Completion(task="t1", fence=1), Completion(task="t1", fence=1)))
    ).rejected(InvalidCommand)


def test_repeating_a_completion_of_many_does_only_what_is_not_done() -> None:
    scenario = given(
        agent("a1"),
        task("t1"),
        task("t2"),
        ("a1", ClaimTask(count=2)),
        ("a1", CompleteTask(task="t1", fence=1)),
    )
    both = CompleteTasks(tasks=(Completion(task="t1", fence=1), Completion(task="t2", fence=1)))
    scenario.when("a1", both).then(TaskCompleted(task="t2", agent="a1", fence=1, seconds=0.0))
    scenario.when("a1", both).then()


def test_a_failed_attempt_rests_and_is_tried_again() -> None:
    scenario = given(*HELD).after(seconds=5).when("a1", FailTask(task="t1", fence=1, error="timeout"))
    scenario.then(
        TaskFailed(task="t1", agent="a1", fence=1, error="timeout", failures=1, seconds=5.0, retry_at=at(15))
    )
    assert scenario.status("t1") == "failed"
    scenario.after(seconds=9).then()
    scenario.after(seconds=1).then(TaskQueued(task="t1", reason="retry due"))
    again = scenario.when("a2", ClaimTask()).the(TaskClaimed)
    assert (again.fence, again.attempt) == (2, 2)


def test_each_rest_is_longer_than_the_one_before_up_to_a_limit() -> None:
    policy = Retry(attempts=9, backoff_s=10, factor=3, max_backoff_s=100)
    assert [policy.delay_s(failures) for failures in (1, 2, 3, 4, 5)] == [10, 30, 90, 100, 100]
    assert Retry(backoff_s=0).delay_s(3) == 0
    assert Retry(attempts=100, factor=10).delay_s(99) == 3600


def test_a_task_out_of_attempts_is_dead() -> None:
    scenario = given(agent("a1"), task("t1", retry=Retry(attempts=2, backoff_s=1)), ("a1", ClaimTask()))
    scenario.when("a1", FailTask(task="t1", fence=1, error="no")).after(seconds=1)
    scenario.when("a1", ClaimTask()).when("a1", FailTask(task="t1", fence=2, error="no")).then(
        TaskFailed(task="t1", agent="a1", fence=2, error="no", failures=2, seconds=0.0),
        TaskDied(task="t1", failures=2, reason="attempts exhausted"),
    )
    assert scenario.status("t1") == "dead"
    scenario.after(seconds=10_000)
    assert scenario.status("t1") == "dead"


def test_a_failure_that_is_no_use_repeating_is_dead_at_once() -> None:
    scenario = given(*HELD).when("a1", FailTask(task="t1", fence=1, error="no", retryable=False))
    scenario.then(
        TaskFailed(task="t1", agent="a1", fence=1, error="no", failures=1, seconds=0.0),
        TaskDied(task="t1", failures=1, reason="not retryable"),
    )


def test_a_dead_task_is_revived_with_its_attempts_but_not_its_fence_forgotten() -> None:
    scenario = given(*HELD, ("a1", FailTask(task="t1", fence=1, error="no", retryable=False)))
    scenario.when("operator", RetryTask(task="t1")).then(TaskRevived(task="t1", status="queued"))
    again = scenario.when("a2", ClaimTask()).the(TaskClaimed)
    assert (again.fence, again.attempt) == (2, 1)


def test_a_resting_task_can_be_run_at_once_and_its_rest_is_over() -> None:
    scenario = given(*HELD, ("a1", FailTask(task="t1", fence=1, error="no")))
    scenario.when("operator", RetryTask(task="t1")).then(TaskQueued(task="t1", reason="retry asked"))
    assert scenario.when("a2", ClaimTask()).the(TaskClaimed).attempt == 2
    scenario.after(seconds=60).then()
    assert scenario.status("t1") == "claimed"


def test_only_what_is_dead_or_resting_is_retried() -> None:
    for steps in ((), (("a1", CompleteTask(task="t1", fence=1)),), (("a1", CancelTask(task="t1")),)):
        given(*HELD, *steps).when("operator", RetryTask(task="t1")).rejected(WrongState, task="t1")
    given().when("operator", RetryTask(task="t9")).rejected(UnknownTask, task="t9")


def test_a_released_task_returns_to_the_queue_at_no_cost() -> None:
    scenario = given(*HELD).when("a1", ReleaseTask(task="t1", fence=1, reason="not mine"))
    scenario.then(TaskReleased(task="t1", agent="a1", fence=1, reason="not mine"))
    assert scenario.when("a2", ClaimTask()).the(TaskClaimed).attempt == 1


def test_a_task_can_be_taken_from_its_holder_and_queued_again() -> None:
    scenario = given(*HELD).when("operator", RequeueTask(task="t1", reason="more urgent things"))
    scenario.then(TaskReleased(task="t1", agent="a1", fence=1, reason="more urgent things"))
    scenario.when("operator", RequeueTask(task="t1")).then()
    scenario.when("a1", CompleteTask(task="t1", fence=1)).rejected(StaleFence, status="queued")
    assert scenario.when("a2", ClaimTask()).the(TaskClaimed).attempt == 1
    scenario.when("a2", CompleteTask(task="t1", fence=2))
    scenario.when("operator", RequeueTask(task="t1")).rejected(WrongState, status="completed")
    scenario.when("operator", RequeueTask(task="t9")).rejected(UnknownTask, task="t9")


def test_a_cancelled_task_is_taken_from_its_holder_for_good() -> None:
    scenario = given(*HELD).when("operator", CancelTask(task="t1", reason="scope"))
    scenario.then(TaskCancelled(task="t1", reason="scope", agent="a1"))
    assert scenario.ledger.agents["a1"].held == set()
    assert scenario.status("t1") == "cancelled"
    scenario.when("operator", CancelTask(task="t1")).then()
    scenario.after(seconds=1_000)
    assert scenario.status("t1") == "cancelled"


@pytest.mark.parametrize(
    "steps",
    [
        (task("t9"),),
        (task("dep"), task("t9", depends_on=("dep",))),
        (task("t9", run_after=at(50)),),
        (
            agent("a9"),
            task("t9"),
            ("a9", ClaimTask(task="t9")),
            ("a9", FailTask(task="t9", fence=1, error="x")),
        ),
        (
            agent("a9"),
            task("t9"),
            ("a9", ClaimTask(task="t9")),
            ("a9", FailTask(task="t9", fence=1, error="x", retryable=False)),
        ),
    ],
    ids=["queued", "blocked", "early", "resting", "dead"],
)
def test_whatever_is_not_finished_can_be_cancelled_and_never_comes_back(steps: tuple[Asked, ...]) -> None:
    scenario = given(*steps).when("operator", CancelTask(task="t9")).then(TaskCancelled(task="t9"))
    scenario.after(seconds=100)
    assert scenario.status("t9") == "cancelled"


def test_what_waits_for_a_cancelled_task_stays_blocked() -> None:
    scenario = given(task("t1"), task("t2", depends_on=("t1",)))
    scenario.when("operator", CancelTask(task="t1"))
    assert scenario.status("t2") == "blocked"


def test_a_completed_task_can_be_neither_cancelled_nor_reprioritized() -> None:
    done = given(*HELD, ("a1", CompleteTask(task="t1", fence=1)))
    done.when("operator", CancelTask(task="t1")).rejected(WrongState, status="completed")
    done.when("operator", ReprioritizeTask(task="t1", priority=3)).rejected(WrongState, status="completed")
    done.when("operator", CancelTask(task="t9")).rejected(UnknownTask)
    done.when("operator", ReprioritizeTask(task="t9", priority=3)).rejected(UnknownTask)


def test_a_new_priority_of_a_held_task_counts_when_it_comes_back() -> None:
    scenario = given(*HELD, task("t2", priority=1))
    scenario.when("operator", ReprioritizeTask(task="t1", priority=5)).then(
        TaskReprioritized(task="t1", old=0, new=5)
    )
    scenario.when("operator", ReprioritizeTask(task="t1", priority=5)).then()
    scenario.when("a1", ReleaseTask(task="t1", fence=1))
    assert scenario.when("a2", ClaimTask()).the(TaskClaimed).task == "t1"
