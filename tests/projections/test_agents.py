"""An agent's row tells what it does now, since when, and how it has done so far."""

from datetime import timedelta

import pytest

from domain.agents import Heartbeat, SpawnAgent, TerminateAgent
from domain.handoffs import AcceptHandoff, HandoffInitiated, InitiateHandoff
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    ReleaseTask,
    StartTask,
)
from projections.agents import AGENTS, AgentRow
from tests.projections.stories import START, Story


@pytest.fixture
def story() -> Story:
    """Two agents, three tasks."""
    story = Story()
    story.do("op", SpawnAgent(agent="a1", persona="plot", platform="cli", capabilities=("prose",)))
    story.do("op", SpawnAgent(agent="a2", persona="plot", metadata={"model": "m"}))
    story.do("op", *(EnqueueTask(id=f"t{number}", title="x") for number in (1, 2, 3)))
    return story


def agent(story: Story, name: str = "a1") -> AgentRow:
    row: AgentRow = story.rows(AGENTS)[name]
    return row


def test_a_spawned_agent_is_active_and_idle(story: Story) -> None:
    assert agent(story) == AgentRow(
        project="novel",
        agent="a1",
        persona="plot",
        platform="cli",
        capabilities=("prose",),
        metadata=None,
        status="active",
        spawned_at=START,
        since=START,
        last_event_at=START,
    )
    assert agent(story, "a2").metadata == {"model": "m"}


def test_it_does_the_task_it_started_last_and_then_the_next_it_holds(story: Story) -> None:
    story.tick(1)
    story.do("a1", ClaimTask(count=3))
    row = agent(story)
    assert (row.tasks, row.doing, row.since) == (("t1", "t2", "t3"), "t1", START + timedelta(seconds=1))
    story.tick(1)
    story.do("a1", StartTask(task="t2", fence=1))
    row = agent(story)
    assert (row.tasks, row.doing, row.since) == (("t2", "t1", "t3"), "t2", START + timedelta(seconds=2))
    story.tick(1)
    story.do("a1", CompleteTask(task="t3", fence=1))
    row = agent(story)
    assert (row.tasks, row.doing, row.since) == (("t2", "t1"), "t2", START + timedelta(seconds=2))
    story.do("a1", ReleaseTask(task="t2", fence=1))
    assert agent(story).doing == "t1"
    story.do("op", CancelTask(task="t1"))
    row = agent(story)
    assert (row.tasks, row.doing, row.since) == ((), None, START + timedelta(seconds=3))


def test_success_and_average_time_are_those_of_its_own_tasks(story: Story) -> None:
    assert (agent(story).success_rate, agent(story).average_s) == (None, None)
    story.do("a1", ClaimTask(count=3))
    story.tick(2)
    story.do("a1", CompleteTask(task="t1", fence=1))
    story.tick(4)
    story.do("a1", CompleteTask(task="t2", fence=1))
    story.do("a1", FailTask(task="t3", fence=1, error="x"))
    row = agent(story)
    assert (row.claimed, row.completed, row.failed) == (3, 2, 1)
    assert row.success_rate == pytest.approx(2 / 3)
    assert row.average_s == pytest.approx(4.0)


def test_a_command_is_one_decision_however_many_events_it_brings(story: Story) -> None:
    plan = EnqueuePlan(tasks=tuple(PlannedTask(local=f"p{n}", title="x") for n in range(5)))
    story.do("a1", plan)
    assert agent(story).decisions == 1
    story.do("a1", ClaimTask(task="t1"), ClaimTask(task="t1"), Heartbeat())
    assert agent(story).decisions == 2, "what changes nothing is no decision"
    story.do("op", CancelTask(task="t1"))
    assert agent(story).decisions == 2, "what others decide about it is not its own"


def test_an_agent_that_spawns_itself_decides_that(story: Story) -> None:
    story.do("a3", SpawnAgent(persona="plot"))
    assert agent(story, "a3").decisions == 1


def test_a_silent_agent_goes_stale_and_comes_back(story: Story) -> None:
    story.tick(120)
    assert agent(story).status == "stale"
    story.do("a1", Heartbeat())
    assert agent(story).status == "active"


def test_an_expired_lease_is_counted_and_the_task_is_gone(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    story.tick(300)
    row = agent(story)
    assert (row.leases_expired, row.tasks, row.failed, row.success_rate) == (1, (), 0, None)


def test_a_handoff_moves_the_task_and_counts_for_both(story: Story) -> None:
    story.do("a1", ClaimTask(task="t1"))
    story.do("a2", ClaimTask(task="t2"))
    (offer,) = story.do("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2"))
    assert isinstance(offer, HandoffInitiated)
    assert (agent(story).handoffs_sent, agent(story, "a2").handoffs_received) == (1, 0)
    story.do("a2", AcceptHandoff(handoff=offer.handoff))
    sender, receiver = agent(story), agent(story, "a2")
    assert (sender.tasks, sender.doing) == ((), None)
    assert (receiver.tasks, receiver.doing, receiver.handoffs_received) == (("t2", "t1"), "t2", 1)


def test_a_terminated_agent_says_why_and_spawned_again_it_keeps_its_record(story: Story) -> None:
    story.do("a1", ClaimTask(count=2))
    story.tick(2)
    story.do("a1", CompleteTask(task="t1", fence=1), TerminateAgent(reason="done"))
    row = agent(story)
    assert (row.status, row.reason, row.terminated_at) == ("terminated", "done", START + timedelta(seconds=2))
    assert (row.tasks, row.doing) == ((), None)
    story.tick(1)
    story.do("op", SpawnAgent(agent="a1", persona="writing"))
    row = agent(story)
    assert (row.status, row.persona, row.reason, row.terminated_at) == ("active", "writing", "", None)
    assert (row.completed, row.average_s, row.spawned_at) == (1, 2.0, START + timedelta(seconds=3))


def test_actors_who_are_no_agents_have_no_row(story: Story) -> None:
    assert set(story.rows(AGENTS)) == {"a1", "a2"}
