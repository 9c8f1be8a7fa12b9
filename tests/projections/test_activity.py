"""Every event is in the activity, and can be found by what it is about and by whom it concerns."""

from domain.agents import SpawnAgent
from domain.handoffs import AcceptHandoff, HandoffInitiated, InitiateHandoff
from domain.settings import SetSetting
from domain.tasks.commands import ClaimTask, EnqueueTask
from projections.activity import ACTIVITY
from tests.projections.stories import START, Story


def test_each_event_is_one_line_that_tells_who_and_what() -> None:
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="Act one"), SetSetting(key="max_agents", value=3))
    story.do("a1", ClaimTask(task="t1"))
    rows = list(story.rows(ACTIVITY).values())
    told = [(row.position, row.event, row.entity, row.actor, row.agent) for row in rows]
    assert told == [
        (1, "agent.spawned", "a1", "a1", "a1"),
        (2, "task.enqueued", "t1", "op", None),
        (3, "setting.changed", "project.max_agents", "op", None),
        (4, "task.claimed", "t1", "a1", "a1"),
    ]
    assert (rows[3].words, rows[3].at) == ("a1 claimed t1 under fence 1 (attempt 1)", START)


def test_a_handoff_concerns_the_side_that_did_not_act() -> None:
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("a2", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="x"))
    story.do("a1", ClaimTask(task="t1"))
    (offer,) = story.do("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2"))
    assert isinstance(offer, HandoffInitiated)
    story.do("a2", AcceptHandoff(handoff=offer.handoff))
    sides = [(row.actor, row.agent) for row in story.rows(ACTIVITY).values()]
    assert sides[-2:] == [("a1", "a2"), ("a2", "a1")]
