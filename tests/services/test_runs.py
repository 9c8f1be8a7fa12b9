"""Causes, steps and runs over a real log."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain.agents import SpawnAgent, TerminateAgent
from domain.errors import NotFound
from domain.handoffs import AcceptHandoff, HandoffInitiated, InitiateHandoff
from domain.messages import Recorded
from domain.project import ProjectRestored
from domain.tasks.commands import (
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    Retry,
    StartTask,
)
from projections.causes import cause_of, causes
from projections.queue import QUEUE
from projections.runs import compare
from services.errors import BadInput
from services.log.event_log import EventLog
from services.log.history import History
from services.reading.changes import STATE, Walk
from services.reading.compare import Subject, find_run, parse_subject
from services.reading.travel import Travel
from tests.projections.stories import Story
from tests.services.running import CODEC
from tests.services.stories import stored


def told() -> Story:
    """a1 fails at t1, then does it, and hands the second task of a plan to a2, which does it."""
    story = Story()
    for agent in ("a1", "a2"):
        story.do(agent, SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="One", retry=Retry(backoff_s=1.0)))
    story.do("op", EnqueuePlan(tasks=(planned("b", "t1"), planned("c", "b"), planned("d"))))
    story.do("a1", ClaimTask(task="t1"), FailTask(task="t1", fence=1, error="no ink"))
    story.tick(2)
    story.do("a1", ClaimTask(task="t1"), StartTask(task="t1", fence=2), CompleteTask(task="t1", fence=2))
    story.do("a1", ClaimTask(task=task_of(story, "b")))
    (offer,) = story.do("a1", InitiateHandoff(task=task_of(story, "b"), fence=1, to_agent="a2"))
    assert isinstance(offer, HandoffInitiated)
    story.do("a2", AcceptHandoff(handoff=offer.handoff), CompleteTask(task=task_of(story, "b"), fence=2))
    return story


def planned(local: str, *after: str) -> PlannedTask:
    return PlannedTask(local=local, title=local, depends_on=after)


def task_of(story: Story, local: str) -> str:
    return next(row.task for row in story.rows(QUEUE).values() if row.local == local)


def history(log: EventLog, story: Story, *more: Recorded) -> tuple[History, Travel]:
    """The story's, stored after another project's so that positions and sequences differ."""
    other = Story("other")
    other.do("op", EnqueueTask(id="t1", title="Elsewhere"))
    log.append(stored(other.history))
    log.append(stored([*story.history, *more]))
    travel = Travel(log, CODEC)
    return History(log, CODEC, travel, story.project, log.head()), travel


def names(events: Any) -> list[str]:
    return [each.event.name for each in events]


def test_causes_lead_over_a_handoff_and_a_dependency_to_the_first_claim(log: EventLog) -> None:
    story = told()
    past, _ = history(log, story)
    task = task_of(story, "b")
    last = past.of(task)[-2]
    assert last.event.name == "task.completed"
    assert names(each.recorded for each in causes(last, past)) == [
        "handoff.accepted", "handoff.initiated", "task.claimed", "task.queued", "task.completed",
        "task.started", "task.claimed", "task.queued", "task.failed", "task.claimed", "task.enqueued",
    ]  # fmt: skip


def test_history_finds_what_belongs_together(log: EventLog) -> None:
    story = told()
    past, _ = history(log, story)
    completed = next(each for each in story.history if each.event.name == "task.completed")
    assert names(past.beside(past.event(completed.sequence))) == ["task.queued"]
    assert past.last_of_command(completed.command_id, past.event(past.last)) == past.event(
        completed.sequence + 1
    )
    assert past.last_of_command("unheard-of", past.event(past.last)) is None
    accepted = next(each for each in past.of_agent("a2") if each.event.name == "handoff.accepted")
    last = past.last_by("a2", accepted)
    assert last is not None
    assert last.event.name == "agent.spawned"
    with pytest.raises(NotFound, match="#99"):
        past.event(99)


def test_the_events_of_a_large_command_are_all_found(log: EventLog) -> None:
    story = Story()
    story.do("op", EnqueuePlan(tasks=tuple(planned(f"n{number}") for number in range(700))))
    story.do("op", EnqueueTask(id="t1", title="x"))
    past, _ = history(log, story)
    assert len(past.beside(past.event(350))) == 699
    assert past.beside(past.event(701)) == []


def test_steps_tell_every_change_alone_or_in_a_row(log: EventLog) -> None:
    past, travel = history(log, told())
    walk = Walk(past, travel)
    together = list(walk.steps(0, len(walk)))
    alone = [step for place in range(len(walk)) for step in walk.steps(place)]
    assert together == alone
    assert len(together) == len(walk) == past.last
    claimed = next(step for step in together if step.recorded.event.name == "task.claimed")
    assert sorted((change.view, change.key) for change in claimed.changes) == [
        ("agents", ("a1",)),
        ("queue", ("t1",)),
    ]


def test_a_walk_over_one_thing_leaves_out_what_is_about_others(log: EventLog) -> None:
    past, travel = history(log, told())
    walk = Walk(past, travel, "t1", [QUEUE])
    steps = list(walk.steps(1, 3))
    assert names(step.recorded for step in steps) == ["task.claimed", "task.failed", "task.queued"]
    failures = [
        (each.old, each.new) for each in steps[1].changes[0].fields if each.field in ("status", "failures")
    ]
    assert failures == [("claimed", "failed"), (0, 1)]
    assert walk.place(0) == 0
    assert walk.place(past.last) == len(walk) - 1
    assert list(walk.steps(len(walk), 5)) == []


def test_a_step_sees_the_rows_of_its_own_moment(log: EventLog) -> None:
    story = told()
    story.do("op", TerminateAgent(agent="a1"))
    past, travel = history(log, story)
    spawned = next(iter(Walk(past, travel).steps(0)))
    assert [change.what for change in spawned.changes] == ["added"]


def restore(story: Story, to: int) -> Recorded:
    """The event with which the story is taken back to right after an earlier one."""
    last = story.history[-1]
    restored = ProjectRestored(project=story.project, sequence=to, reason="wrong", fence_floor=9)
    number = last.sequence + 1
    return replace(last, sequence=number, position=number, actor="op", command_id="back", event=restored)


def test_a_restore_changes_back_what_it_took_back_and_nothing_else(log: EventLog) -> None:
    story = told()
    claimed = next(each for each in story.history if each.event.name == "task.claimed")
    past, travel = history(log, story, restore(story, claimed.sequence))
    (undone,) = Walk(past, travel).steps(past.last - 1)
    assert undone.recorded.event.name == "project.restored"
    changes = {(change.view, change.key): change for change in undone.changes}
    fields = {each.field: (each.old, each.new) for each in changes["queue", ("t1",)].fields}
    assert fields["status"] == ("completed", "claimed")
    assert fields["holder"] == (None, "a1")
    assert ("queue", (task_of(story, "d"),)) not in changes
    assert list(Walk(past, travel).steps(past.last - 3, 3))[-1] == undone


def test_a_restore_that_takes_back_a_restore_changes_all_that_differs(log: EventLog) -> None:
    story = told()
    early, late = 4, story.history[-1].sequence
    first = restore(story, early)
    second = replace(
        first,
        sequence=first.sequence + 1,
        position=first.position + 1,
        event=replace(first.event, sequence=late - 3),
    )
    past, travel = history(log, story, first, second)
    for step in Walk(past, travel).steps(past.last - 2, 2):
        position, told_of = step.recorded.position, {(each.view, each.key) for each in step.changes}
        differing = {
            (each.name, key[1:])
            for each in STATE
            for rows in [[travel.rows(each, story.project, at) for at in (position - 1, position)]]
            for key in {**rows[0], **rows[1]}
            if rows[0].get(key) != rows[1].get(key)
        }
        assert told_of == differing != set()


def test_what_a_restore_took_back_causes_nothing_after_it(log: EventLog) -> None:
    """That t1 was queued again after its failure is taken back; that it came in is not."""
    story = told()
    enqueued = next(each for each in story.history if each.event.name == "task.enqueued")
    restored = restore(story, enqueued.sequence)
    claimed = next(each for each in story.history if each.event.name == "task.claimed")
    past, _ = history(log, story, restored, replace(claimed, sequence=restored.sequence + 1))
    before, after = (cause_of(past.event(number), past) for number in (completed_of(story), past.last))
    assert before is not None
    assert after is not None
    assert before.recorded.event.name == "task.started"
    assert after.recorded == past.event(enqueued.sequence)


def completed_of(story: Story) -> int:
    return next(each.sequence for each in story.history if each.event.name == "task.completed")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("agent:a1", Subject("agent", "a1")),
        ("task:t-x.3", Subject("task", "t-x.3")),
        (" task:t-x#2 ", Subject("task", "t-x", 2)),
        ("plan:p-1", Subject("plan", "p-1")),
        ("project:main", Subject("project", "main")),
    ],
)
def test_a_run_is_named_by_its_kind(text: str, subject: Subject) -> None:
    assert parse_subject(text) == subject


@pytest.mark.parametrize(
    "text", ["", "a1", "agent:", "agent:a1#2", "task:t#", "task:t#x", "fleet:x", "task:a b"]
)
def test_what_names_no_run_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="task:ID#ATTEMPT"):
        parse_subject(text)


def test_runs_are_found_and_compared(log: EventLog) -> None:
    story = told()
    past, _ = history(log, story)
    attempts = compare(*(find_run(past, parse_subject(f"task:t1#{number}")) for number in (1, 2)))
    assert [pair.mark for pair in attempts.pairs] == ["=", "!", ">"]
    assert (attempts.left.tasks, attempts.right.tasks) == ({"failed": 1}, {"completed": 1})
    agent = find_run(past, Subject("agent", "a2"))
    assert [step.label for step in agent.steps][:3] == [
        "the agent spawned", "task 1 handoff initiated", "task 1 handoff accepted",
    ]  # fmt: skip
    plan = next(row.plan for row in story.rows(QUEUE).values() if row.local == "b")
    labels = [step.label for step in find_run(past, Subject("plan", plan)).steps]
    assert labels[0] == "b enqueued"
    assert "b handoff accepted" in labels
    assert labels[-1] == "d enqueued"
    whole = find_run(past, Subject("project", story.project), after=2)
    assert (len(whole.steps), whole.steps[0].label) == (past.last - 2, "task 1 enqueued")


@pytest.mark.parametrize("text", ["agent:a9", "task:t9", "task:t1#9", "plan:p9"])
def test_a_run_that_is_not_there_is_not_found(log: EventLog, text: str) -> None:
    past, _ = history(log, told())
    with pytest.raises(NotFound):
        find_run(past, parse_subject(text))
