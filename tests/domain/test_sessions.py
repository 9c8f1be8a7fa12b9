"""Sessions: who begins and ends them, what they may delegate, and that none outlives its agent."""

from collections.abc import Iterator
from typing import Any

from domain.agents import AgentTerminated, Leave, SpawnAgent
from domain.errors import SessionOfAnother, UnknownSession
from domain.knowledge.actions import Action, ActionsRecorded, RecordActions
from domain.knowledge.decisions import DecisionRecorded, RecordDecision
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike, SpikeConcluded, SpikeInitiated
from domain.learning import FailureRecorded, RecordFailure
from domain.memory import MemoryStored, StoreMemory
from domain.sessions import MAX_OPEN_OF_AGENT, EndSession, SessionEnded, SessionStarted, StartSession
from domain.tasks.commands import EnqueuePlan, EnqueueTask, PlannedTask
from domain.tasks.events import TaskEnqueued
from tests.domain.given import Scenario, given


def started(scenario: Scenario, agent: str, **fields: str) -> str:
    scenario.when(agent, StartSession(**fields))  # type: ignore[arg-type]  # texts of the roles
    return scenario.the(SessionStarted).session


def test_a_session_is_ended_by_its_agent_and_once() -> None:
    scenario = given()
    session = started(scenario, "p1", role="planner", focus="Act two")
    scenario.when("a1", EndSession(session=session)).rejected(SessionOfAnother, session=session, agent="p1")
    scenario.when("p1", EndSession(session=session, reason="done")).then(
        SessionEnded(session=session, agent="p1", reason="done")
    )
    scenario.when("p1", EndSession(session=session)).rejected(UnknownSession, session=session)


def test_a_session_ends_with_its_agent() -> None:
    scenario = given().when("a1", SpawnAgent(persona="plot"))
    session = started(scenario, "a1")
    scenario.when("a1", Leave(reason="tired")).then(
        SessionEnded(session=session, agent="a1", reason="tired"),
        AgentTerminated(agent="a1", reason="tired"),
    )
    assert scenario.ledger.sessions == {}


def test_tasks_are_delegated_by_open_sessions_alone() -> None:
    scenario = given()
    session = started(scenario, "p1", role="planner")
    scenario.when("p1", EnqueueTask(title="one", session=session))
    assert scenario.the(TaskEnqueued).session == session
    plan = EnqueuePlan(tasks=(PlannedTask(local="a", title="two"),), session=session)
    scenario.when("p1", plan)
    assert scenario.the(TaskEnqueued).session == session
    scenario.when("p1", EndSession(session=session))
    scenario.when("p1", plan).rejected(UnknownSession, session=session)
    scenario.when("p1", EnqueueTask(title="one", session=session)).rejected(UnknownSession, session=session)
    scenario.when("a1", StartSession(parent=session)).rejected(UnknownSession, session=session)


def test_whoever_forgets_to_end_sessions_loses_the_oldest() -> None:
    scenario = given()
    other = started(scenario, "a2")
    sessions = [started(scenario, "a1") for _ in range(MAX_OPEN_OF_AGENT + 1)]
    assert scenario.the(SessionEnded).session == sessions[0]
    assert [*scenario.ledger.sessions] == [other, *sessions[1:]]


def test_what_an_agent_does_belongs_to_its_only_open_session() -> None:
    scenario = given()
    session = started(scenario, "a1")
    for belonging in doings(scenario, "a1"):
        assert belonging == session
    for belonging in doings(scenario, "a2"):
        assert belonging is None
    other = started(scenario, "a1")
    for belonging in doings(scenario, "a1"):
        assert belonging is None  # of two, nobody could say which
    for belonging in doings(scenario, "a1", session=session):
        assert belonging == session
    scenario.when("a1", EndSession(session=session))
    for belonging in doings(scenario, "a1"):
        assert belonging == other


def doings(scenario: Scenario, agent: str, **named: Any) -> Iterator[str | None]:
    """The session of each thing that an agent can do in one."""
    scenario.when(agent, EnqueueTask(title="one", **named))
    yield scenario.the(TaskEnqueued).session
    scenario.when(agent, EnqueuePlan(tasks=(PlannedTask(local="a", title="two"),), **named))
    yield scenario.the(TaskEnqueued).session
    scenario.when(agent, StoreMemory(text="The tide is late", **named))
    yield scenario.the(MemoryStored).session
    scenario.when(agent, RecordFailure(feature="x", approach="y", why="z", **named))
    yield scenario.the(FailureRecorded).session
    scenario.when(agent, RecordDecision(title="Voice", choice="third person", **named))
    yield scenario.the(DecisionRecorded).session
    scenario.when(agent, InitiateSpike(question="By turns?", **named))
    yield scenario.the(SpikeInitiated).session
    spike = scenario.the(SpikeInitiated).spike
    scenario.when(agent, ConcludeSpike(spike=spike, result="no", viable=False, **named))
    yield scenario.the(SpikeConcluded).session
    scenario.when(agent, RecordActions(actions=(Action(action="make", **named),)))
    yield scenario.the(ActionsRecorded).actions[0].session
