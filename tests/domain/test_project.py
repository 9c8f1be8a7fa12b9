"""Forks and restores: what they take back, whom they end, what they refuse."""

import pytest

from domain.agents import AgentTerminated, SpawnAgent, TerminateAgent
from domain.bookmarks import (
    AnyBookmarkEvent,
    BookmarkPlaced,
    BookmarkRemoved,
    RemoveBookmark,
    SetBookmark,
)
from domain.decider import check_turn, evolve, turn
from domain.errors import AgentTerminated as TerminatedAgent
from domain.errors import (
    InsideCommand,
    ProjectExists,
    Rejection,
    ReservedProject,
    StaleFence,
    UnknownAgent,
    UnknownProject,
    UnknownSequence,
)
from domain.handoffs import AcceptHandoff, HandoffExpired, InitiateHandoff
from domain.ledger import Ledger
from domain.lineage import Lineage, Restore, trace
from domain.messages import SYSTEM_PROJECT, Context
from domain.project import (
    Bounds,
    ForkProject,
    ProjectCommand,
    ProjectForked,
    ProjectRestored,
    RestoreProject,
)
from domain.results import result
from domain.settings import SetSetting
from domain.tasks.commands import ClaimTask, CompleteTask, ReleaseTask
from domain.tasks.events import TaskReleased
from tests.domain.given import START, Asked, Scenario, agent, given, task
from tests.domain.snapshot import recorded

BUSY: tuple[Asked, ...] = (
    agent("a1"),  # 1
    agent("a2"),  # 2
    task("t1"),  # 3
    task("t2"),  # 4
    ("a1", ClaimTask(task="t1")),  # 5
    ("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2")),  # 6
)
"""Agent a1 holds t1 and offers it to a2; t2 is free."""
_FORK = ForkProject(origin="main", sequence=10)


def lineage(scenario: Scenario) -> Lineage:
    restores = [
        Restore(at=place, to=event.sequence)
        for place, event in enumerate(scenario.log, 1)
        if isinstance(event, ProjectRestored)
    ]
    return trace(scenario.ledger.project, lambda _: restores)


def ledger_at(scenario: Scenario, sequence: int) -> Ledger:
    """Folded from the events that counted at this sequence."""
    ledger = Ledger(scenario.ledger.project)
    for segment in lineage(scenario).effective(sequence):
        for number in range(segment.first, segment.last + 1):
            evolve(ledger, scenario.log[number - 1], number, START)
    return ledger


def context(scenario: Scenario, actor: str) -> Context:
    return Context(project=scenario.ledger.project, actor=actor, at=scenario.now, command_id="turn")


def restored(scenario: Scenario, sequence: int, actor: str = "op", reason: str = "wrong way") -> Scenario:
    command = RestoreProject(sequence=sequence, reason=reason)
    then = ledger_at(scenario, sequence)
    scenario.events = turn(scenario.ledger, command, context(scenario, actor), then)
    scenario.ledger = then
    scenario.log += scenario.events
    return scenario


def forked(origin: Scenario, sequence: int, name: str = "side") -> Scenario:
    fork = Scenario(name, None)
    then = ledger_at(origin, sequence)
    command = ForkProject(origin=origin.ledger.project, sequence=sequence)
    fork.events = turn(fork.ledger, command, context(fork, "op"), then)
    fork.ledger = then
    fork.log = [*origin.log[:sequence], *fork.events]
    return fork


def _claims(name: str, times: int) -> list[Asked]:
    """An agent a1 that claims a task and lets it go, so many times."""
    return [
        step
        for fence in range(1, times + 1)
        for step in (("a1", ClaimTask(task=name)), ("a1", ReleaseTask(task=name, fence=fence)))
    ]


def refused(ledger: Ledger, command: ProjectCommand, bounds: Bounds, actor: str = "op") -> Rejection:
    asked = Context(project=ledger.project, actor=actor, at=START, command_id="c")
    with pytest.raises(Rejection) as caught:
        check_turn(ledger, command, asked, bounds)
    return caught.value


