"""A handoff's row tells who offered what to whom, with which context, and how it ended."""

from datetime import timedelta

import pytest

from domain.agents import SpawnAgent
from domain.handoffs import AcceptHandoff, Baggage, CompleteHandoff, InitiateHandoff, RejectHandoff
from domain.tasks.commands import ClaimTask, EnqueueTask
from projections.handoffs import HANDOFFS, HandoffRow
from tests.projections.stories import START, Story

BAGGAGE = Baggage(goal="an ending", done=("act one",), ruled_out=("a wedding",), data={"draft": 3})


@pytest.fixture
def story() -> Story:
    """a1 holds t1 and offers it to whoever plots."""
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("a2", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="x"))
    story.do("a1", ClaimTask(task="t1"))
    offer = InitiateHandoff(task="t1", fence=1, to_persona="plot", reason="stuck", context=BAGGAGE)
    story.do("a1", offer)
    return story


def handoff(story: Story) -> HandoffRow:
    (row,) = story.rows(HANDOFFS).values()
    assert isinstance(row, HandoffRow)
    return row


def test_an_offer_carries_its_context(story: Story) -> None:
    row = handoff(story)
    assert (row.task, row.from_agent, row.to_agent, row.to_persona) == ("t1", "a1", None, "plot")
    assert (row.status, row.reason, row.context) == ("initiated", "stuck", BAGGAGE)
    assert (row.initiated_at, row.expires_at) == (START, START + timedelta(hours=1))


def test_whoever_accepts_is_the_receiver_under_a_new_fence(story: Story) -> None:
    story.tick(5)
    story.do("a2", AcceptHandoff(handoff=handoff(story).handoff))
    row = handoff(story)
    assert (row.status, row.to_agent, row.to_persona, row.fence) == ("accepted", "a2", "plot", 2)
    assert (row.answered_by, row.answered_at) == ("a2", START + timedelta(seconds=5))
    assert row.finished_at is None
    story.do("a2", CompleteHandoff(handoff=row.handoff, note="all clear"))
    row = handoff(story)
    assert (row.status, row.note, row.finished_at) == ("completed", "all clear", START + timedelta(seconds=5))


def test_a_rejection_names_who_declined_and_why(story: Story) -> None:
    story.do("a2", RejectHandoff(handoff=handoff(story).handoff, reason="busy"))
    row = handoff(story)
    assert (row.status, row.answered_by, row.note, row.fence) == ("rejected", "a2", "busy", None)
    assert (row.answered_at, row.finished_at) == (START, START)


def test_an_offer_nobody_answers_expires() -> None:
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("a2", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="x", lease_s=1000))
    story.do("a1", ClaimTask(task="t1"), InitiateHandoff(task="t1", fence=1, to_agent="a2", expires_s=60))
    story.tick(60)
    row = handoff(story)
    assert (row.status, row.note, row.answered_by) == ("expired", "nobody answered in time", None)
