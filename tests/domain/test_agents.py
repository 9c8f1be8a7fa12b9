"""Agents: spawned up to a limit, watched by their heartbeats, and let go with all they held."""

from domain.agents import (
    AgentRecovered,
    AgentSpawned,
    AgentTerminated,
    AgentWentStale,
    CheckAgent,
    Heartbeat,
    Leave,
    SpawnAgent,
    TerminateAgent,
)
from domain.decider import due, evolve
from domain.errors import AgentExists, AgentLimitReached, UnknownAgent, UnknownPersona, UnknownTask
from domain.errors import AgentTerminated as TerminatedAgent
from domain.handoffs import AcceptHandoff, HandoffExpired, HandoffInitiated, InitiateHandoff
from domain.ledger import Ledger
from domain.personas import DefinePersona
from domain.settings import SetSetting
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueueTask, ReportProgress
from domain.tasks.events import (
    TaskClaimed,
    TaskEnqueued,
    TaskLeaseExpired,
    TaskProgressed,
    TaskReleased,
    TaskStarted,
)
from tests.domain.given import agent, at, given, task

DEFAULT_LIMIT = 19


def test_an_agent_is_spawned_with_all_it_says_about_itself() -> None:
    given().when(
        "a1",
        SpawnAgent(persona="plot", platform="cli", capabilities=("web", "code"), metadata={"model": "m"}),
    ).then(
        AgentSpawned(
            agent="a1", persona="plot", platform="cli", capabilities=("code", "web"), metadata={"model": "m"}
        )
    )


def test_an_operator_spawns_an_agent_of_another_name() -> None:
    given().when("operator", SpawnAgent(agent="a1", persona="map")).then(
        AgentSpawned(agent="a1", persona="map")
    )


def test_spawning_an_agent_again_as_it_is_changes_nothing() -> None:
    given(agent("a1")).when("a1", SpawnAgent(persona="plot")).then()


def test_spawning_an_active_agent_as_somebody_else_is_refused() -> None:
    given(agent("a1")).when("a1", SpawnAgent(persona="map")).rejected(AgentExists, agent="a1", persona="plot")


def test_a_persona_must_be_known() -> None:
    given().when("a1", SpawnAgent(persona="pirate")).rejected(UnknownPersona, persona="pirate")
    given(("operator", DefinePersona(persona="pirate", definition="Sails."))).when(
        "a1", SpawnAgent(persona="pirate")
    ).then(AgentSpawned(agent="a1", persona="pirate"))


def test_nineteen_agents_are_the_limit_unless_set_otherwise() -> None:
    full = given(*(agent(f"a{number}") for number in range(DEFAULT_LIMIT)))
    full.when("late", SpawnAgent(persona="plot")).rejected(AgentLimitReached, active=DEFAULT_LIMIT)
    full.when("operator", SetSetting(key="max_agents", value=DEFAULT_LIMIT + 1))
    full.when("late", SpawnAgent(persona="plot")).then_kinds(AgentSpawned)


def test_a_limit_lowered_below_what_runs_stops_only_new_agents() -> None:
    lowered = given(agent("a1"), agent("a2"), ("operator", SetSetting(key="max_agents", value=1)))
    lowered.when("a3", SpawnAgent(persona="plot")).rejected(AgentLimitReached, active=2)
    lowered.when("a2", Heartbeat()).then()
    lowered.when("a1", TerminateAgent())
    lowered.when("a3", SpawnAgent(persona="plot")).rejected(AgentLimitReached, active=1)
    lowered.when("a2", TerminateAgent())
    lowered.when("a3", SpawnAgent(persona="plot")).then_kinds(AgentSpawned)


def test_a_heartbeat_is_no_event() -> None:
    given(agent("a1")).when("a1", Heartbeat()).then()


def test_a_heartbeat_of_nobody_is_refused() -> None:
    given().when("a1", Heartbeat()).rejected(UnknownAgent, agent="a1")


def test_a_silent_agent_goes_stale_once_and_a_heartbeat_brings_it_back() -> None:
    silent = given(agent("a1")).after(seconds=119).then()
    silent.after(seconds=1).then(AgentWentStale(agent="a1", silent_s=120.0))
    silent.after(seconds=600).then()
    silent.when("a1", Heartbeat()).then(AgentRecovered(agent="a1"))
    silent.after(seconds=120).then(AgentWentStale(agent="a1", silent_s=120.0))


def test_a_stale_agent_that_stays_silent_ends() -> None:
    given(agent("a1")).after(seconds=120).after(seconds=3_480).then(
        AgentTerminated(agent="a1", reason="silent")
    )


