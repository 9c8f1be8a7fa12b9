"""Claiming: who gets which task, for how long, and what the ticker takes back."""

import pytest

from domain.agents import Heartbeat, TerminateAgent
from domain.errors import TaskDoesNotFit, TaskNotClaimable, UnknownAgent, UnknownTask
from domain.settings import SetSetting
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    ExpireLease,
    FailTask,
    QueueDueTask,
    ReleaseTask,
    ReprioritizeTask,
    Retry,
    StartTask,
)
from domain.tasks.events import TaskClaimed, TaskDied, TaskLeaseExpired, TaskReprioritized
from tests.domain.given import Scenario, agent, at, given, task


def claimed(scenario: Scenario) -> list[str]:
    return [event.task for event in scenario.events if isinstance(event, TaskClaimed)]


def test_a_named_task_is_claimed_under_its_first_fence() -> None:
    given(agent("a1"), task("t1", lease_s=60)).when("a1", ClaimTask(task="t1")).then(
        TaskClaimed(task="t1", agent="a1", fence=1, brief=2, attempt=1, lease_s=60.0, lease_until=at(60))
    )


def test_a_lease_without_a_length_of_its_own_has_the_default() -> None:
    scenario = given(agent("a1"), task("t1"), task("t2"))
    assert scenario.when("a1", ClaimTask(task="t1")).the(TaskClaimed).lease_s == 300.0
    scenario.when("operator", SetSetting(key="default_lease_s", value=30))
    assert scenario.when("a1", ClaimTask(task="t2")).the(TaskClaimed).lease_until == at(30)


def test_the_brief_points_at_the_event_that_tells_of_the_task() -> None:
    scenario = given(
        task("t1"), task("t2"), agent("a1"), ("planner", ReprioritizeTask(task="t2", priority=9))
    )
    assert scenario.when("a1", ClaimTask()).the(TaskClaimed).brief == 2


def test_claiming_what_one_already_holds_changes_nothing() -> None:
    given(agent("a1"), task("t1"), ("a1", ClaimTask())).when("a1", ClaimTask(task="t1")).then()


def test_a_held_task_is_refused_to_others_naming_holder_and_fence() -> None:
    held = given(agent("a1"), agent("a2"), task("t1"), ("a1", ClaimTask()))
    held.when("a2", ClaimTask(task="t1")).rejected(TaskNotClaimable, task="t1", status="claimed", holder="a1")
    assert "by a1 under fence 1" in str(held.refusal)


def test_what_is_not_queued_cannot_be_claimed_and_the_refusal_says_why() -> None:
    scenario = given(
        agent("a1"),
        agent("a2"),
        task("dep"),
        task("waits", depends_on=("dep",)),
        task("early", run_after=at(1_000)),
        task("gone"),
        ("planner", CancelTask(task="gone")),
        task("dead"),
        ("a1", ClaimTask(task="dead")),
        ("a1", FailTask(task="dead", fence=1, error="no", retryable=False)),
        task("rests"),
        ("a1", ClaimTask(task="rests")),
        ("a1", FailTask(task="rests", fence=1, error="later")),
        task("done"),
        ("a1", ClaimTask(task="done")),
        ("a1", CompleteTask(task="done", fence=1)),
    )
    for name, status, why in (
        ("waits", "blocked", "waiting for dep"),
        ("early", "blocked", f"until {at(1_000).isoformat()}"),
        ("gone", "cancelled", "cancelled"),
        ("dead", "dead", "dead"),
        ("rests", "failed", "failed"),
        ("done", "completed", "completed"),
    ):
        scenario.when("a2", ClaimTask(task=name)).rejected(TaskNotClaimable, task=name, status=status)
        assert why in str(scenario.refusal)


def test_unknown_tasks_and_agents_are_refused() -> None:
    given(agent("a1")).when("a1", ClaimTask(task="t9")).rejected(UnknownTask, task="t9")
    given(task("t1")).when("a1", ClaimTask()).rejected(UnknownAgent, agent="a1")
    given(task("t1")).when("a1", ClaimTask(task="t1")).rejected(UnknownAgent, agent="a1")


def test_a_named_task_that_does_not_fit_is_refused_naming_what_lacks() -> None:
    scenario = given(
        agent("a1", "plot", capabilities=("web",)), task("t1", persona="map", capabilities=("web", "gpu"))
    )
    scenario.when("a1", ClaimTask(task="t1")).rejected(
        TaskDoesNotFit, task="t1", agent="a1", needs="persona map and capability gpu"
    )


def test_the_next_task_is_the_one_of_highest_priority_then_the_oldest() -> None:
    scenario = given(
        agent("a1"), task("low", priority=-1), task("older"), task("newer"), task("high", priority=7)
    )
    order = [claimed(scenario.when("a1", ClaimTask()))[0] for _ in range(4)]
    assert order == ["high", "older", "newer", "low"]


