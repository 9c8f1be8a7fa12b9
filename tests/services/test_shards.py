"""Several writers at once, on a real Postgres and a real nats-server: who decides what, what is shared."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from nats.aio.msg import Msg

from domain.messages import SYSTEM_PROJECT, TICKER
from services.bus.caller import Caller, Refused
from services.bus.connection import connect
from services.config import Doors
from services.doors.reports import Report, gather
from services.embedded import EmbeddedNats
from services.embedded.nats import Authorization, Settings, Storage, binary, free_addresses, is_healthy
from services.health.health import Part, _writer
from services.log.event_log import EventLog
from services.wiring import run_writer
from services.writer.shards import MAPPED_SUBJECTS, SHARDS, shard_of
from tests.services.running import events, names
from tests.services.test_shares import until

PATIENCE_S = 20
NAMES = ["main", SYSTEM_PROJECT, "A", "a-b_c", "0", "x" * 64, *(f"novel-{n}" for n in range(200))]


class Process:
    """What one writer's process does, in this one."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        work = asyncio.create_task(run_writer(self._doors, self.stop, self.ready.set))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.ready.wait()
                yield self
        finally:
            self.stop.set()
            await work


class Site:
    """Servers, and somebody who asks."""

    def __init__(self, database_url: str, nats_url: str) -> None:
        self.doors = Doors(database_url=database_url, nats_url=nats_url)

    def writer(self) -> Process:
        return Process(self.doors)

    async def ask(self, project: str, verb: str, **fields: Any) -> dict[str, Any]:
        async with Caller(self.doors.nats_url, project, "op") as caller:
            return (await caller.ask(verb, fields)).result

    async def owned(self) -> list[int]:
        """How many shards each process decides."""
        client = await connect(self.doors.nats_url, "test")
        try:
            return sorted(len(report.shards) for report in await gather(client))
        finally:
            await client.close()

    async def until_owned(self, *counts: int) -> None:
        while await self.owned() != [*counts]:  # noqa: ASYNC110  # they can only be asked
            await asyncio.sleep(0.05)


@pytest.fixture
def site(database_url: str, fresh_nats: EmbeddedNats) -> Site:
    return Site(database_url, fresh_nats.url)


@contextmanager
def plain_nats(folder: Path) -> Iterator[str]:
    """A server of the operator's own, which maps nothing."""
    client, monitor = free_addresses()
    settings = Settings(
        listen=client, http=monitor, authorization=Authorization(), mappings={},
        jetstream=Storage(str(folder / "jetstream")), log_file=str(folder / "server.log"),
    )  # fmt: skip
    path = folder / "plain.conf"
    login = {"user": "u", "password": "p"}
    path.write_bytes(msgspec.json.encode(msgspec.to_builtins(settings) | {"authorization": login}))
    server = subprocess.Popen([binary(), "-c", str(path)], stderr=subprocess.DEVNULL)
    try:
        asyncio.run(until(lambda: is_healthy(monitor)))
        yield f"nats://u:p@{client}"
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


async def crowd(site: Site, project: str) -> None:
    """Spawn agents until one is refused."""
    for number in count():
        await site.ask(project, "agent.spawn", agent=f"a{number}", persona="plot")


def test_a_shard_is_what_the_server_reckons(nats_url: str) -> None:
    async def story() -> list[list[str]]:
        client = await connect(nats_url, "test")
        arrived: list[list[str]] = []

        async def note(message: Msg) -> None:
            arrived.append(message.subject.split("."))

        await client.subscribe(MAPPED_SUBJECTS, cb=note)
        for name in NAMES:
            await client.publish(f"coord.{name}.cmd.op.task.claim", b"{}")
        await until(lambda: len(arrived) == len(NAMES))
        await client.close()
        return arrived

    for name, (_, project, shard, *rest) in zip(NAMES, asyncio.run(story()), strict=True):
        assert (project, int(shard), rest) == (name, shard_of(name), ["op", "task", "claim"])
    assert {shard_of(name) for name in NAMES} == set(range(SHARDS))