class TestRestore:
    def test_everything_is_as_it_was_and_nobody_holds_anything(self) -> None:
        scenario = restored(given(*BUSY, task("t3"), ("a1", CompleteTask(task="t1", fence=1))), 6)
        reason = "restored to #6: wrong way"
        handoff = scenario.the(HandoffExpired).handoff
        scenario.then(
            ProjectRestored(project="novel", sequence=6, reason="wrong way", fence_floor=1),
            TaskReleased(task="t1", agent="a1", fence=1, reason=reason),
            HandoffExpired(handoff=handoff, task="t1", from_agent="a1", reason=reason),
            AgentTerminated(agent="a1", reason=reason),
            AgentTerminated(agent="a2", reason=reason),
        )
        assert (scenario.status("t1"), scenario.status("t2")) == ("queued", "queued")
        assert not scenario.ledger.tasks.knows("t3")

    def test_agents_are_told_why(self) -> None:
        scenario = restored(given(*BUSY, agent("a3")), 6)
        for name in ("a1", "a2", "a3"):  # a3 was not there yet
            scenario.when(name, ClaimTask()).rejected(TerminatedAgent, reason="restored to #6: wrong way")
        scenario.when("a3", SpawnAgent(persona="plot")).when("a3", ClaimTask(task="t2"))
        assert scenario.status("t2") == "claimed"

    def test_an_agent_that_was_terminated_since_is_told_of_the_restore(self) -> None:
        scenario = restored(given(agent("a1"), task("t1"), ("a1", TerminateAgent(reason="done"))), 2)
        scenario.when("a1", ClaimTask()).rejected(TerminatedAgent, reason="restored to #2: wrong way")

    def test_an_agent_that_came_and_went_in_time_taken_back_was_never_there(self) -> None:
        scenario = restored(given(task("t1"), agent("a1"), ("a1", TerminateAgent())), 1)
        scenario.then_kinds(ProjectRestored)
        scenario.when("a1", ClaimTask()).rejected(UnknownAgent)

    def test_no_fence_is_given_twice(self) -> None:
        """Whoever still holds a fence of time taken back can never write with it."""
        scenario = restored(given(agent("a1"), task("t1"), task("t2"), *_claims("t1", 3)), 3)
        assert scenario.the(ProjectRestored).fence_floor == 3
        for command in (SpawnAgent(persona="plot"), ClaimTask(task="t1"), ClaimTask(task="t2")):
            scenario.when("a1", command)
        assert scenario.ledger.tasks.fence_of("t1") == 4
        assert scenario.ledger.tasks.fence_of("t2") == 4
        scenario.when("a1", CompleteTask(task="t1", fence=3)).rejected(StaleFence, current=4)

    def test_a_handoff_too_gets_a_fence_above_all_that_were(self) -> None:
        scenario = restored(given(agent("a1"), task("t1"), *_claims("t1", 4)), 2)
        for name in ("a1", "a2"):
            scenario.when(name, SpawnAgent(persona="plot"))
        scenario.when("a1", ClaimTask(task="t1"))
        scenario.when("a1", InitiateHandoff(task="t1", fence=5, to_agent="a2"))
        scenario.when("a2", AcceptHandoff(handoff=scenario.events[-1].entity))
        assert scenario.ledger.tasks.fence_of("t1") == 6

    def test_the_floor_stays_when_a_later_restore_goes_back_before_the_earlier(self) -> None:
        scenario = restored(given(agent("a1"), task("t1"), *_claims("t1", 5)), 2)
        restored(scenario, 2)
        assert scenario.the(ProjectRestored).fence_floor == 5
        assert scenario.ledger.fence_floor == 5

    def test_bookmarks_stay_as_they_are_now(self) -> None:
        scenario = given(
            agent("a1"),
            ("op", SetBookmark(bookmark="moved", sequence=1)),
            ("op", SetBookmark(bookmark="gone", sequence=1)),
            ("op", SetBookmark(bookmark="same", sequence=1)),
            ("op", SetBookmark(bookmark="moved", sequence=3, note="further")),
            ("op", RemoveBookmark(bookmark="gone")),
            ("op", SetBookmark(bookmark="new", sequence=6)),
        )
        now = dict(scenario.ledger.bookmarks)
        restored(scenario, 4)
        assert scenario.ledger.bookmarks == now
        assert [event for event in scenario.events if isinstance(event, AnyBookmarkEvent)] == [
            BookmarkPlaced(bookmark="moved", sequence=3, note="further", before=1),
            BookmarkPlaced(bookmark="new", sequence=6),
            BookmarkRemoved(bookmark="gone", sequence=1),
        ]

    def test_a_later_restore_undoes_a_restore(self) -> None:
        scenario = given(task("t1"), task("t2"), task("t3"))
        before = recorded(scenario.ledger)
        restored(scenario, 1)
        assert not scenario.ledger.tasks.knows("t2")
        restored(scenario, 3)
        assert scenario.ledger.tasks.knows("t3")
        assert recorded(scenario.ledger) == {**before, "sequence": 5}
        assert scenario.ledger.sequence == len(scenario.log)

    def test_what_was_enqueued_in_time_taken_back_can_be_enqueued_again(self) -> None:
        scenario = restored(given(task("t1"), task("t2")), 1)
        scenario.when("op", CompleteTask(task="t2", fence=1)).rejected(UnknownAgent)
        scenario.when(*task("t2"))
        assert scenario.status("t2") == "queued"

    def test_a_fold_of_the_log_gives_the_same_ledger(self) -> None:
        scenario = restored(given(*BUSY, agent("a3"), *_claims("t2", 2)), 6)
        scenario.when(*task("t9"))
        assert recorded(ledger_at(scenario, len(scenario.log))) == recorded(scenario.ledger)

    def test_the_answer_says_where_it_went_back_to(self) -> None:
        scenario = restored(given(*BUSY), 5)
        assert result(scenario.events, lambda n: scenario.log[n - 1]) == {"project": "novel", "sequence": 5}