def test_whatever_a_stale_agent_does_shows_that_it_is_back() -> None:
    stale = given(agent("a1"), task("t1")).after(seconds=120)
    stale.when("a1", ClaimTask()).then_kinds(AgentRecovered, TaskClaimed)
    assert stale.ledger.agents["a1"].status == "active"


def test_heartbeats_keep_an_agent_from_going_stale() -> None:
    alive = given(agent("a1"))
    for _ in range(5):
        alive.after(seconds=100).then()
        alive.when("a1", Heartbeat())


def test_a_refused_command_too_shows_that_a_stale_agent_is_back() -> None:
    stale = given(agent("a1")).after(seconds=120)
    stale.when("a1", ClaimTask(task="t9")).rejected(UnknownTask)
    assert stale.ledger.agents["a1"].status == "active"


def test_an_idle_agent_is_cleaned_up_even_if_it_keeps_saying_that_it_lives() -> None:
    idle = given(agent("a1"), ("operator", SetSetting(key="idle_timeout_s", value=100)))
    idle.after(seconds=60).when("a1", Heartbeat())
    idle.after(seconds=39).then()
    idle.after(seconds=1).then(AgentTerminated(agent="a1", reason="idle"))


def test_an_agent_at_work_is_not_idle_while_it_beats() -> None:
    busy = given(
        agent("a1"),
        task("t1"),
        ("a1", ClaimTask()),
        ("operator", SetSetting(key="idle_timeout_s", value=100)),
    )
    for _ in range(4):
        busy.after(seconds=60).then()
        busy.when("a1", Heartbeat())


def test_an_agent_silent_for_the_whole_timeout_ends_and_its_work_returns() -> None:
    silent = given(
        agent("a1"),
        task("t1", lease_s=10_000),
        ("a1", ClaimTask()),
        ("operator", SetSetting(key="idle_timeout_s", value=100)),
    )
    silent.after(seconds=100).then(
        TaskReleased(task="t1", agent="a1", fence=1, reason="agent terminated: silent"),
        AgentTerminated(agent="a1", reason="silent"),
    )
    assert silent.status("t1") == "queued"


def test_a_shorter_timeout_holds_at_once_for_agents_that_run() -> None:
    given(agent("a1")).after(seconds=50).when("operator", SetSetting(key="stale_after_s", value=60)).after(
        seconds=10
    ).then(AgentWentStale(agent="a1", silent_s=60.0))


def test_a_timeout_finer_than_a_microsecond_is_not_missed() -> None:
    fine = 10 / 3
    checked = given(agent("a1"), ("operator", SetSetting(key="stale_after_s", value=fine)))
    checked.after(seconds=4).then_kinds(AgentWentStale)


def test_a_check_of_an_agent_heard_of_since_finds_nothing() -> None:
    given(agent("a1")).when("_ticker", CheckAgent(agent="a1")).then()
    given().when("_ticker", CheckAgent(agent="a1")).then()


def test_what_a_terminated_agent_held_is_queued_in_the_same_decision() -> None:
    ended = given(agent("a1"), task("t1"), task("t2"), ("a1", ClaimTask(count=2)))
    ended.when("operator", TerminateAgent(agent="a1", reason="budget")).then(
        TaskReleased(task="t1", agent="a1", fence=1, reason="agent terminated: budget"),
        TaskReleased(task="t2", agent="a1", fence=1, reason="agent terminated: budget"),
        AgentTerminated(agent="a1", reason="budget"),
    )
    assert [ended.status("t1"), ended.status("t2")] == ["queued", "queued"]


def test_termination_costs_a_task_no_attempt() -> None:
    again = given(agent("a1"), agent("a2"), task("t1"), ("a1", ClaimTask()), ("a1", TerminateAgent()))
    claimed = again.when("a2", ClaimTask()).the(TaskClaimed)
    assert (claimed.fence, claimed.attempt) == (2, 1)


def test_handoffs_from_and_to_a_terminated_agent_end_with_it() -> None:
    offers = given(agent("a1"), agent("a2"), task("t1"), task("t2"))
    offers.when("a1", ClaimTask(task="t1")).when("a2", ClaimTask(task="t2"))
    sent = offers.when("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2")).the(HandoffInitiated)
    offers.when("a2", InitiateHandoff(task="t2", fence=1, to_agent="a1"))
    got = offers.the(HandoffInitiated)
    offers.when("a1", TerminateAgent()).then(
        TaskReleased(task="t1", agent="a1", fence=1, reason="agent terminated: asked"),
        HandoffExpired(handoff=sent.handoff, task="t1", from_agent="a1", reason="the task was released"),
        HandoffExpired(handoff=got.handoff, task="t2", from_agent="a2", reason="the receiver was terminated"),
        AgentTerminated(agent="a1", reason="asked"),
    )
    assert offers.ledger.tasks.live["t2"].holder == "a2"