def test_the_next_task_is_chosen_across_all_queues_that_fit() -> None:
    scenario = given(
        agent("a1", "plot", capabilities=("web",)),
        task("any"),
        task("other", persona="map", priority=9),
        task("mine", persona="plot", priority=3),
        task("beyond", capabilities=("gpu",), priority=9),
        task("able", capabilities=("web",), priority=2),
    )
    assert claimed(scenario.when("a1", ClaimTask(count=10))) == ["mine", "able", "any"]


def test_nothing_that_fits_is_no_refusal() -> None:
    given(agent("a1"), task("t1", persona="map")).when("a1", ClaimTask()).then()
    given(agent("a1")).when("a1", ClaimTask(wait_s=5.0, count=3)).then()


@pytest.mark.parametrize(("count", "got"), [(1, 1), (3, 3), (5, 4)])
def test_up_to_so_many_are_claimed_at_once(count: int, got: int) -> None:
    scenario = given(
        agent("a1"), *(task(f"t{n}") for n in range(2)), *(task(f"p{n}", persona="plot") for n in range(2))
    )
    names = claimed(scenario.when("a1", ClaimTask(count=count)))
    assert len(set(names)) == len(names) == got


def test_a_claimed_task_is_nobody_elses() -> None:
    scenario = given(agent("a1"), agent("a2"), task("t1"), task("t2"))
    first = claimed(scenario.when("a1", ClaimTask()))
    second = claimed(scenario.when("a2", ClaimTask(count=9)))
    assert (first, second) == (["t1"], ["t2"])


def test_a_task_keeps_its_age_when_it_comes_back() -> None:
    scenario = given(agent("a1"), task("older"), task("newer"), ("a1", ClaimTask()))
    scenario.when("a1", ReleaseTask(task="older", fence=1))
    assert claimed(scenario.when("a1", ClaimTask())) == ["older"]


def test_a_new_priority_moves_a_queued_task() -> None:
    scenario = given(agent("a1"), task("older"), task("newer"))
    scenario.when("planner", ReprioritizeTask(task="newer", priority=1)).then(
        TaskReprioritized(task="newer", old=0, new=1)
    )
    assert claimed(scenario.when("a1", ClaimTask(count=2))) == ["newer", "older"]


def test_every_claim_has_a_higher_fence_than_the_one_before() -> None:
    scenario = given(agent("a1"), task("t1"))
    fences = []
    for _ in range(4):
        fences.append(scenario.when("a1", ClaimTask()).the(TaskClaimed).fence)
        scenario.when("a1", ReleaseTask(task="t1", fence=fences[-1]))
    assert fences == [1, 2, 3, 4]


def test_an_expired_lease_returns_the_task_at_the_cost_of_an_attempt() -> None:
    scenario = given(agent("a1"), agent("a2"), task("t1", lease_s=50), ("a1", ClaimTask()))
    scenario.after(seconds=49).then()
    scenario.after(seconds=1).then(TaskLeaseExpired(task="t1", agent="a1", fence=1, failures=1))
    again = scenario.when("a2", ClaimTask()).the(TaskClaimed)
    assert (again.fence, again.attempt) == (2, 2)


def test_starting_renews_the_lease() -> None:
    scenario = given(agent("a1"), task("t1", lease_s=50), ("a1", ClaimTask()))
    scenario.after(seconds=40).when("a1", StartTask(task="t1", fence=1))
    scenario.after(seconds=49).then()
    scenario.after(seconds=1).then_kinds(TaskLeaseExpired)


def test_the_last_attempt_that_expires_leaves_the_task_dead() -> None:
    scenario = given(agent("a1"), task("t1", lease_s=50, retry=Retry(attempts=2)), ("a1", ClaimTask())).after(
        seconds=50
    )
    scenario.when("a1", ClaimTask()).after(seconds=50).then(
        TaskLeaseExpired(task="t1", agent="a1", fence=2, failures=2),
        TaskDied(task="t1", failures=2, reason="attempts exhausted"),
    )
    assert scenario.status("t1") == "dead"
    scenario.when("a1", ClaimTask()).then()


def test_an_expiry_that_comes_too_late_changes_nothing() -> None:
    given(task("t1")).when("_ticker", ExpireLease(task="t1")).then()
    given().when("_ticker", ExpireLease(task="t9")).then()
    given(task("t1")).when("_ticker", QueueDueTask(task="t1")).then()
    given().when("_ticker", QueueDueTask(task="t9")).then()


def test_the_work_of_an_agent_that_dies_is_claimed_by_another() -> None:
    scenario = given(agent("a1"), agent("a2"), task("t1"), ("a1", ClaimTask()))
    scenario.when("operator", TerminateAgent(agent="a1"))
    assert claimed(scenario.when("a2", ClaimTask())) == ["t1"]
    scenario.when("a2", Heartbeat()).then()
