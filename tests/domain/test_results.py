"""What a caller is told: made from the events of a command and the log, or else from the ledger."""

from datetime import timedelta

from domain.agents import Heartbeat, SpawnAgent, TerminateAgent
from domain.bookmarks import SetBookmark
from domain.handoffs import AcceptHandoff, Baggage, HandoffInitiated, InitiateHandoff
from domain.learning import RecordEstimate
from domain.messages import Command
from domain.results import Result, recalled, result, result_unchanged
from domain.tasks.commands import (
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    ImportedTask,
    ImportTasks,
    Link,
    PlannedTask,
    StartTask,
)
from domain.tasks.events import TaskEnqueued
from tests.domain.given import Scenario, agent, at, given, task

BRIEF = {
    "title": "Outline act two",
    "description": "Where it turns.",
    "type": "outline",
    "persona": "plot",
    "priority": 5,
    "depends_on": ("t0",),
    "parent": "t0",
    "links": (Link(kind="see", to="act-one"),),
    "input": {"pages": 3},
}
READY = (
    agent("a1"),
    agent("a2"),
    task("t0"),
    ("a1", ClaimTask()),
    ("a1", CompleteTask(task="t0", fence=1)),
    task("t1", **BRIEF),
)


def told(scenario: Scenario, actor: str, command: Command) -> Result:
    """The answer as the writer makes it: with the earlier events that it asks for, and no others."""
    scenario.when(actor, command)
    assert scenario.refusal is None, scenario.refusal
    plain: Result = {}
    events = scenario.events
    if not events:
        plain, events = result_unchanged(scenario.ledger, command, actor)
    earlier = {sequence: scenario.log[sequence - 1] for sequence in recalled(events)}
    return plain or result(events, earlier.__getitem__)


def test_a_bookmark_tells_where_it_stands() -> None:
    scenario = given(*READY)
    mark = SetBookmark(bookmark="good", sequence=2)
    assert told(scenario, "op", mark) == {"bookmark": "good", "sequence": 2}
    assert told(scenario, "op", mark) == {"unchanged": True}


def test_a_claim_tells_the_lease_and_what_the_task_is_about() -> None:
    lease = {"task": "t1", "fence": 1, "attempt": 1, "lease_s": 300.0, "lease_until": at(300)}
    scenario = given(*READY)
    assert told(scenario, "a1", ClaimTask()) == {"tasks": [{**lease, **BRIEF}]}


def test_claiming_again_tells_the_lease_as_it_stands() -> None:
    scenario = given(*READY)
    first = told(scenario, "a1", ClaimTask(task="t1"))
    assert told(scenario, "a1", ClaimTask(task="t1")) == first
    scenario.after(seconds=60).when("a1", StartTask(task="t1", fence=1))
    (lease,) = told(scenario, "a1", ClaimTask(task="t1"))["tasks"]
    assert lease["lease_until"] == at(360)


def test_a_claim_that_finds_nothing_tells_of_no_tasks() -> None:
    assert told(given(agent("a1")), "a1", ClaimTask()) == {"tasks": []}


def test_a_heartbeat_tells_every_lease_and_when_it_ends() -> None:
    scenario = given(*READY, ("a1", ClaimTask())).after(seconds=10)
    assert told(scenario, "a1", Heartbeat()) == {
        "leases": [{"task": "t1", "fence": 1, "lease_until": at(310)}]
    }


def test_enqueueing_tells_the_id_and_whether_it_waits() -> None:
    scenario = given(task("t1"))
    later = EnqueueTask(id="t2", title="x", depends_on=("t1",))
    assert told(scenario, "planner", later) == {"task": "t2", "status": "blocked"}


def test_a_plan_tells_which_id_each_local_name_got() -> None:
    scenario = given()
    answer = told(
        scenario,
        "planner",
        EnqueuePlan(tasks=(PlannedTask(local="a", title="a"), PlannedTask(local="b", title="b", id="t9"))),
    )
    first = scenario.events[0]
    assert isinstance(first, TaskEnqueued)
    assert answer == {"plan": first.plan, "tasks": {"a": first.task, "b": "t9"}}


def test_an_import_tells_what_it_brought_in() -> None:
    rows = (ImportedTask(id="b1", title="b1"), ImportedTask(id="b2", title="b2", status="completed"))
    scenario = given()
    assert told(scenario, "importer", ImportTasks(tasks=rows)) == {"tasks": ["b1", "b2"]}
    assert told(scenario, "importer", ImportTasks(tasks=rows)) == {"unchanged": True}


def test_a_completion_tells_what_it_queued() -> None:
    scenario = given(*READY, task("t2", depends_on=("t1",)), ("a1", ClaimTask(task="t1")))
    done = CompleteTask(task="t1", fence=1)
    assert told(scenario, "a1", done) == {"completed": ["t1"], "queued": ["t2"]}
    assert told(scenario, "a1", done) == {"unchanged": True}


def test_a_failure_tells_whether_and_when_it_is_tried_again() -> None:
    scenario = given(*READY, ("a1", ClaimTask()))
    retry_at = scenario.now + timedelta(seconds=10)
    assert told(scenario, "a1", FailTask(task="t1", fence=1, error="no")) == {
        "status": "failed",
        "retry_at": retry_at,
    }
    hopeless = given(*READY, ("a1", ClaimTask()))
    answer = told(hopeless, "a1", FailTask(task="t1", fence=1, error="no", retryable=False))
    assert answer == {"status": "dead", "retry_at": None}


def test_an_offer_tells_its_id_and_the_acceptance_all_that_was_handed_over() -> None:
    scenario = given(*READY, ("a1", ClaimTask()))
    context = Baggage(goal="Finish", ruled_out=("flashback",))
    offer = InitiateHandoff(task="t1", fence=1, to_agent="a2", reason="stuck", context=context)
    answer = told(scenario, "a1", offer)
    handoff = scenario.the(HandoffInitiated).handoff
    assert answer == {"handoff": handoff, "expires_at": at(3600)}
    assert told(scenario, "a2", AcceptHandoff(handoff=handoff)) == {
        "handoff": handoff,
        "from_agent": "a1",
        "reason": "stuck",
        "context": {"goal": "Finish", "ruled_out": ("flashback",)},
        "task": "t1",
        "fence": 2,
        "lease_s": 300.0,
        "lease_until": at(300),
        **BRIEF,
    }


def test_what_is_learned_has_an_id_to_come_back_to() -> None:
    scenario = given()
    answer = told(scenario, "a1", RecordEstimate(feature="x", sessions=1, complexity=1))
    nothing_known = {"corrected": None, "factor": None, "basis": None}
    assert answer == {"id": scenario.events[0].entity, **nothing_known}


def test_what_has_nothing_to_tell_says_so() -> None:
    scenario = given()
    assert told(scenario, "a1", SpawnAgent(persona="plot")) == {}
    assert told(scenario, "a1", SpawnAgent(persona="plot")) == {"unchanged": True}
    assert told(scenario, "a1", TerminateAgent()) == {}
