"""Handoffs: the task, its lease and its context change hands at once, under a new fence."""

from typing import Any

import pytest

from domain.agents import TerminateAgent
from domain.errors import (
    AgentTerminated,
    HandoffNotYours,
    HandoffOpen,
    HandoffState,
    InvalidCommand,
    StaleFence,
    UnknownAgent,
    UnknownHandoff,
    UnknownPersona,
)
from domain.handoffs import (
    AcceptHandoff,
    Baggage,
    CompleteHandoff,
    ExpireHandoff,
    HandoffAccepted,
    HandoffCompleted,
    HandoffExpired,
    HandoffInitiated,
    HandoffRejected,
    InitiateHandoff,
    RejectHandoff,
)
from domain.messages import Command
from domain.personas import DefinePersona
from domain.settings import SetSetting
from domain.tasks.commands import CancelTask, ClaimTask, CompleteTask, FailTask, ReleaseTask, StartTask
from domain.tasks.events import (
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskFailed,
    TaskLeaseExpired,
    TaskReleased,
)
from tests.domain.given import Scenario, agent, at, given, task

FLEET = (agent("a1", "plot"), agent("a2", "editing"), agent("a3", "editing"))
HELD = (*FLEET, task("t1"), ("a1", ClaimTask()))


def offered(**to: Any) -> tuple[Scenario, str]:
    """a1 holds t1 under fence 1 and offers it, to a2 unless told otherwise."""
    fields: dict[str, Any] = {"task": "t1", "fence": 1, **(to or {"to_agent": "a2"})}
    scenario = given(*HELD).when("a1", InitiateHandoff(**fields))
    return scenario, scenario.the(HandoffInitiated).handoff


def accepted() -> tuple[Scenario, str]:
    """t1 went from a1 to a2 and is held by a2 under fence 2."""
    scenario, name = offered()
    return scenario.when("a2", AcceptHandoff(handoff=name)), name


def test_an_offer_carries_its_whole_context() -> None:
    context = Baggage(
        goal="Finish act two",
        done=("outline",),
        ruled_out=("flashback",),
        decisions=("first person",),
        artifacts=("act2.md",),
        next_step="scene 4",
        data={"words": 900},
    )
    scenario, name = offered(to_persona="editing", reason="needs an editor", context=context)
    scenario.then(
        HandoffInitiated(
            handoff=name,
            task="t1",
            from_agent="a1",
            to_persona="editing",
            reason="needs an editor",
            context=context,
            expires_at=at(3600),
        )
    )


def test_the_sender_keeps_the_task_until_somebody_accepts() -> None:
    scenario, _ = offered()
    scenario.when("a1", StartTask(task="t1", fence=1))
    assert scenario.ledger.tasks.live["t1"].holder == "a1"
    scenario.when("a2", StartTask(task="t1", fence=1)).rejected(StaleFence)


def test_acceptance_moves_task_and_lease_under_a_new_fence() -> None:
    scenario, name = offered()
    scenario.after(seconds=100).when("a2", AcceptHandoff(handoff=name)).then(
        HandoffAccepted(
            handoff=name,
            task="t1",
            from_agent="a1",
            to_agent="a2",
            fence=2,
            brief=4,
            offer=6,
            lease_s=300.0,
            lease_until=at(400),
        )
    )
    assert scenario.ledger.agents["a1"].held == set()
    assert scenario.ledger.agents["a2"].held == {"t1"}


def test_the_senders_fence_is_dead_after_acceptance() -> None:
    scenario, _ = accepted()
    scenario.when("a1", CompleteTask(task="t1", fence=1)).rejected(
        StaleFence, given=1, current=2, holder="a2"
    )
    scenario.when("a1", CompleteTask(task="t1", fence=2)).rejected(StaleFence, holder="a2")
    scenario.when("a2", CompleteTask(task="t1", fence=2))
    assert scenario.status("t1") == "completed"


def test_the_lease_runs_from_the_acceptance_on() -> None:
    scenario, name = offered()
    scenario.when("operator", SetSetting(key="stale_after_s", value=10_000))
    scenario.after(seconds=200).when("a2", AcceptHandoff(handoff=name))
    scenario.after(seconds=299).then()
    scenario.after(seconds=1).then_kinds(TaskLeaseExpired, HandoffExpired)


