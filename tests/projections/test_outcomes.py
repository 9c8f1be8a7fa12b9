"""Whoever filters by outcome misses no event."""

from domain.catalog import EVENTS
from projections.outcomes import OUTCOMES


def test_every_event_has_an_outcome() -> None:
    assert OUTCOMES.keys() == EVENTS.keys()


def test_what_went_wrong_is_failed_and_what_was_given_back_is_not() -> None:
    failed = {name for name, outcome in OUTCOMES.items() if outcome == "failed"}
    assert {
        "task.failed",
        "task.died",
        "task.lease_expired",
        "agent.went_stale",
        "handoff.rejected",
    } <= failed
    assert OUTCOMES["task.released"] == OUTCOMES["task.cancelled"] == "undone"
    assert OUTCOMES["task.completed"] == OUTCOMES["handoff.accepted"] == "done"
