"""Forks and restores through the writer, on a real Postgres: what it answers, what the next writer knows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from domain.catalog import COMMANDS
from domain.messages import SYSTEM_PROJECT, Context
from domain.settings import SettingChanged
from domain.tasks.state import Task
from services.bus.caller import Answer, Refused, parse_answer
from services.errors import Unavailable
from services.log.event_log import EventLog
from services.metrics import WriterMetrics
from services.writer.books import Library
from services.writer.estates import Estate
from services.writer.requests import Request
from services.writer.writer import Writer
from tests.domain.snapshot import recorded
from tests.services.running import CODEC, events, names


class Desk:
    """A writer, and anybody who asks it."""

    def __init__(self, log: EventLog, estate: Estate | None = None) -> None:
        self.log = log
        metrics = WriterMetrics(CollectorRegistry())
        self.writer = Writer(log, CODEC, lambda: datetime.now(UTC), metrics, estate=estate)

    def send(
        self, actor: str, verb: str, project: str = "main", *, command_id: str | None = None, **fields: Any
    ) -> asyncio.Future[bytes]:
        """Put a request into the inbox. Those sent one after the other are decided in this order."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        request = Request(
            project=project,
            actor=actor,
            command=msgspec.convert(fields, COMMANDS[verb]),
            command_id=command_id or uuid4().hex,
            answer=answer.set_result,
        )
        self.writer.submit(request)
        return answer

    async def ask(self, *asked: str, **fields: Any) -> Answer:
        return parse_answer(await self.send(*asked, **fields))

    async def refused(self, *asked: str, **fields: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.ask(*asked, **fields)
        return caught.value

    async def restore(self, sequence: int, project: str = "main", **more: Any) -> Answer:
        return await self.ask("op", "project.restore", project, sequence=sequence, reason="wrong way", **more)

    async def fork(self, sequence: int, project: str, origin: str = "main", **more: Any) -> Answer:
        return await self.ask("op", "project.fork", project, origin=origin, sequence=sequence, **more)

    async def busy(self) -> None:
        """Agent a1 (#1) holds t1 (#2, #4); t2 is free (#3)."""
        await self.ask("op", "agent.spawn", agent="a1", persona="plot")
        await self.ask("op", "task.enqueue", id="t1", title="One", input={"pages": 3})
        await self.ask("op", "task.enqueue", id="t2", title="Two")
        await self.ask("a1", "task.claim", task="t1")

    async def claim(self, agent: str, project: str = "main", **fields: Any) -> list[dict[str, Any]]:
        await self.ask("op", "agent.spawn", project, agent=agent, persona="plot")
        return list((await self.ask(agent, "task.claim", project, **fields)).result["tasks"])


def play(log: EventLog, scenario: Callable[[Desk], Awaitable[None]]) -> dict[str, Any]:
    """Run a scenario against a fresh writer. The ledgers it ends with are those that the next one folds."""

    async def run() -> dict[str, Any]:
        desk, stop = Desk(log), asyncio.Event()
        await desk.writer.open()
        running = asyncio.create_task(desk.writer.run(stop))
        try:
            await scenario(desk)
        finally:
            stop.set()
            await running
        return told(desk.writer._library)

    known, folded = asyncio.run(run()), Library(log, CODEC)
    folded.open_all(datetime.now(UTC))
    assert told(folded) == known
    return known


def told(library: Library) -> dict[str, Any]:
    return {book.ledger.project: recorded(book.ledger) for book in library.books()}


def live(ledger: dict[str, Any]) -> dict[str, str]:
    """The status of each task that is not over."""
    return {name: Task(*fields).status for name, fields in ledger["live"].items()}


def test_a_restore_makes_the_project_what_it_was(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()
        await desk.ask("a1", "task.complete", task="t1", fence=1)
        await desk.ask("op", "task.enqueue", id="t3", title="Three")
        answer = await desk.restore(4)
        assert answer.result == {"project": "main", "sequence": 4}
        assert (answer.sequence, answer.position) == (9, log.head())

    ledger = play(log, scenario)["main"]
    assert live(ledger) == {"t1": "queued", "t2": "queued"}
    assert names(log)[6:] == ["project.restored", "task.released", "agent.terminated"]


def test_agents_are_told_of_the_restore_when_they_speak(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()
        await desk.ask("op", "agent.spawn", agent="later", persona="plot")
        await desk.restore(4)
        for agent, verb in (("a1", "agent.heartbeat"), ("a1", "task.claim"), ("later", "task.claim")):
            refusal = await desk.refused(agent, verb)
            assert (refusal.code, refusal.facts["reason"]) == (
                "agent_terminated",
                "restored to #4: wrong way",
            )
        refusal = await desk.refused("a1", "task.complete", task="t1", fence=1)
        assert refusal.code == "agent_terminated"

    play(log, scenario)


def test_a_claim_that_waits_is_told_of_the_restore(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask("op", "agent.spawn", agent="a1", persona="plot")
        waiting = desk.send("a1", "task.claim", wait_s=60)
        await desk.ask("op", "task.enqueue", id="t1", title="For others", persona="map")
        await desk.restore(1)
        with pytest.raises(Refused, match="restored to #1: wrong way"):
            parse_answer(await waiting)

    play(log, scenario)


def test_a_fence_of_time_taken_back_is_never_given_again(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()
        await desk.ask("a1", "task.release", task="t1", fence=1)
        await desk.ask("a1", "task.claim", task="t1")
        await desk.restore(3)
        await desk.restore(2)
        assert [lease["fence"] for lease in await desk.claim("a1", count=2)] == [3]
        refusal = await desk.refused("a1", "task.complete", task="t1", fence=2)
        assert (refusal.code, refusal.facts["current"]) == ("stale_fence", 3)

    play(log, scenario)


def test_a_restore_undoes_a_restore(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()  # 1 to 4
        await desk.restore(1)  # 5, and a1 is terminated
        await desk.ask("op", "task.enqueue", id="t9", title="Nine")
        await desk.restore(3)

    ledger = play(log, scenario)["main"]
    assert live(ledger) == {"t1": "queued", "t2": "queued"}


def test_a_fork_has_the_work_and_its_origin_never_hears_of_it(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()
        answer = await desk.fork(4, "side")
        assert answer.result == {"project": "side", "origin": "main", "sequence": 4}
        leases = {lease["task"]: lease for lease in await desk.claim("a2", "side", count=5)}
        assert leases["t1"]["input"] == {"pages": 3}  # its brief stands in the origin's stream
        assert (leases["t1"]["fence"], leases["t2"]["fence"]) == (2, 1)
        await desk.ask("a2", "task.complete", "side", task="t1", fence=2)
        refusal = await desk.refused("a1", "task.claim", "side")
        assert refusal.facts["reason"] == "forked from main at #4"
        assert (await desk.ask("a1", "agent.heartbeat")).result["leases"][0]["fence"] == 1
        await desk.ask("op", "task.enqueue", id="t3", title="Only here")

    ledgers = play(log, scenario)
    assert live(ledgers["main"]) == {"t1": "claimed", "t2": "queued", "t3": "queued"}
    assert live(ledgers["side"]) == {"t2": "claimed"}
    assert [each.sequence for each in events(log, "side")][3:6] == [4, 5, 6]
    assert {row[1] for row in log.read(0, 100) if row[2] > 6} == {"side"}


def test_a_fork_of_a_fork_and_a_restore_of_it_to_before_it_was_forked(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()
        await desk.fork(3, "side")  # 4 and 5
        await desk.ask("op", "task.enqueue", "side", id="s1", title="Aside")  # 6
        await desk.fork(6, "deep", "side")
        await desk.ask("op", "task.enqueue", "deep", id="d1", title="Deep")
        await desk.fork(7, "deeper", "deep")
        await desk.restore(2, "deep")
        await desk.fork(2, "early", "deeper")

    ledgers = play(log, scenario)
    assert set(live(ledgers["side"])) == {"t1", "t2", "s1"}
    assert set(live(ledgers["deep"])) == {"t1"}
    assert set(live(ledgers["deeper"])) == {"t1", "t2", "s1"}
    assert set(live(ledgers["early"])) == {"t1"}


def test_a_fork_into_time_taken_back_brings_it_to_the_fork_alone(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.busy()
        await desk.restore(1)
        await desk.fork(3, "side")

    ledgers = play(log, scenario)
    assert (set(live(ledgers["main"])), set(live(ledgers["side"]))) == (set(), {"t1", "t2"})


def test_turns_and_other_commands_are_decided_in_the_order_they_came(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        asked = [desk.send("op", "task.enqueue", id=f"t{n}", title="x") for n in range(3)]
        asked.append(desk.send("op", "project.restore", sequence=2, reason="x"))
        asked.append(desk.send("op", "task.enqueue", id="t2", title="again"))
        asked.append(desk.send("op", "project.fork", "side", origin="main", sequence=5))
        asked.append(desk.send("op", "task.enqueue", "side", id="s1", title="aside"))
        for answer in asked:
            parse_answer(await answer)

    ledgers = play(log, scenario)
    assert names(log) == ["task.enqueued"] * 3 + ["project.restored", "task.enqueued"]
    assert list(live(ledgers["side"])) == ["t0", "t1", "t2", "s1"]


def test_a_repeated_turn_gets_its_first_answer(log: EventLog) -> None:
    answers: list[Answer] = []

    async def scenario(desk: Desk) -> None:
        await desk.ask("op", "task.enqueue", id="t1", title="One", command_id="before")
        await desk.ask("op", "task.enqueue", id="t2", title="Two", command_id="undone")
        answers.append(await desk.restore(1, command_id="r"))
        answers.append(await desk.fork(2, "side", command_id="f"))
        await again(desk)

    async def again(desk: Desk) -> None:
        head = log.head()
        assert await desk.restore(1, command_id="r") == answers[0]
        assert await desk.fork(2, "side", command_id="f") == answers[1]
        undone = await desk.ask("op", "task.enqueue", id="t2", title="Two", command_id="undone")
        assert (undone.result["task"], undone.sequence) == ("t2", 2)
        assert log.head() == head

    play(log, scenario)
    play(log, again)  # the next writer knows them too


@pytest.mark.parametrize(
    ("verb", "project", "fields", "code"),
    [
        ("project.fork", "side", {"origin": "nowhere", "sequence": 1}, "unknown_project"),
        ("project.fork", "side", {"origin": "main", "sequence": 5}, "unknown_sequence"),
        ("project.fork", "side", {"origin": "main", "sequence": 2}, "inside_command"),
        ("project.fork", "main", {"origin": "main", "sequence": 1}, "project_exists"),
        ("project.fork", SYSTEM_PROJECT, {"origin": "main", "sequence": 1}, "reserved_project"),
        ("project.restore", SYSTEM_PROJECT, {"sequence": 1, "reason": "x"}, "reserved_project"),
        ("project.restore", "nowhere", {"sequence": 1, "reason": "x"}, "unknown_project"),
        ("project.restore", "main", {"sequence": 5, "reason": "x"}, "unknown_sequence"),
        ("project.restore", "main", {"sequence": 2, "reason": "x"}, "inside_command"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    log: EventLog, verb: str, project: str, fields: dict[str, Any], code: str
) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask("op", "task.enqueue", id="t0", title="Zero")
        plan = [{"local": name, "title": name} for name in ("one", "two", "three")]
        await desk.ask("op", "task.plan", tasks=plan)
        assert (await desk.refused("op", verb, project, **fields)).code == code
        assert log.head() == 4

    ledgers = play(log, scenario)
    assert set(ledgers) == {"main", SYSTEM_PROJECT}


def test_a_turn_after_another_writers_commit_is_decided_on_what_that_left(log: EventLog) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask("op", "task.enqueue", id="t1", title="One")
        context = Context(project="main", actor="other", at=datetime.now(UTC), command_id="other")
        log.append([CODEC.encode(SettingChanged(scope="project", key="max_agents", new=1), context, 2)])
        refusal = await desk.refused("op", "project.restore", sequence=1, reason="x", command_id="r")
        assert (refusal.code, refusal.retryable) == (Unavailable.code, True)
        answer = await desk.ask("op", "project.restore", sequence=1, reason="x", command_id="r")
        assert answer.sequence == 3

    assert play(log, scenario)["main"]["settings"] == {}