def test_accepting_twice_changes_nothing() -> None:
    scenario, name = accepted()
    scenario.when("a2", AcceptHandoff(handoff=name)).then()


def test_any_agent_of_the_persona_may_accept_and_the_first_one_gets_it() -> None:
    scenario, name = offered(to_persona="editing")
    scenario.when("a3", AcceptHandoff(handoff=name)).then_kinds(HandoffAccepted)
    scenario.when("a2", AcceptHandoff(handoff=name)).rejected(HandoffState, status="accepted")


def test_who_is_not_meant_can_neither_accept_nor_reject() -> None:
    scenario, name = offered()
    for asked in (AcceptHandoff(handoff=name), RejectHandoff(handoff=name)):
        scenario.when("a3", asked).rejected(HandoffNotYours, handoff=name, to="a2", agent="a3")
        scenario.when("a1", asked).rejected(HandoffNotYours, agent="a1")
        scenario.when("nobody", asked).rejected(UnknownAgent)


def test_the_sender_is_not_meant_even_if_the_persona_is_its_own() -> None:
    scenario, name = offered(to_persona="plot")
    scenario.when("a1", AcceptHandoff(handoff=name)).rejected(HandoffNotYours, to="persona plot")
    scenario.when("a2", AcceptHandoff(handoff=name)).rejected(HandoffNotYours, to="persona plot")


def test_a_rejected_offer_leaves_the_task_where_it_is() -> None:
    scenario, name = offered()
    scenario.when("a2", RejectHandoff(handoff=name, reason="busy")).then(
        HandoffRejected(handoff=name, task="t1", from_agent="a1", by="a2", reason="busy")
    )
    scenario.when("a1", InitiateHandoff(task="t1", fence=1, to_agent="a3")).then_kinds(HandoffInitiated)


def test_an_offer_nobody_answers_expires_and_the_sender_still_holds_the_task() -> None:
    scenario, name = offered(to_agent="a2", expires_s=60.0)
    scenario.after(seconds=59).then()
    scenario.after(seconds=1).then(
        HandoffExpired(handoff=name, task="t1", from_agent="a1", reason="nobody answered in time")
    )
    scenario.when("a2", AcceptHandoff(handoff=name)).rejected(UnknownHandoff, handoff=name)
    scenario.when("a1", CompleteTask(task="t1", fence=1)).then_kinds(TaskCompleted)


def test_how_long_an_offer_waits_is_a_setting() -> None:
    scenario = given(*HELD, ("operator", SetSetting(key="handoff_expiry_s", value=30)))
    offer = scenario.when("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2")).the(HandoffInitiated)
    assert offer.expires_at == at(30)


def test_an_accepted_handoff_does_not_expire_unanswered() -> None:
    scenario, name = accepted()
    scenario.when("_ticker", ExpireHandoff(handoff=name)).then()
    scenario.when("_ticker", ExpireHandoff(handoff="h-none")).then()


def test_the_receiver_completes_a_handoff_and_keeps_the_task() -> None:
    scenario, name = accepted()
    scenario.when("a2", CompleteHandoff(handoff=name, note="all clear")).then(
        HandoffCompleted(handoff=name, task="t1", from_agent="a1", to_agent="a2", note="all clear")
    )
    assert scenario.ledger.tasks.live["t1"].holder == "a2"
    scenario.when("a2", CompleteHandoff(handoff=name)).rejected(UnknownHandoff)


def test_only_the_receiver_completes_a_handoff_and_only_once_it_accepted() -> None:
    scenario, name = offered()
    scenario.when("a2", CompleteHandoff(handoff=name)).rejected(HandoffState, status="initiated")
    scenario.when("a2", AcceptHandoff(handoff=name))
    scenario.when("a1", CompleteHandoff(handoff=name)).rejected(HandoffNotYours, verb="complete")
    scenario.when("a9", CompleteHandoff(handoff=name)).rejected(UnknownAgent)
    scenario.when("a2", RejectHandoff(handoff=name)).rejected(HandoffState, status="accepted")


