"""The queue tells of each task what the ledger knows and what people ask."""

from datetime import timedelta

import pytest

from domain.agents import SpawnAgent, TerminateAgent
from domain.handoffs import AcceptHandoff, InitiateHandoff, RejectHandoff
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    EnqueueTask,
    FailTask,
    ImportedTask,
    ImportTasks,
    Link,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    Retry,
    RetryTask,
    StartTask,
)
from projections.queue import QUEUE, TaskRow
from tests.projections.stories import START, Story


@pytest.fixture
def story() -> Story:
    """Two agents and one task, t1, that is tried twice."""
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("a2", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="Act one", retry=Retry(attempts=2, backoff_s=10)))
    return story


def task(story: Story, name: str = "t1") -> TaskRow:
    row: TaskRow = story.rows(QUEUE)[name]
    return row


def test_an_enqueued_task_carries_all_that_was_said_of_it() -> None:
    story = Story()
    story.do("op", EnqueueTask(id="t0", title="Outline"))
    story.do(
        "op",
        EnqueueTask(
            id="t1",
            title="Act one",
            description="Forty pages",
            type="draft",
            persona="plot",
            capabilities=("prose",),
            priority=5,
            depends_on=("t0",),
            parent="t0",
            links=(Link(kind="see", to="map"),),
            input={"pages": 40},
            run_after=START + timedelta(hours=1),
            retry=Retry(attempts=7),
            lease_s=60.0,
        ),
    )
    assert task(story) == TaskRow(
        project="novel",
        task="t1",
        title="Act one",
        status="blocked",
        priority=5,
        brief=2,
        enqueued_at=START,
        updated_at=START,
        description="Forty pages",
        type="draft",
        persona="plot",
        capabilities=("prose",),
        depends_on=("t0",),
        parent="t0",
        links=(Link(kind="see", to="map"),),
        input={"pages": 40},
        run_after=START + timedelta(hours=1),
        retry=Retry(attempts=7),
        lease_s=60.0,
    )


def test_an_imported_task_is_finished_from_the_start() -> None:
    story = Story()
    story.do(
        "op", ImportTasks(tasks=(ImportedTask(id="t1", title="Old", status="completed", result="done"),))
    )
    row = task(story)
    assert (row.status, row.result, row.finished_at, row.reason) == ("completed", "done", START, "imported")


def test_a_claim_names_holder_fence_attempt_and_lease(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    row = task(story)
    assert (row.status, row.holder, row.fence, row.attempt) == ("claimed", "a1", 1, 1)
    assert (row.claimed_at, row.lease_until) == (START, START + timedelta(seconds=300))


def test_progress_without_a_percentage_keeps_the_last_one(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"), StartTask(task="t1", fence=1))
    story.do("a1", ReportProgress(task="t1", fence=1, percent=40, note="half"))
    story.do("a1", ReportProgress(task="t1", fence=1, note="more"))
    row = task(story)
    assert (row.status, row.percent, row.note, row.started_at) == ("in_progress", 40, "more", START)


def test_a_completed_task_keeps_its_result_its_fence_and_who_did_it(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    story.tick(3)
    story.do("a1", CompleteTask(task="t1", fence=1, result={"pages": 41}))
    row = task(story)
    assert (row.status, row.holder, row.lease_until, row.fence) == ("completed", None, None, 1)
    assert (row.result, row.completed_by, row.worked_s) == ({"pages": 41}, "a1", 3.0)
    assert row.finished_at == START + timedelta(seconds=3)


def test_a_failed_task_rests_and_then_starts_its_next_attempt_clean(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"), ReportProgress(task="t1", fence=1, percent=9, note="stuck"))
    story.do("a1", FailTask(task="t1", fence=1, error="no ending"))
    row = task(story)
    assert (row.status, row.failures, row.error) == ("failed", 1, "no ending")
    assert row.retry_at == START + timedelta(seconds=10)
    story.tick(10)
    row = task(story)
    assert (row.status, row.reason, row.retry_at) == ("queued", "retry due", None)
    story.do("a2", ClaimTask(task="t1"))
    row = task(story)
    assert (row.attempt, row.fence, row.percent, row.note, row.started_at) == (2, 2, None, "", None)


def test_a_task_without_attempts_left_is_dead_until_revived(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"), FailTask(task="t1", fence=1, error="x"))
    story.tick(10)
    story.do("a1", ClaimTask(task="t1"))
    story.do("a2", SpawnAgent(persona="plot"))
    story.tick(300)
    row = task(story)
    assert (row.status, row.holder, row.failures) == ("dead", None, 2)
    assert (row.reason, row.error) == ("attempts exhausted", "the lease of a1 expired")
    story.do("op", RetryTask(task="t1"))
    row = task(story)
    assert (row.status, row.failures, row.error, row.reason) == ("queued", 0, "", "revived")


def test_an_expired_lease_returns_the_task_to_the_queue(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    story.tick(300)
    row = task(story)
    assert (row.status, row.holder, row.failures, row.reason) == ("queued", None, 1, "lease expired")
    assert (row.worked_s, row.lease_until) == (300.0, None)


def test_work_adds_up_over_all_who_held_the_task(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    story.tick(5)
    story.do("a1", ReleaseTask(task="t1", fence=1, reason="lunch"))
    assert (task(story).status, task(story).reason, task(story).worked_s) == ("queued", "lunch", 5.0)
    story.tick(7)
    story.do("a2", ClaimTask(task="t1"))
    story.tick(2)
    story.do("a2", TerminateAgent())
    row = task(story)
    assert (row.status, row.holder, row.worked_s) == ("queued", None, 7.0)


def test_a_cancelled_task_is_taken_from_its_holder(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    story.do("op", CancelTask(task="t1", reason="no need"))
    row = task(story)
    assert (row.status, row.holder, row.reason, row.finished_at) == ("cancelled", None, "no need", START)


def test_priority_can_be_changed(story: Story) -> None:
    story.do("op", ReprioritizeTask(task="t1", priority=9))
    assert task(story).priority == 9


def test_an_accepted_handoff_moves_the_task_under_a_new_fence(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"), ReportProgress(task="t1", fence=1, percent=50))
    story.tick(4)
    story.do("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2"))
    handoff = task(story).handoff
    assert handoff is not None
    story.do("a2", AcceptHandoff(handoff=handoff))
    row = task(story)
    assert (row.status, row.holder, row.fence, row.handoff) == ("claimed", "a2", 2, handoff)
    assert (row.percent, row.worked_s, row.claimed_at) == (50, 4.0, START + timedelta(seconds=4))
    assert row.lease_until == START + timedelta(seconds=304)
    story.do("a2", CompleteTask(task="t1", fence=2))
    assert task(story).handoff is None


def test_a_rejected_handoff_leaves_the_task_where_it_was(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"), InitiateHandoff(task="t1", fence=1, to_agent="a2"))
    story.do("a2", RejectHandoff(handoff=task(story).handoff or ""))
    row = task(story)
    assert (row.holder, row.fence, row.handoff) == ("a1", 1, None)


def test_a_task_is_queued_when_its_last_dependency_completes(story: Story) -> None:
    story.do("op", EnqueueTask(id="t2", title="Act two", depends_on=("t1",)))
    assert task(story, "t2").status == "blocked"
    story.do("a1", ClaimTask(task="t1"), CompleteTask(task="t1", fence=1))
    row = task(story, "t2")
    assert (row.status, row.reason) == ("queued", "dependencies completed")
