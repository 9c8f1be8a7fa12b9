"""Bringing tasks in: one, a whole plan or none of it, and another tracker's."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domain.errors import (
    DependencyCycle,
    InvalidCommand,
    InvalidPlan,
    TaskExists,
    UnknownDependency,
    UnknownPersona,
    UnknownTask,
)
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    ImportedTask,
    ImportTasks,
    Link,
    PlannedTask,
    Retry,
)
from domain.tasks.events import TaskClaimed, TaskCompleted, TaskEnqueued, TaskImported, TaskQueued
from tests.domain.given import Asked, Scenario, agent, at, given, task


def planned(local: str, *after: str, **fields: Any) -> PlannedTask:
    return PlannedTask(local=local, title=local, depends_on=after, **fields)


def imported(name: str, *after: str, **fields: Any) -> ImportedTask:
    return ImportedTask(id=name, title=name, depends_on=after, **fields)


def enqueued(scenario: Scenario) -> dict[str, TaskEnqueued]:
    return {event.title: event for event in scenario.events if isinstance(event, TaskEnqueued)}


DONE: tuple[Asked, ...] = (
    agent("worker"),
    task("done"),
    ("worker", ClaimTask(task="done")),
    ("worker", CompleteTask(task="done", fence=1)),
)


def test_a_task_is_enqueued_with_all_it_says() -> None:
    fields: dict[str, Any] = {
        "title": "Outline act two",
        "description": "Where it turns.",
        "type": "outline",
        "persona": "plot",
        "priority": 5,
        "parent": "book",
        "links": (Link(kind="see", to="https://example.org/act-two"),),
        "input": {"pages": [1, 2]},
        "retry": Retry(attempts=5, backoff_s=1.0),
        "lease_s": 60.0,
    }
    given(task("book")).when("planner", EnqueueTask(id="t1", capabilities=("b", "a", "b"), **fields)).then(
        TaskEnqueued(task="t1", status="queued", capabilities=("a", "b"), **fields)
    )


def test_a_task_without_an_id_gets_one_from_its_command() -> None:
    named = [
        given().when("planner", EnqueueTask(title="x"), command_id=command).the(TaskEnqueued).task
        for command in ("c1", "c1", "c2")
    ]
    assert named[0] == named[1] != named[2]


def test_a_task_id_is_never_used_twice_not_even_after_its_end() -> None:
    again = EnqueueTask(id="t1", title="t1")
    given(task("t1")).when("planner", again).rejected(TaskExists, task="t1")
    given(task("t1"), ("planner", CancelTask(task="t1"))).when("planner", again).rejected(TaskExists)
    given(*DONE).when("planner", EnqueueTask(id="done", title="x")).rejected(TaskExists, task="done")


def test_a_task_waits_for_its_dependencies() -> None:
    given(task("t1"), task("t2")).when(
        "planner", EnqueueTask(id="t3", title="t3", depends_on=("t1", "t2", "t1"))
    ).then(
        TaskEnqueued(
            task="t3", title="t3", status="blocked", depends_on=("t1", "t2"), waiting_for=("t1", "t2")
        )
    )


def test_a_completed_dependency_is_not_waited_for() -> None:
    given(*DONE, task("t1")).when(
        "planner", EnqueueTask(id="t2", title="t2", depends_on=("done", "t1"))
    ).then(
        TaskEnqueued(task="t2", title="t2", status="blocked", depends_on=("done", "t1"), waiting_for=("t1",))
    )
    given(*DONE).when("planner", EnqueueTask(id="t2", title="t2", depends_on=("done",))).then(
        TaskEnqueued(task="t2", title="t2", status="queued", depends_on=("done",))
    )


def test_a_task_on_a_cancelled_dependency_is_blocked() -> None:
    """Nobody completed what it needs; only an operator can tell whether it is needed still."""
    given(task("t1"), ("planner", CancelTask(task="t1"))).when(
        "planner", EnqueueTask(id="t2", title="t2", depends_on=("t1",))
    ).then(TaskEnqueued(task="t2", title="t2", status="blocked", depends_on=("t1",), waiting_for=("t1",)))


def test_unknown_dependencies_parents_and_personas_are_refused() -> None:
    given().when("planner", EnqueueTask(id="t1", title="t1", depends_on=("t9",))).rejected(
        UnknownDependency, task="t1", dependency="t9"
    )
    given().when("planner", EnqueueTask(title="t1", parent="t9")).rejected(UnknownTask, task="t9")
    given().when("planner", EnqueueTask(title="t1", persona="pirate")).rejected(
        UnknownPersona, persona="pirate"
    )


def test_a_task_cannot_wait_for_itself() -> None:
    given().when("planner", EnqueueTask(id="t1", title="t1", depends_on=("t1",))).rejected(
        DependencyCycle, cycle=["t1", "t1"]
    )


def test_a_task_is_blocked_until_its_time_has_come() -> None:
    early = given().when("planner", EnqueueTask(id="t1", title="t1", run_after=at(100)))
    early.then(TaskEnqueued(task="t1", title="t1", status="blocked", run_after=at(100)))
    early.after(seconds=99).then()
    early.after(seconds=1).then(TaskQueued(task="t1", reason="due"))


def test_a_time_that_is_past_blocks_nothing() -> None:
    given().after(seconds=10).when("planner", EnqueueTask(title="t1", run_after=at(10))).then_kinds(
        TaskEnqueued
    )
    late = given().after(seconds=10).when("planner", EnqueueTask(title="t1", run_after=at(10)))
    assert late.the(TaskEnqueued).status == "queued"


def test_times_are_recorded_in_utc() -> None:
    local = datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=2)))
    recorded = given().when("planner", EnqueueTask(title="t1", run_after=local)).the(TaskEnqueued).run_after
    assert recorded is not None
    assert recorded.isoformat() == "2026-01-01T01:00:00+00:00"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
        datetime(9001, 1, 1, tzinfo=UTC),
    ],
)
def test_times_at_the_ends_of_the_calendar_are_refused(moment: datetime) -> None:
    given().when("planner", EnqueueTask(title="t1", run_after=moment)).rejected(InvalidCommand)


def test_a_task_that_is_early_and_waits_needs_both_in_either_order() -> None:
    steps = (agent("worker"), task("t1"), task("t2", depends_on=("t1",), run_after=at(50)))
    completed_first = given(*steps, ("worker", ClaimTask()))
    completed_first.when("worker", CompleteTask(task="t1", fence=1)).then_kinds(TaskCompleted)
    completed_first.after(seconds=50).then(TaskQueued(task="t2", reason="due"))
    due_first = given(*steps, ("worker", ClaimTask())).after(seconds=50).then()
    due_first.when("worker", CompleteTask(task="t1", fence=1)).then_kinds(TaskCompleted, TaskQueued)
    assert due_first.events[-1] == TaskQueued(task="t2", reason="dependencies completed")


def test_a_plan_is_enqueued_whole_with_local_names_resolved() -> None:
    plan = EnqueuePlan(
        tasks=(
            planned("draft", "outline", parent="outline"),
            planned("outline", "done"),
            planned("edit", "draft", "outline", id="edit-1"),
        )
    )
    scenario = given(*DONE).when("planner", plan)
    draft, outline, edit = scenario.events
    assert isinstance(draft, TaskEnqueued)
    assert isinstance(outline, TaskEnqueued)
    assert isinstance(edit, TaskEnqueued)
    assert (outline.status, outline.waiting_for) == ("queued", ())
    assert (draft.status, draft.depends_on, draft.parent) == ("blocked", (outline.task,), outline.task)
    assert (edit.task, edit.depends_on) == ("edit-1", (draft.task, outline.task))
    assert [event.local for event in (draft, outline, edit)] == ["draft", "outline", "edit"]
    assert draft.plan == outline.plan == edit.plan is not None


def test_in_a_plan_local_names_win_over_ids_that_exist() -> None:
    scenario = given(*DONE).when(
        "planner", EnqueuePlan(tasks=(planned("done"), planned("next", "done", parent="done")))
    )
    inner, following = scenario.events
    assert isinstance(following, TaskEnqueued)
    assert following.waiting_for == (inner.entity,)
    assert following.parent == inner.entity != "done"


def test_a_plan_may_use_the_ids_it_gives() -> None:
    plan = EnqueuePlan(tasks=(planned("a", id="t1"), planned("b", "t1", parent="t1")))
    following = enqueued(given().when("planner", plan))["b"]
    assert (following.waiting_for, following.parent) == (("t1",), "t1")


@pytest.mark.parametrize(
    ("tasks", "refusal"),
    [
        ((planned("a"), planned("b", "nowhere")), UnknownDependency),
        ((planned("a", "b"), planned("b", "a")), DependencyCycle),
        ((planned("a", "a"),), DependencyCycle),
        ((planned("a"), planned("a")), InvalidPlan),
        ((planned("a", id="t1"), planned("b", id="t1")), InvalidPlan),
        ((planned("a"), planned("b", id="done")), TaskExists),
        ((planned("a"), planned("b", parent="nowhere")), UnknownTask),
        ((planned("a"), planned("b", persona="pirate")), UnknownPersona),
    ],
)
def test_a_plan_with_one_fault_is_refused_whole(tasks: tuple[PlannedTask, ...], refusal: Any) -> None:
    scenario = given(*DONE).when("planner", EnqueuePlan(tasks=tasks)).rejected(refusal)
    assert scenario.ledger.tasks.live == {}


def test_a_refused_cycle_is_named() -> None:
    plan = EnqueuePlan(
        tasks=(
            planned("x", "a"),
            planned("a", "b", id="A"),
            planned("b", "c", id="B"),
            planned("c", "a", id="C"),
        )
    )
    scenario = given().when("planner", plan).rejected(DependencyCycle, cycle=["A", "B", "C", "A"])
    assert "A → B → C → A" in str(scenario.refusal)


def test_a_chain_as_long_as_a_plan_may_be_is_taken() -> None:
    tasks = tuple(planned(f"n{n}", *([f"n{n + 1}"] if n < 999 else [])) for n in range(1_000))
    scenario = given().when("planner", EnqueuePlan(tasks=tasks))
    assert [event.status for event in enqueued(scenario).values()].count("queued") == 1


def test_open_tasks_of_another_tracker_are_enqueued_and_finished_ones_recorded() -> None:
    scenario = given().when(
        "importer",
        ImportTasks(
            tasks=(
                imported("bd-1", "bd-2", "bd-3"),
                imported("bd-2", status="completed", result="shipped"),
                imported("bd-3"),
                imported("bd-4", status="cancelled"),
            )
        ),
    )
    scenario.then(
        TaskEnqueued(
            task="bd-1",
            title="bd-1",
            status="blocked",
            depends_on=("bd-2", "bd-3"),
            waiting_for=("bd-3",),
        ),
        TaskImported(task="bd-2", title="bd-2", status="completed", result="shipped"),
        TaskEnqueued(task="bd-3", title="bd-3", status="queued"),
        TaskImported(task="bd-4", title="bd-4", status="cancelled"),
    )
    assert [scenario.status(f"bd-{n}") for n in (1, 2, 3, 4)] == [
        "blocked",
        "completed",
        "queued",
        "cancelled",
    ]


def test_importing_twice_changes_nothing_and_later_rows_are_added() -> None:
    first = ImportTasks(tasks=(imported("bd-1"), imported("bd-2", status="completed")))
    scenario = given(("importer", first))
    scenario.when("importer", first).then()
    scenario.when("importer", ImportTasks(tasks=(*first.tasks, imported("bd-3", "bd-1")))).then(
        TaskEnqueued(task="bd-3", title="bd-3", status="blocked", depends_on=("bd-1",), waiting_for=("bd-1",))
    )


def test_an_import_checks_its_dependencies() -> None:
    given().when("importer", ImportTasks(tasks=(imported("bd-1", "bd-9"),))).rejected(
        UnknownDependency, task="bd-1", dependency="bd-9"
    )
    given().when("importer", ImportTasks(tasks=(imported("b", "c"), imported("c", "b")))).rejected(
        DependencyCycle, cycle=["b", "c", "b"]
    )


def test_imported_tasks_are_worked_in_the_order_of_their_dependencies() -> None:
    scenario = given(
        agent("worker"),
        ("importer", ImportTasks(tasks=(imported("b", "a"), imported("c", "b"), imported("a")))),
    )
    order = []
    while claims := [e for e in scenario.when("worker", ClaimTask()).events if isinstance(e, TaskClaimed)]:
        order.append(claims[0].task)
        scenario.when("worker", CompleteTask(task=claims[0].task, fence=claims[0].fence))
    assert order == ["a", "b", "c"]
