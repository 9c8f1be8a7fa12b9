"""The whole system on three nats-servers: whichever of them dies, work goes on and nothing is lost."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from msgspec import Struct, field
from nats.errors import Error as NatsError

from services.audit.audit import audit_stream
from services.bus.caller import Caller
from services.bus.connection import connect
from services.doors.reports import gather
from services.log.event_log import EventLog
from services.relay.stream import STREAM
from tests.acceptance.system import System
from tests.services.nats_cluster import PASSWORD, NatsCluster, running_cluster

PROJECTS = ("east", "west")
AGENTS = 4
STEP_TASKS = 60
WAIT_S = 40.0
POLL_S = 0.05


class Told(Struct):
    """What the agents were told: the tasks that they completed, each time."""

    completed: list[tuple[str, str]] = field(default_factory=list)
    stopping: bool = False


async def work(url: str, project: str, agent: str, told: Told) -> None:
    """Enqueue a task, claim one, complete it, and so on; commands are repeated until they are answered."""
    async with Caller(url, project, agent, patience_s=WAIT_S) as caller:
        await caller.ask("agent.spawn", {"agent": agent, "persona": "plot"})
        while not told.stopping:
            await caller.ask("task.enqueue", {"title": f"by {agent}"})
            for lease in (await caller.ask("task.claim", {"count": 1})).result["tasks"]:
                await caller.ask("task.complete", {"task": lease["task"], "fence": lease["fence"]})
                told.completed.append((project, lease["task"]))


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Told]:
    """Agents at work in all projects; what one of them raised is raised here."""
    told = Told()
    agents = [
        asyncio.create_task(work(url, project, f"a{number}", told))
        for project in PROJECTS
        for number in range(AGENTS)
    ]
    try:
        yield told
    finally:
        told.stopping = True
        await asyncio.gather(*agents)


async def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        await asyncio.sleep(POLL_S)


async def goes_on(told: Told, log: EventLog, url: str) -> None:
    """Commands are answered, and what they brought about reaches the stream."""
    before = len(told.completed)
    await until(lambda: len(told.completed) >= before + STEP_TASKS, "tasks are completed")
    head = log.head()
    deadline = time.monotonic() + WAIT_S
    while await published(url) < head:
        assert time.monotonic() < deadline, "events are not published"
        await asyncio.sleep(POLL_S)


async def published(url: str) -> int:
    """The position of the last event in the stream; 0 while that cannot be told."""
    client = await nats.connect(url.split(","))
    try:
        last = await client.jetstream(timeout=1).get_last_msg(STREAM, "coord.>")
        return int((last.headers or {})["Coord-Position"])
    except NatsError:
        return 0
    finally:
        await client.close()


async def leader(url: str) -> str:
    """The name of the server that leads the stream."""
    client = await nats.connect(url.split(","))
    try:
        info = await client.jetstream().stream_info(STREAM)
        assert info.config.num_replicas == 3
        assert info.cluster is not None
        assert info.cluster.leader is not None
        return info.cluster.leader
    finally:
        await client.close()


async def leading_relay(url: str) -> int | None:
    """The process of the relay that works; None while there is none."""
    client = await connect(url, "test")
    try:
        working = [each for each in await gather(client) if each.service == "relay" and each.working]
    finally:
        await client.close()
    return int(working[0].instance.rpartition(":")[2]) if working else None


async def lose_everything_once(cluster: NatsCluster, log: EventLog) -> Told:
    """Under load: a server, the one that leads the stream, and the relay that works; each comes back."""
    url = cluster.url
    async with load(url) as told:
        await goes_on(told, log, url)
        first = await leader(url)
        for name in (next(name for name in cluster.nodes if name != first), first):
            cluster.nodes[name].kill()
            await goes_on(told, log, url)
            cluster.nodes[name].start()
            await asyncio.to_thread(cluster.nodes[name].until_healthy)
        relay = await leading_relay(url)
        assert relay is not None
        os.kill(relay, signal.SIGKILL)
        await goes_on(told, log, url)
        assert await leading_relay(url) not in (None, relay)
    return told


def test_whichever_server_or_relay_dies_work_goes_on_and_nothing_is_lost_or_done_twice(data: Path) -> None:
    with running_cluster(data) as cluster:
        system = System(data / "up", COORD_NATS_URL=cluster.url, COORD_STREAM_REPLICAS="3")
        (data / "up").mkdir()
        try:
            shown = system.run("up", "--detach", "--relays", "2")
            assert PASSWORD not in shown + system.log
            log = EventLog(system.state["database_url"])
            told = asyncio.run(lose_everything_once(cluster, log))
            audit = asyncio.run(audit_stream(log, cluster.url))
            assert (audit.ok, audit.events) == (True, len(log.read(0, 1_000_000))), audit.found
            done = Counter(
                (project, json.loads(body)["entity"])
                for _, project, _, topic, body in log.read(0, 1_000_000)
                if topic.startswith("task.completed@")
            )
            assert done == Counter(told.completed)
            assert set(done.values()) == {1}
            system.run("verify")
            log.close()
        finally:
            system.run("down")
            assert not system.processes()
