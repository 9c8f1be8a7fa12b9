"""The benchmark's histories: decided by the domain, the same for the same seed, true when folded again."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from random import Random

import pytest

from domain.ledger import Ledger
from projections.catalog import PROJECTIONS
from services.bench.history import BACKLOG_TASKS, CHUNK_EVENTS, Fleet, happening, make_history
from services.log.event_log import EventLog, LogConflict
from services.reading.replay import replay
from services.writer.books import Library
from tests.services.running import CODEC, events

EVENTS = 6_000


def test_a_history_in_the_log_folds_to_the_ledger_that_decided_it(log: EventLog) -> None:
    told: list[int] = []
    make_history(log, CODEC, "long", EVENTS, progress=told.append)
    fleet = Fleet(CODEC, "long", Random(1))
    fleet.begin()
    while fleet.ledger.sequence < EVENTS:
        fleet.go_on()
    folded = Library(log, CODEC).open("long", datetime(2026, 1, 1, tzinfo=UTC)).ledger
    assert lasting(folded) == lasting(fleet.ledger)
    assert told[-1] == folded.sequence == log.project_head("long")[0] == log.head()
    assert EVENTS <= folded.sequence < EVENTS + 100 < EVENTS + CHUNK_EVENTS
    assert told == sorted(told)
    assert len(told) > 2, "the progress is told on the way"


def lasting(ledger: Ledger) -> object:
    """All of a ledger but when each agent was heard of and what it is due for, which are no events."""
    return (
        ledger.tasks.live,
        ledger.tasks.completed,
        ledger.tasks.cancelled,
        ledger.tasks.queues,
        {agent.id: (agent.persona, agent.status, agent.held) for agent in ledger.agents.values()},
        ledger.terminated,
        ledger.handoffs,
        ledger.estimates,
        ledger.settings,
    )


def test_a_history_has_something_of_everything(log: EventLog) -> None:
    make_history(log, CODEC, "long", EVENTS)
    recorded = events(log, "long")
    often = Counter(each.event.name for each in recorded)
    assert EVENTS / 13 < often["task.enqueued"] - BACKLOG_TASKS < EVENTS / 7
    assert often["task.failed"] > 0.02 * often["task.completed"]
    for name in ("handoff.accepted", "task.released", "task.lease_expired", "agent.recovered", "task.queued"):
        assert often[name] > 0, name
    for name in ("setting.changed", "failure.recorded", "estimate.closed", "retro.recorded"):
        assert often[name] > 0, name
    assert often["agent.spawned"] > 100, "who was terminated is spawned again"
    assert all(before.at <= after.at for before, after in pairwise(recorded))
    rows = replay(log, CODEC, PROJECTIONS, "long", log.head())
    assert [name for name, found in rows.items() if not found] == [], "every read model has rows"


def test_the_same_seed_gives_the_same_bytes_whatever_the_process() -> None:
    program = "from tests.services.test_history import digest; print(digest(7))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {digest(7)}
    assert digest(7) != digest(8)


def digest(seed: int) -> str:
    chunks = happening(CODEC, "long", 3_000, seed)
    return sha256(
        b"".join(stored.topic.encode() + stored.state for chunk in chunks for stored in chunk)
    ).hexdigest()


def test_a_project_that_has_events_is_left_alone(log: EventLog) -> None:
    make_history(log, CODEC, "long", 100)
    with pytest.raises(LogConflict):
        make_history(log, CODEC, "long", 100)