def test_completing_the_task_completes_an_accepted_handoff() -> None:
    scenario, name = accepted()
    scenario.when("a2", CompleteTask(task="t1", fence=2)).then(
        TaskCompleted(task="t1", agent="a2", fence=2, seconds=0.0),
        HandoffCompleted(
            handoff=name, task="t1", from_agent="a1", to_agent="a2", note="the task was completed"
        ),
    )


@pytest.mark.parametrize(
    ("actor", "command", "first"),
    [
        ("a1", CompleteTask(task="t1", fence=1), TaskCompleted),
        ("a1", FailTask(task="t1", fence=1, error="no"), TaskFailed),
        ("a1", ReleaseTask(task="t1", fence=1), TaskReleased),
        ("operator", CancelTask(task="t1"), TaskCancelled),
    ],
)
def test_an_open_offer_ends_when_its_task_moves_on(actor: str, command: Command, first: Any) -> None:
    scenario, name = offered()
    scenario.when(actor, command).then_kinds(first, HandoffExpired)
    scenario.when("a2", AcceptHandoff(handoff=name)).rejected(UnknownHandoff)
    scenario.after(seconds=4_000)
    assert not [event for event in scenario.events if isinstance(event, HandoffExpired)]


def test_an_open_offer_ends_with_the_lease_of_its_sender() -> None:
    scenario, name = offered()
    scenario.when("operator", SetSetting(key="stale_after_s", value=10_000))
    scenario.after(seconds=300).then(
        TaskLeaseExpired(task="t1", agent="a1", fence=1, failures=1),
        HandoffExpired(handoff=name, task="t1", from_agent="a1", reason="the lease expired"),
    )


def test_a_task_has_one_open_offer() -> None:
    scenario, name = offered()
    scenario.when("a1", InitiateHandoff(task="t1", fence=1, to_agent="a3")).rejected(
        HandoffOpen, task="t1", handoff=name
    )


def test_the_receiver_may_hand_on_what_it_accepted() -> None:
    scenario, name = accepted()
    scenario.when("a2", InitiateHandoff(task="t1", fence=2, to_agent="a3")).then_kinds(
        HandoffCompleted, HandoffInitiated
    )
    assert scenario.the(HandoffCompleted).handoff == name
    following = scenario.the(HandoffInitiated).handoff
    assert scenario.when("a3", AcceptHandoff(handoff=following)).the(HandoffAccepted).fence == 3


def test_a_handoff_goes_to_one_agent_or_one_persona_that_exists_and_is_not_the_sender() -> None:
    cases: tuple[tuple[dict[str, Any], Any], ...] = (
        ({}, InvalidCommand),
        ({"to_agent": "a2", "to_persona": "editing"}, InvalidCommand),
        ({"to_agent": "a1"}, InvalidCommand),
        ({"to_agent": "a9"}, UnknownAgent),
        ({"to_persona": "pirate"}, UnknownPersona),
    )
    for to, refusal in cases:
        given(*HELD).when("a1", InitiateHandoff(task="t1", fence=1, **to)).rejected(refusal)
    given(*HELD, ("operator", TerminateAgent(agent="a2"))).when(
        "a1", InitiateHandoff(task="t1", fence=1, to_agent="a2")
    ).rejected(AgentTerminated)


def test_a_handoff_may_go_to_a_persona_of_the_project_and_wait_for_its_first_agent() -> None:
    scenario = given(*HELD, ("operator", DefinePersona(persona="poet", definition="Rhymes.")))
    offer = scenario.when("a1", InitiateHandoff(task="t1", fence=1, to_persona="poet")).the(HandoffInitiated)
    scenario.when(*agent("a4", "poet"))
    scenario.when("a4", AcceptHandoff(handoff=offer.handoff)).then_kinds(HandoffAccepted)


def test_unknown_handoffs_are_refused() -> None:
    for asked in (
        AcceptHandoff(handoff="h-none"),
        RejectHandoff(handoff="h-none"),
        CompleteHandoff(handoff="h-none"),
    ):
        given(*FLEET).when("a1", asked).rejected(UnknownHandoff, handoff="h-none")


def test_the_task_returns_to_the_queue_when_the_receiver_ends() -> None:
    scenario, _ = accepted()
    scenario.when("operator", TerminateAgent(agent="a2"))
    assert scenario.status("t1") == "queued"
    again = scenario.when("a3", ClaimTask()).the(TaskClaimed)
    assert again.fence == 3
