"""The writer through its door, on a real Postgres and a real nats-server."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.errors import TimeoutError as NatsTimeoutError

from domain.messages import Context
from domain.settings import SettingChanged
from services.bus.caller import Caller, Refused
from services.bus.connection import connect
from services.bus.wire import command_subject
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from tests.services.running import CODEC, events, names, writing

Servers = tuple[str, str]
Scenario = Callable[[EventLog, Caller], Awaitable[None]]


@pytest.fixture
def servers(database_url: str, nats_url: str) -> Servers:
    return database_url, nats_url


def play(servers: Servers, scenario: Scenario) -> None:
    """Run a scenario against a fresh writer, with an operator to ask."""

    async def run() -> None:
        async with writing(*servers) as log, Caller(servers[1], "main", "op") as op:
            await scenario(log, op)

    asyncio.run(run())


async def spawn(op: Caller, *agents: str, **fields: Any) -> None:
    for agent in agents:
        await op.ask("agent.spawn", {"agent": agent, "persona": "plot", **fields})


async def rejected(asking: Awaitable[Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        await asking
    return caught.value


def test_a_task_that_many_agents_want_goes_to_exactly_one(servers: Servers) -> None:
    agents = [f"a{n}" for n in range(16)]

    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, *agents)
        plan = [{"local": f"t{n}", "title": f"Scene {n}"} for n in range(10)]
        await op.ask("task.plan", {"tasks": plan})
        callers = [Caller(servers[1], "main", agent) for agent in agents]
        for caller in callers:
            await caller.__aenter__()
        answers = await asyncio.gather(*(caller.ask("task.claim") for caller in callers))
        for caller in callers:
            await caller.__aexit__(None, None, None)
        got = Counter(lease["task"] for answer in answers for lease in answer.result["tasks"])
        assert sorted(got.values()) == [1] * 10
        assert names(log).count("task.claimed") == 10

    play(servers, scenario)


def test_a_repeated_command_gets_its_first_answer_and_does_nothing_twice(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        first = await op.ask("task.enqueue", {"title": "Once"}, command_id="c1")
        again = await op.ask("task.enqueue", {"title": "Once"}, command_id="c1")
        assert again == first
        assert names(log) == ["task.enqueued"]

    play(servers, scenario)


def test_command_ids_of_two_actors_have_nothing_to_do_with_each_other(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        async with Caller(servers[1], "main", "other") as other:
            mine = await op.ask("task.enqueue", {"title": "Mine"}, command_id="1")
            theirs = await other.ask("task.enqueue", {"title": "Theirs"}, command_id="1")
        assert mine.result["task"] != theirs.result["task"]

    play(servers, scenario)


def test_a_stale_agent_that_speaks_is_answered_as_ever(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await op.ask("setting.set", {"key": "stale_after_s", "value": 1})
        await spawn(op, "a1", "a2")
        await op.ask("task.enqueue", {"title": "Slow", "id": "slow"})
        async with Caller(servers[1], "main", "a1") as a1, Caller(servers[1], "main", "a2") as a2:
            await a1.ask("task.claim")
            head = log.head()
            while names(log).count("agent.went_stale") < 2:
                assert await asyncio.to_thread(log.wait_past, head, 10)
                head = log.head()
            (lease,) = (await a1.ask("agent.heartbeat")).result["leases"]
            assert lease["task"] == "slow"
            assert (await a2.ask("task.claim", {"wait_s": 0.2})).result == {"tasks": []}
        assert names(log).count("agent.recovered") == 2

    play(servers, scenario)


def test_a_repeat_is_recognised_by_the_next_writer_too(servers: Servers) -> None:
    async def run() -> None:
        async with writing(*servers), Caller(servers[1], "main", "op") as op:
            await spawn(op, "a1")
            await op.ask("task.enqueue", {"title": "Once"})
            async with Caller(servers[1], "main", "a1") as a1:
                first = await a1.ask("task.claim", command_id="claim")
        async with writing(*servers) as log, Caller(servers[1], "main", "a1") as a1:
            assert await a1.ask("task.claim", command_id="claim") == first
            assert names(log).count("task.claimed") == 1

    asyncio.run(run())


def test_a_repeated_command_that_was_refused_is_refused_again(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        first = await rejected(op.ask("task.cancel", {"task": "later"}, command_id="c1"))
        await op.ask("task.enqueue", {"title": "Later", "id": "later"})
        again = await rejected(op.ask("task.cancel", {"task": "later"}, command_id="c1"))
        assert (again.code, again.facts) == (first.code, first.facts)
        assert names(log) == ["agent.spawned", "task.enqueued"]

    play(servers, scenario)


def test_repeats_that_arrive_together_are_one_command(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        asks = [op.ask("task.enqueue", {"title": "Once"}, command_id="c1") for _ in range(5)]
        answers = await asyncio.gather(*asks)
        assert len({answer.result["task"] for answer in answers}) == 1
        assert names(log) == ["task.enqueued"]

    play(servers, scenario)


def test_a_rejection_has_a_code_a_sentence_and_facts_and_writes_nothing(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        refused = await rejected(op.ask("task.cancel", {"task": "nowhere"}))
        assert refused.code == "unknown_task"
        assert "nowhere" in str(refused)
        assert refused.facts == {"task": "nowhere"}
        assert not refused.retryable
        assert log.head() == 0

    play(servers, scenario)


def test_a_claim_tells_what_the_task_is_about(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        task = {"title": "Outline", "description": "Act two", "input": {"pages": [1, 2]}, "priority": 3}
        await op.ask("task.enqueue", task)
        async with Caller(servers[1], "main", "a1") as a1:
            (lease,) = (await a1.ask("task.claim")).result["tasks"]
        assert {key: lease[key] for key in task} == task
        assert lease["fence"] == lease["attempt"] == 1

    play(servers, scenario)


def test_a_task_too_long_to_be_kept_in_memory_is_told_from_the_log(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        await op.ask("task.enqueue", {"title": "Long", "description": "x" * 90_000})
        async with Caller(servers[1], "main", "a1") as a1:
            (lease,) = (await a1.ask("task.claim")).result["tasks"]
        assert lease["description"] == "x" * 90_000

    play(servers, scenario)


def test_of_tasks_too_long_for_one_answer_every_lease_is_told(servers: Servers) -> None:
    """A lease that its holder does not hear of would be lost to everybody until it runs out."""
    sizes = {"small": 10, **{f"large-{number}": 200_000 for number in range(6)}}

    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        for name, size in sizes.items():
            await op.ask("task.enqueue", {"id": name, "title": name, "input": "x" * size})
        async with Caller(servers[1], "main", "a1") as a1:
            first = await a1.ask("task.claim", {"count": 10}, command_id="c1")
            again = await a1.ask("task.claim", {"count": 10}, command_id="c1")
        leases = {lease["task"]: lease for lease in first.result["tasks"]}
        assert leases.keys() == sizes.keys()
        assert leases["small"]["input"] == "x" * 10
        left = [lease for lease in leases.values() if lease.get("left_out")]
        assert 0 < len(left) < len(sizes) - 1
        assert all(lease["input"] is None and lease["title"] == lease["task"] for lease in left)
        assert again.result == first.result

    play(servers, scenario)


def test_whoever_accepts_a_handoff_gets_the_task_and_its_context(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1", "a2")
        await op.ask("task.enqueue", {"title": "Chapter 3", "id": "c3"})
        async with Caller(servers[1], "main", "a1") as a1, Caller(servers[1], "main", "a2") as a2:
            await a1.ask("task.claim", {"task": "c3"})
            context = {"goal": "a quiet ending", "ruled_out": ["a dream"], "data": {"words": 1200}}
            offer = {"task": "c3", "fence": 1, "to_agent": "a2", "context": context}
            handoff = (await a1.ask("handoff.initiate", offer)).result["handoff"]
            taken = (await a2.ask("handoff.accept", {"handoff": handoff})).result
            assert taken["context"] == context
            assert (taken["task"], taken["title"], taken["fence"]) == ("c3", "Chapter 3", 2)
            refused = await rejected(a1.ask("task.complete", {"task": "c3", "fence": 1}))
            assert refused.code == "stale_fence"
            assert refused.facts["holder"] == "a2"

    play(servers, scenario)


def test_a_waiting_claim_is_answered_when_work_arrives(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        async with Caller(servers[1], "main", "a1") as a1:
            waiting = asyncio.create_task(a1.ask("task.claim", {"wait_s": 30}, wait_s=30))
            await a1.ask("agent.heartbeat")  # asked after the claim, so the claim waits by now
            assert not waiting.done()
            task = (await op.ask("task.enqueue", {"title": "At last"})).result["task"]
            (lease,) = (await waiting).result["tasks"]
            assert lease["task"] == task

    play(servers, scenario)


def test_of_two_waiting_claims_the_older_is_served_first(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1", "a2")
        async with Caller(servers[1], "main", "a1") as a1, Caller(servers[1], "main", "a2") as a2:
            first = asyncio.create_task(a1.ask("task.claim", {"wait_s": 30}, wait_s=30))
            await a1.ask("agent.heartbeat")
            second = asyncio.create_task(a2.ask("task.claim", {"wait_s": 30}, wait_s=30))
            await a2.ask("agent.heartbeat")
            await op.ask("task.enqueue", {"title": "One", "id": "one"})
            assert (await first).result["tasks"][0]["task"] == "one"
            await op.ask("task.enqueue", {"title": "Two", "id": "two"})
            assert (await second).result["tasks"][0]["task"] == "two"

    play(servers, scenario)


def test_a_waiting_claim_that_is_asked_again_keeps_its_place_and_is_answered_there(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1", "a2")

        async def wait(caller: Caller, command_id: str) -> "asyncio.Task[Any]":
            claim = caller.ask("task.claim", {"wait_s": 30}, wait_s=30, command_id=command_id)
            waiting = asyncio.create_task(claim)
            await caller.ask("agent.heartbeat")
            return waiting

        async with Caller(servers[1], "main", "a1") as a1, Caller(servers[1], "main", "a2") as a2:
            given_up = await wait(a1, "first")
            given_up.cancel()
            other = await wait(a2, "second")
            again = await wait(a1, "first")
            await op.ask("task.enqueue", {"title": "One", "id": "one"})
            await a1.ask("agent.heartbeat")
            assert again.done()  # and not only when it asks once more
            assert (await again).result["tasks"][0]["task"] == "one"
            await op.ask("task.enqueue", {"title": "Two", "id": "two"})
            assert (await other).result["tasks"][0]["task"] == "two"

    play(servers, scenario)


def test_a_claim_that_waited_in_vain_gets_an_empty_list(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        async with Caller(servers[1], "main", "a1") as a1:
            assert (await a1.ask("task.claim", {"wait_s": 0.2})).result == {"tasks": []}

    play(servers, scenario)


def test_a_waiting_claim_of_a_terminated_agent_is_refused(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        async with Caller(servers[1], "main", "a1", patience_s=0.1) as a1:
            waiting = asyncio.create_task(a1.ask("task.claim", {"wait_s": 30}, wait_s=30))
            await a1.ask("agent.heartbeat")
            await op.ask("agent.terminate", {"agent": "a1"})
            await op.ask("task.enqueue", {"title": "Too late"})
            assert (await rejected(waiting)).code == "agent_terminated"

    play(servers, scenario)


def test_a_lease_that_nobody_renews_runs_out_and_the_task_is_claimed_again(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1", "a2")
        await op.ask("task.enqueue", {"title": "Dropped", "lease_s": 1})
        async with Caller(servers[1], "main", "a1") as a1, Caller(servers[1], "main", "a2") as a2:
            await a1.ask("task.claim")
            (lease,) = (await a2.ask("task.claim", {"wait_s": 30}, wait_s=30)).result["tasks"]
            assert (lease["fence"], lease["attempt"]) == (2, 2)
            assert (
                await rejected(a1.ask("task.complete", {"task": lease["task"], "fence": 1}))
            ).code == "stale_fence"
        assert [e.actor for e in events(log) if e.event.name == "task.lease_expired"] == ["_ticker"]

    play(servers, scenario)


def test_a_failed_task_comes_back_when_its_rest_is_over(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await spawn(op, "a1")
        await op.ask("task.enqueue", {"title": "Flaky", "retry": {"attempts": 2, "backoff_s": 0.2}})
        async with Caller(servers[1], "main", "a1") as a1:
            (lease,) = (await a1.ask("task.claim")).result["tasks"]
            failed = await a1.ask("task.fail", {"task": lease["task"], "fence": 1, "error": "no ink"})
            assert failed.result["status"] == "failed"
            assert (await a1.ask("task.claim")).result == {"tasks": []}
            (again,) = (await a1.ask("task.claim", {"wait_s": 30}, wait_s=30)).result["tasks"]
            failed = await a1.ask("task.fail", {"task": again["task"], "fence": 2, "error": "no ink"})
            assert failed.result == {"status": "dead", "retry_at": None}

    play(servers, scenario)


def test_a_new_writer_gives_every_lease_a_full_term_again(servers: Servers) -> None:
    async def run() -> None:
        async with writing(*servers), Caller(servers[1], "main", "op") as op:
            await spawn(op, "a1")
            await op.ask("task.enqueue", {"title": "Held", "lease_s": 2})
            async with Caller(servers[1], "main", "a1") as a1:
                until = (await a1.ask("task.claim")).result["tasks"][0]["lease_until"]
        async with writing(*servers) as log, Caller(servers[1], "main", "a1") as a1:
            (lease,) = (await a1.ask("agent.heartbeat")).result["leases"]
            assert lease["lease_until"] > until
            assert "task.lease_expired" not in names(log)

    asyncio.run(run())


def test_another_writers_commit_makes_this_one_fold_anew_and_nobody_loses_a_command(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await op.ask("task.enqueue", {"title": "First"})
        context = Context(project="main", actor="other", at=datetime.now(UTC), command_id="other")
        changed = SettingChanged(scope="project", key="max_agents", new=1)
        log.append([CODEC.encode(changed, context, 2)])
        await op.ask("task.enqueue", {"title": "Second"})  # refused once, then decided on the new ledger
        assert names(log) == ["task.enqueued", "setting.changed", "task.enqueued"]
        await spawn(op, "a1")
        assert (await rejected(spawn(op, "a2"))).code == "agent_limit_reached"

    play(servers, scenario)


def test_commands_go_on_after_postgres_was_killed(
    servers: Servers, postgres_server: EmbeddedPostgres
) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        await op.ask("task.enqueue", {"title": "Before"})
        postgres_server.stop()
        refused = asyncio.create_task(op.ask("task.enqueue", {"title": "During"}, command_id="during"))
        postgres_server.start()
        await refused
        await op.ask("task.enqueue", {"title": "After"})
        assert names(log) == ["task.enqueued"] * 3

    play(servers, scenario)


def test_a_project_that_cannot_be_read_is_refused_until_it_can(
    servers: Servers, postgres_server: EmbeddedPostgres
) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        async with Caller(servers[1], "other", "op") as other:
            await op.ask("task.enqueue", {"title": "Before"})
            postgres_server.stop()
            asked = asyncio.create_task(other.ask("task.enqueue", {"title": "New"}))
            postgres_server.start()
            await asked
        assert names(log, "other") == ["task.enqueued"]

    play(servers, scenario)


def test_system_settings_are_every_projects_defaults(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        async with Caller(servers[1], "_system", "op") as system:
            await system.ask("setting.set", {"scope": "system", "key": "max_agents", "value": 1})
        await spawn(op, "a1")
        assert (await rejected(spawn(op, "a2"))).code == "agent_limit_reached"
        await op.ask("setting.set", {"key": "max_agents", "value": 2})
        await spawn(op, "a2")

    play(servers, scenario)


def test_trace_and_correlation_travel_from_the_headers_to_the_event(servers: Servers) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def scenario(log: EventLog, op: Caller) -> None:
        await op.ask("task.enqueue", {"title": "Traced"}, traceparent=trace)
        assert events(log)[0].traceparent == trace

    play(servers, scenario)


def test_no_answer_goes_to_an_inbox_that_is_not_the_actors(servers: Servers) -> None:
    async def scenario(log: EventLog, op: Caller) -> None:
        nats = await connect(servers[1], "attacker", actor="mallory")
        for victim in ("_INBOX.op.x.y", "coord.main.evt.task.completed.t1", "_INBOX.malloryx.y"):
            listening = await nats.subscribe(victim)
            subject = command_subject("main", "mallory", "task.enqueue")
            await nats.publish(subject, b'{"title":"Forged"}', reply=victim)
            with pytest.raises(NatsTimeoutError):
                await listening.next_msg(timeout=0.3)
        await nats.close()

    play(servers, scenario)
