"""What a proof's figures are made of: its script, the transcripts in numbers, and what counts as flat."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.prove.evidence import Transcript
from services.prove.faults import FAULTS
from services.prove.flatness import Verdict, judge
from services.prove.script import LAST_FENCE, Script
from services.prove.soak import Pace, Sample
from services.prove.tally import tally

MIB = 1024 * 1024
PACE = Pace(full=2_000, wanted=1_000, held=1_000, tasks=10_000)


def script(seed: int) -> Script:
    return Script(seed=seed, agents=10, tasks=1_001, projects=3)


def told_by(of: Script) -> list[Any]:
    """All that a script says, or much of it."""
    tasks = [(p, n) for p in of.project_names() for n in range(50)]
    deeds = [of.deed("agent-1", f"{project}-t{number}", 1) for project, number in tasks]
    return [deeds, [of.task(*each) for each in tasks], of.moments(list(FAULTS), 2)]


def test_a_seed_says_the_same_every_time_and_another_something_else() -> None:
    assert told_by(script(1)) == told_by(script(1))
    assert all(one != other for one, other in zip(told_by(script(1)), told_by(script(2)), strict=True))


def test_a_script_gives_out_all_its_agents_and_tasks_and_ends_each_task() -> None:
    one = script(1)
    assert sum(len(one.agents_of(project)) for project in one.project_names()) == 10
    assert sum(len(list(one.task_ids(project))) for project in one.project_names()) == 1_001
    assert {one.deed("agent-1", f"p1-t{number}", LAST_FENCE) for number in range(300)} == {"complete"}
    moments = one.moments(list(FAULTS), 2)
    assert sorted(moment.fault for moment in moments) == sorted([*FAULTS, *FAULTS])
    assert [each.completions for each in moments] == sorted(each.completions for each in moments)


def test_a_command_counts_once_however_often_it_is_asked(tmp_path: Path) -> None:
    now = 1_000.0
    busy = {"ok": False, "error": {"code": "busy", "message": "", "retryable": True}}
    stale = {"ok": False, "error": {"code": "stale_fence", "message": "", "retryable": False}}
    with Transcript(tmp_path, "c1", clock=lambda: now) as transcript:
        for attempt, reply in enumerate([busy, {"ok": True}, {"ok": True}], 1):
            transcript.ask("x1", "p1", "a1", "task.claim", {}, attempt)
            transcript.told("x1", reply, attempt)
        transcript.ask("x2", "p1", "a1", "task.complete", {})
        transcript.unanswered("x2", "timed out")
        transcript.ask("x2", "p1", "a1", "task.complete", {}, 2)
        transcript.told("x2", stale, 2)
    found = tally([tmp_path / "transcript-c1.jsonl"])
    assert found.by_verb() == {"task.claim": {"busy": 1, "ok": 1}, "task.complete": {"stale_fence": 1}}
    assert (found.asked, found.repeated, found.unanswered) == (5, 3, 1)
    assert found.per_second(999.5, 1_000.5) == pytest.approx(1.0)


def soaked(change: Callable[[int], dict[str, Any]], pace: Pace = PACE) -> Verdict:
    """The verdict on 40 samples, one every 3 s, with 100 tasks done in each second."""
    flat = {"relay_lag_events": 10, "projector_lag_events": 10, "projector_lag_s": 0.1, "queues": {}}
    rss = {"writer": 100 * MIB, "relay": 50 * MIB, "nats": 30 * MIB}
    samples = [
        Sample(**{"at": 3.0 * n, "tasks": 300 * n, "rss_bytes": rss, **flat, **change(n)}) for n in range(40)
    ]
    return judge(pace, samples)


def test_a_writer_may_grow_by_what_it_remembers_of_a_task_and_a_relay_may_not() -> None:
    assert soaked(lambda n: {"rss_bytes": {"writer": 100 * MIB + 300 * n * 200, "nats": n * MIB}}).ok
    assert not soaked(lambda n: {"rss_bytes": {"writer": 100 * MIB + 300 * n * 2_000}}).ok
    assert not soaked(lambda n: {"rss_bytes": {"relay": 50 * MIB + 300 * n * 2_000}}).ok


def test_a_lag_that_grows_is_not_flat_and_one_that_was_high_for_a_moment_is() -> None:
    assert soaked(lambda n: {"projector_lag_s": 9.0 if n == 35 else 0.1}).ok
    assert not soaked(lambda n: {"projector_lag_s": 0.1 * n}).ok
    assert not soaked(lambda n: {"relay_lag_events": 100 * n}).ok


def test_a_pace_that_was_not_held_proves_nothing() -> None:
    assert not soaked(lambda _: {}, Pace(full=2_000, wanted=1_000, held=900, tasks=9_000)).ok