def test_every_project_is_answered_whoever_has_it_and_when_one_goes_or_comes(site: Site) -> None:
    projects = NAMES[6:46]

    async def story() -> None:
        async def one_more() -> None:
            await asyncio.gather(*(site.ask(name, "task.enqueue", title="Scene") for name in projects))

        async with site.writer().running():
            await site.until_owned(16)
            await one_more()
            async with site.writer().running():
                await asyncio.gather(one_more(), site.until_owned(8, 8))
                await one_more()
            await one_more()

    asyncio.run(story())
    log = EventLog(site.doors.database_url)
    assert {name: names(log, name) for name in projects} == dict.fromkeys(projects, ["task.enqueued"] * 4)
    log.close()


def test_a_server_that_maps_nothing_serves_as_well(database_url: str, data: Path) -> None:
    with plain_nats(data) as url:
        site = Site(database_url, url)

        async def story() -> None:
            async with site.writer().running(), site.writer().running():
                await site.until_owned(8, 8)
                tasks = await asyncio.gather(
                    *(site.ask(name, "task.enqueue", title="Scene") for name in NAMES[6:26])
                )
                assert len(tasks) == 20

        asyncio.run(story())


def test_the_systems_settings_hold_for_the_projects_of_every_writer(site: Site) -> None:
    async def story() -> None:
        async with site.writer().running(), site.writer().running():
            await site.until_owned(8, 8)
            fields = {"key": "max_agents", "value": 1, "scope": "system"}
            await site.ask(SYSTEM_PROJECT, "setting.set", **fields)
            for name in NAMES[6:26]:  # soon, if not at once
                with pytest.raises(Refused, match="max_agents"):
                    await crowd(site, name)

    asyncio.run(story())


def test_a_fork_of_another_writers_project_comes_after_its_origin(site: Site) -> None:
    origin, forks = "origin", NAMES[6:22]

    async def story() -> None:
        async with site.writer().running(), site.writer().running():
            await site.until_owned(8, 8)
            for title in ("One", "Two"):
                await site.ask(origin, "task.enqueue", title=title)
            for fork in forks:
                await site.ask(fork, "project.fork", origin=origin, sequence=1)
                await site.ask(fork, "task.enqueue", title="Instead")

    asyncio.run(story())
    log = EventLog(site.doors.database_url)
    last = events(log, origin)[-1].at
    for fork in forks:
        assert names(log, fork)[:2] == ["task.enqueued", "project.forked"]
        assert events(log, fork)[1].at >= last
    log.close()


def test_leases_of_a_writer_that_is_gone_run_out_with_the_next(site: Site) -> None:
    async def story() -> None:
        async with site.writer().running():
            await site.ask("novel", "setting.set", key="default_lease_s", value=1)
            await site.ask("novel", "agent.spawn", agent="a1", persona="plot")
            await site.ask("novel", "task.enqueue", title="Scene", id="t1")
            async with Caller(site.doors.nats_url, "novel", "a1") as agent:
                await agent.ask("task.claim")
        async with site.writer().running():
            log = EventLog(site.doors.database_url)
            await until(lambda: "task.lease_expired" in names(log, "novel"))
            assert events(log, "novel")[-1].actor == TICKER
            log.close()

    asyncio.run(story())


def test_whoever_lost_a_session_neither_commits_nor_answers_from_memory(site: Site) -> None:
    async def story() -> None:
        async with site.writer().running():
            await site.ask("novel", "agent.spawn", agent="a1", persona="plot")
            await site.until_owned(16)
            with psycopg.connect(site.doors.database_url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'coordctl-writer%%'"
                )
            async with Caller(site.doors.nats_url, "novel", "a1", patience_s=0) as agent:
                with pytest.raises(Refused, match="same command id"):
                    await agent.ask("agent.heartbeat")
            await site.ask("novel", "agent.spawn", agent="a2", persona="plot")

    asyncio.run(story())


def test_the_writer_is_not_ready_while_a_shard_has_no_owner() -> None:
    def report(*shards: int) -> Report:
        return Report(service="writer", instance="a:1", working=True, metrics="", shards=shards)

    nats_is_well = Part(ok=True)
    assert _writer([report(*range(8)), report(*range(8, 16))], nats_is_well).ok
    part = _writer([report(*range(8)), report(*range(10, 16))], nats_is_well)
    assert (part.ok, part.why) == (False, "no writer decides for 2 of 16 shards: 8, 9")
