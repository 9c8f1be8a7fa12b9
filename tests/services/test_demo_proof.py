"""The demo's proof must be able to fail: each wrong history is refuted by the count that is there for it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from domain.catalog import EVENTS, upcast
from domain.handoffs import HandoffAccepted
from domain.messages import Context, Event
from domain.tasks.events import (
    TaskClaimed,
    TaskCompleted,
    TaskEnqueued,
    TaskFailed,
    TaskImported,
    TaskLeaseExpired,
)
from services.demo.proof import Proof, prove
from services.log.codec import Codec
from services.log.event_log import EventLog

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def added(task: str, *needs: str) -> TaskEnqueued:
    return TaskEnqueued(task=task, title=task, status="blocked" if needs else "queued", depends_on=needs)


def claimed(task: str, agent: str = "a", fence: int = 1) -> TaskClaimed:
    until = NOW + timedelta(seconds=9)
    return TaskClaimed(
        task=task, agent=agent, fence=fence, brief=1, attempt=1, lease_s=9.0, lease_until=until
    )


def completed(task: str, agent: str = "a", fence: int = 1) -> TaskCompleted:
    return TaskCompleted(task=task, agent=agent, fence=fence, seconds=1.0)


def handed_over(task: str, giver: str, taker: str, fence: int) -> HandoffAccepted:
    return HandoffAccepted(
        handoff="h",
        task=task,
        from_agent=giver,
        to_agent=taker,
        fence=fence,
        brief=1,
        offer=1,
        lease_s=9.0,
        lease_until=NOW,
    )


def proof_of(url: str, events: Sequence[Event], told: set[tuple[str, int]]) -> Proof:
    log = EventLog(url)
    try:
        log.create_tables()
        codec = Codec(EVENTS, upcast)
        context = Context(project="p", actor="a", at=NOW, command_id="c")
        log.append([codec.encode(event, context, n) for n, event in enumerate(events, start=1)])
        return prove(url, "p", told)
    finally:
        log.close()


RETRIED = TaskFailed(task="t", agent="a", fence=1, error="no", failures=1, seconds=1.0, retry_at=NOW)
EXPIRED = TaskLeaseExpired(task="t", agent="a", fence=1, failures=1)


@pytest.mark.parametrize(
    "events",
    [
        [added("t"), claimed("t"), completed("t")],
        [added("t"), claimed("t"), RETRIED, claimed("t", "b", 2), completed("t", "b", 2)],
        [added("t"), claimed("t"), EXPIRED, claimed("t", "b", 2), completed("t", "b", 2)],
        [added("t"), claimed("t"), handed_over("t", "a", "b", 2), completed("t", "b", 2)],
        [
            TaskImported(task="s", title="s", status="completed"),
            added("t", "s"),
            claimed("t"),
            completed("t"),
        ],
        [added("s"), added("t", "s"), claimed("s"), completed("s"), claimed("t"), completed("t")],
    ],
    ids=["plain", "retried", "expired", "handed over", "after an imported one", "in order"],
)
def test_a_history_in_which_all_is_done_once_holds(database_url: str, events: list[Event]) -> None:
    assert proof_of(database_url, events, {("t", 1)}).holds


@pytest.mark.parametrize(
    ("events", "told", "count"),
    [
        ([added("t"), claimed("t"), claimed("t", "b", 2), completed("t", "b", 2)], set(), "double_claims"),
        (
            [added("t"), claimed("t"), handed_over("t", "c", "b", 2), completed("t", "b", 2)],
            set(),
            "double_claims",
        ),
        (
            [added("t"), claimed("t"), completed("t"), claimed("t", "b", 2), completed("t", "b", 2)],
            set(),
            "done_twice",
        ),
        ([added("t"), claimed("t"), completed("t")], {("t", 2)}, "lost_claims"),
        ([added("t"), claimed("t"), completed("t"), added("u"), claimed("u")], set(), "lost_claims"),
        ([added("t"), claimed("t", "a", 2), completed("t", "b", 2)], set(), "lost_claims"),
        ([added("s"), added("t", "s"), claimed("t"), completed("t")], set(), "early_claims"),
        (
            [added("t"), claimed("t"), EXPIRED, claimed("t", "b", 1), completed("t", "b", 1)],
            set(),
            "fences_back",
        ),
    ],
)
def test_a_wrong_history_is_refuted(
    database_url: str, events: list[Event], told: set[tuple[str, int]], count: str
) -> None:
    proof = proof_of(database_url, events, told)
    assert not proof.holds
    assert getattr(proof, count) > 0


def test_a_plan_that_is_not_finished_does_not_hold(database_url: str) -> None:
    assert not proof_of(database_url, [added("t"), added("u"), claimed("t"), completed("t")], set()).holds
