"""A whole system whose disks fill up, and one that is told to stop in the middle of its work."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from services.bus import caller
from services.bus.caller import Caller, Refused
from services.bus.connection import connect
from services.bus.wire import COMMAND_ID_HEADER, command_subject
from services.log.event_log import EventLog
from tests.acceptance.system import System, eventually, running
from tests.services.disk import Disk, small_disk

PROJECT = "novel"
CLIENTS = 12
BURST = 40
SOME = 1_000
REPEATED = 10
POLL_S = 0.05
WAIT_S = 30
LARGE_BYTES = 50_000
PLAN = json.dumps({"tasks": [{"local": name, "title": name} for name in ("a", "b", "c")]}).encode()


def ask(system: System, number: int, *, patience_s: float = 0, large: bool = False) -> int | None:
    """The sequence that the command of this number got."""
    fields = {"title": f"{number}", "input": os.urandom(LARGE_BYTES).hex() if large else None}

    async def asking() -> int | None:
        async with Caller(system.nats_url, PROJECT, "operator", patience_s=patience_s) as operator:
            return (await operator.ask("task.enqueue", fields, command_id=f"c{number}")).sequence

    return asyncio.run(asking())


def down_parts(system: System) -> dict[str, str]:
    """What readiness says of the parts that do not work."""
    gateway = HTTPConnection(system.state["http_url"].removeprefix("http://"), timeout=WAIT_S)
    gateway.request("GET", "/readyz")
    parts = json.load(gateway.getresponse())["parts"]
    gateway.close()
    return {name: part["why"] for name, part in parts.items() if not part["ok"]}


def for_ever(do: Callable[[], None]) -> NoReturn:
    while True:
        do()


@pytest.fixture
def disks(data: Path) -> Iterator[tuple[Disk, Disk]]:
    """One for all data of a system but those of NATS, and one for these."""
    with small_disk(data, 300) as whole:
        place = data / "nats"
        place.mkdir()
        with small_disk(place, 60) as store:
            yield whole, store


def test_full_disks_stop_what_needs_them_and_all_goes_on_when_there_is_room(
    data: Path, disks: tuple[Disk, Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "ATTEMPT_TIMEOUT_S", WAIT_S)
    whole, store = disks
    with running(data) as system:
        acknowledged = [ask(system, 0, patience_s=WAIT_S)]

        def ask_more() -> None:
            acknowledged.append(ask(system, len(acknowledged), large=True))

        def relay_complains() -> bool:
            ask_more()
            return "its disk is full" in down_parts(system).get("relay", "")

        store.fill()
        eventually(relay_complains, "readiness says that the relay cannot publish, and commands go on")
        store.free()
        eventually(lambda: down_parts(system) == {}, "the stream goes on")

        whole.fill()
        with pytest.raises(Refused) as caught:
            for_ever(ask_more)
        assert caught.value.code == "log_full"
        eventually(
            lambda: "no room" in down_parts(system).get("postgres", ""),
            "readiness says that Postgres is full",
        )
        assert "room" in {check["name"] for check in json.loads(system.run("doctor", "--json", code=1))}
        whole.free()
        acknowledged.append(ask(system, len(acknowledged), patience_s=WAIT_S))
        eventually(lambda: down_parts(system) == {}, "everything goes on")

        assert acknowledged == [*range(1, len(acknowledged) + 1)]
        system.run("verify")


class Crowd:
    """Clients that each ask one thing after another, never the same twice, and note what they are told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clients: list[asyncio.Task[None]] = []
        self.done: dict[str, dict[str, Any]] = {}

    def begin(self, visit: str) -> None:
        self._clients = [asyncio.create_task(self._ask_on(f"{visit}-{n}")) for n in range(CLIENTS)]

    async def end(self) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def until_more(self) -> None:
        """Wait until some more commands have been answered."""
        wanted = len(self.done) + SOME
        async with asyncio.timeout(WAIT_S):
            while len(self.done) < wanted:  # noqa: ASYNC110  # what the clients hear cannot be foreseen
                await asyncio.sleep(POLL_S)

    async def repeat(self, command_id: str) -> dict[str, Any] | None:
        actor = command_id.rpartition(":")[0]
        async with Caller(self._url, PROJECT, actor) as asker:
            answer = await asker.ask("task.plan", json.loads(PLAN), command_id=command_id)
        return msgspec.to_builtins(answer)

    async def _ask_on(self, actor: str) -> None:
        nats = await connect(self._url, actor, actor=actor)
        try:
            for number in count(step=BURST):
                ids = [f"{actor}:{number + place}" for place in range(BURST)]
                await asyncio.gather(*(self._ask(nats, actor, command_id) for command_id in ids))
        finally:
            await nats.close()

    async def _ask(self, nats: Client, actor: str, command_id: str) -> None:
        subject = command_subject(PROJECT, actor, "task.plan")
        try:
            headers = {COMMAND_ID_HEADER: command_id}
            reply = await nats.request(subject, PLAN, timeout=WAIT_S, headers=headers)
        except NatsError:
            await asyncio.sleep(POLL_S)  # nobody was there to take it
            return
        answer = json.loads(reply.data)
        if answer.pop("ok"):
            self.done[command_id] = answer


def committed(system: System) -> Counter[str]:
    """How many events each command brought about."""
    log = EventLog(system.state["database_url"])
    rows, counts = log.read_project(PROJECT, 0), Counter[str]()
    while rows:
        counts.update(json.loads(row[4])["command_id"] for row in rows)
        rows = log.read_project(PROJECT, rows[-1][2])
    log.close()
    return counts


def test_whoever_is_told_to_stop_answers_all_that_it_carried_out_and_carries_nothing_out_by_half(
    data: Path,
) -> None:
    async def story(system: System) -> None:
        crowd = Crowd(system.nats_url)
        crowd.begin("first")
        await crowd.until_more()
        os.kill(system.state["services"]["writer"], signal.SIGTERM)
        await crowd.until_more()
        await asyncio.to_thread(system.run, "down")
        await crowd.end()

        await asyncio.to_thread(system.run, "up", "--detach")
        counts = await asyncio.to_thread(committed, system)
        assert counts.keys() == crowd.done.keys()
        assert len(set(counts.values())) == 1
        for command_id in [*crowd.done][-REPEATED:]:
            assert await crowd.repeat(command_id) == crowd.done[command_id]

    with running(data) as system:
        asyncio.run(story(system))