def test_what_was_accepted_from_a_terminated_agent_stays_with_the_receiver() -> None:
    moved = given(agent("a1"), agent("a2"), task("t1"), ("a1", ClaimTask()))
    offer = moved.when("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2")).the(HandoffInitiated)
    moved.when("a2", AcceptHandoff(handoff=offer.handoff))
    moved.when("a1", TerminateAgent()).then(AgentTerminated(agent="a1", reason="asked"))
    moved.when("a2", CompleteTask(task="t1", fence=2))
    assert moved.status("t1") == "completed"


def test_a_terminated_agent_can_change_nothing() -> None:
    ended = given(agent("a1"), task("t1"), ("operator", TerminateAgent(agent="a1", reason="budget")))
    for command in (
        Heartbeat(),
        ClaimTask(),
        EnqueueTask(title="more"),
        SetSetting(key="max_agents", value=3),
        TerminateAgent(),
    ):
        ended.when("a1", command).rejected(TerminatedAgent, agent="a1", reason="budget")


def test_a_terminated_agent_may_be_spawned_again_but_spawns_nobody_else() -> None:
    ended = given(agent("a1"), ("a1", TerminateAgent()))
    ended.when("a1", SpawnAgent(agent="a2", persona="plot")).rejected(TerminatedAgent, agent="a1")
    ended.when("a1", SpawnAgent(agent="a1", persona="map")).then(AgentSpawned(agent="a1", persona="map"))
    ended.when("a1", Heartbeat()).then()


def test_terminating_twice_changes_nothing_and_terminating_nobody_is_refused() -> None:
    ended = given(agent("a1"), ("a1", TerminateAgent()))
    ended.when("operator", TerminateAgent(agent="a1")).then()
    ended.when("operator", TerminateAgent(agent="a9")).rejected(UnknownAgent, agent="a9")


def test_who_leaves_ends_itself_and_what_it_held_is_anybodys() -> None:
    busy = given(agent("a1"), task("t1"), ("a1", ClaimTask()))
    busy.when("a1", Leave(reason="tired")).then(
        TaskReleased(task="t1", agent="a1", fence=1, reason="agent terminated: tired"),
        AgentTerminated(agent="a1", reason="tired"),
    )
    given(agent("a1"), ("a1", Leave())).when("a1", Leave()).rejected(TerminatedAgent, agent="a1")
    given(agent("a1")).when("a2", Leave()).rejected(UnknownAgent, agent="a2")


def test_the_last_act_of_a_stale_agent_is_in_order() -> None:
    given(agent("a1")).after(seconds=120).when("a1", TerminateAgent()).then(
        AgentRecovered(agent="a1"), AgentTerminated(agent="a1", reason="asked")
    )


def test_heartbeats_renew_every_lease_of_the_agent_and_no_other() -> None:
    held = given(
        ("operator", SetSetting(key="stale_after_s", value=3600)),
        agent("a1"),
        agent("a2"),
        task("t1", lease_s=100),
        task("t2", lease_s=100),
        task("t3", lease_s=100),
        ("a1", ClaimTask(count=2)),
        ("a2", ClaimTask()),
    )
    held.after(seconds=60).when("a1", Heartbeat())
    held.after(seconds=60).then(TaskLeaseExpired(task="t3", agent="a2", fence=1, failures=1))
    held.when("a1", ReportProgress(task="t1", fence=1)).then_kinds(TaskStarted, TaskProgressed)
    held.after(seconds=99).then()
    held.after(seconds=1).then_kinds(TaskLeaseExpired, TaskLeaseExpired)


def test_after_a_restart_nobody_is_late() -> None:
    """A fold knows no heartbeats, so agents and leases get a full term: late is safe, early is not."""
    restarted = Ledger("novel")
    for sequence, event in enumerate(
        (
            AgentSpawned(agent="a1", persona="plot"),
            TaskEnqueued(task="t1", title="t1", status="queued"),
            TaskClaimed(task="t1", agent="a1", fence=1, brief=2, attempt=1, lease_s=300, lease_until=at(300)),
        ),
        start=1,
    ):
        evolve(restarted, event, sequence, at(0))
    restarted.renew_all(at(10_000))
    assert due(restarted, at(10_119)) is None
    assert due(restarted, at(10_120)) == CheckAgent(agent="a1")
    assert restarted.timers.due["lease", "t1"] == at(10_300)