class TestFork:
    def test_a_fork_has_the_work_but_not_the_workers(self) -> None:
        origin = given(*BUSY, ("op", SetSetting(key="max_agents", value=2)))
        fork = forked(origin, 7)
        fork.then_kinds(ProjectForked, TaskReleased, HandoffExpired, AgentTerminated, AgentTerminated)
        assert fork.events[0] == ProjectForked(project="side", origin="novel", sequence=7)
        assert (fork.ledger.project, fork.ledger.sequence) == ("side", 12)
        assert fork.ledger.setting("max_agents") == 2
        fork.when("a1", ClaimTask()).rejected(TerminatedAgent, reason="forked from novel at #7")
        fork.when("a9", SpawnAgent(persona="plot")).when("a9", ClaimTask(count=9))
        assert [fork.status(name) for name in ("t1", "t2")] == ["claimed", "claimed"]
        assert origin.ledger.tasks.live["t2"].status == "queued"

    def test_a_fork_of_a_fork_has_the_work_of_both(self) -> None:
        fork = forked(given(task("t1"), task("t2")), 1).when(*task("f1"))
        last = forked(fork, 3, "last")
        assert set(last.ledger.tasks.live) == {"t1", "f1"}

    def test_the_answer_says_what_became_of_what(self) -> None:
        fork = forked(given(task("t1")), 1)
        told = result(fork.events, lambda n: fork.log[n - 1])
        assert told == {"project": "side", "origin": "novel", "sequence": 1}


class TestRefusals:
    ledger = given(*BUSY, ("a1", TerminateAgent(reason="tired"))).ledger
    empty = Ledger("side")

    def test_a_fork_needs_a_name_that_was_never_used(self) -> None:
        command = ForkProject(origin="main", sequence=1)
        refusal = refused(self.ledger, command, Bounds(9, 1))
        assert (type(refusal), refusal.facts) == (ProjectExists, {"project": "novel"})

    def test_an_origin_in_which_nothing_happened_is_unknown(self) -> None:
        command = ForkProject(origin="nowhere", sequence=1)
        assert isinstance(refused(self.empty, command, Bounds(0, 0)), UnknownProject)

    @pytest.mark.parametrize("command", [RestoreProject(sequence=10, reason="x"), _FORK])
    def test_what_has_not_happened_yet_is_no_point(self, command: ProjectCommand) -> None:
        ledger = self.ledger if isinstance(command, RestoreProject) else self.empty
        refusal = refused(ledger, command, Bounds(9, 10))
        assert (type(refusal), refusal.facts["last"]) == (UnknownSequence, 9)

    @pytest.mark.parametrize("command", [RestoreProject(sequence=10, reason="x"), _FORK])
    def test_a_command_is_taken_whole_or_not_at_all(self, command: ProjectCommand) -> None:
        ledger = self.ledger if isinstance(command, RestoreProject) else self.empty
        refusal = refused(ledger, command, Bounds(20, 12))
        assert (type(refusal), refusal.facts["last"]) == (InsideCommand, 12)

    def test_nothing_is_restored_where_nothing_happened(self) -> None:
        command = RestoreProject(sequence=1, reason="x")
        assert isinstance(refused(self.empty, command, Bounds(0, 0)), UnknownProject)

    def test_the_system_project_is_neither_forked_nor_restored(self) -> None:
        system = Ledger(SYSTEM_PROJECT)
        commands: tuple[ProjectCommand, ...] = (RestoreProject(sequence=1, reason="x"), _FORK)
        for command in commands:
            assert isinstance(refused(system, command, Bounds(99, 10)), ReservedProject)
        from_system = ForkProject(origin=SYSTEM_PROJECT, sequence=1)
        assert isinstance(refused(self.empty, from_system, Bounds(9, 1)), ReservedProject)

    def test_a_terminated_agent_restores_nothing(self) -> None:
        command = RestoreProject(sequence=1, reason="x")
        refusal = refused(self.ledger, command, Bounds(9, 1), actor="a1")
        assert (type(refusal), refusal.facts["reason"]) == (TerminatedAgent, "tired")
