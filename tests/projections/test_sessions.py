"""Rows of sessions: how they stand, and what they delegated."""

from datetime import timedelta

from domain.sessions import EndSession, SessionStarted, StartSession
from domain.tasks.commands import EnqueuePlan, EnqueueTask, PlannedTask
from projections.sessions import DELEGATIONS, SESSIONS
from tests.projections.stories import START, Story


def test_a_session_counts_what_it_delegated_and_says_how_it_ended() -> None:
    story = Story()
    (began,) = story.do("p1", StartSession(role="planner", platform="cli", focus="Act two", task="t9"))
    assert isinstance(began, SessionStarted)
    story.do("p1", EnqueueTask(id="t1", title="One", session=began.session))
    story.do("p2", EnqueueTask(id="t2", title="Nobody's"))
    plan = (PlannedTask(local="a", title="a", id="t3"), PlannedTask(local="b", title="b", id="t4"))
    story.do("p1", EnqueuePlan(tasks=plan, session=began.session))
    (row,) = story.rows(SESSIONS).values()
    assert (row.agent, row.role, row.focus, row.task) == ("p1", "planner", "Act two", "t9")
    assert (row.status, row.delegated, row.ended_at) == ("open", 3, None)
    assert [each.task for each in story.rows(DELEGATIONS).values()] == ["t1", "t3", "t4"]
    story.tick(60)
    story.do("p1", EndSession(session=began.session, reason="planned"))
    (row,) = story.rows(SESSIONS).values()
    assert (row.status, row.reason) == ("ended", "planned")
    assert row.ended_at == START + timedelta(seconds=60)
