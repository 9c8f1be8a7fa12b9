"""Writers of one `coordctl up` that are held still or killed: the others take their projects over."""

import asyncio
import os
import signal
from pathlib import Path

import psycopg

from services.bus.caller import Caller
from services.bus.connection import connect
from services.doors.reports import gather
from services.writer.shards import SHARDS, shard_of
from tests.acceptance.system import System, eventually

PROJECTS = list({shard_of(name): name for name in (f"novel-{n}" for n in range(300))}.values())
"""One of each shard."""

PATIENCE_S = 30.0


def owned(system: System) -> dict[str, int]:
    """How many shards each writer decides that answers."""

    async def asking() -> dict[str, int]:
        client = await connect(system.nats_url, "test")
        reports = await gather(client)
        await client.close()
        names = {pid: name for name, pid in system.state["services"].items()}
        pids = {int(each.instance.rpartition(":")[2]): len(each.shards) for each in reports if each.shards}
        return {names.get(pid, "gone"): count for pid, count in pids.items()}

    return asyncio.run(asking())


def enqueue_everywhere(system: System, number: int) -> None:
    """One task in each project, as patient callers do it."""

    async def one(project: str) -> None:
        async with Caller(system.nats_url, project, "op", patience_s=PATIENCE_S) as caller:
            await caller.ask("task.enqueue", {"title": "Scene", "id": f"t{number}"})

    async def asking() -> None:
        await asyncio.gather(*map(one, PROJECTS))

    asyncio.run(asking())


def told(system: System) -> dict[str, int]:
    """How many events each project has."""
    with psycopg.connect(system.state["database_url"]) as connection:
        return dict(connection.execute("SELECT originator_id, count(*) FROM coord.events GROUP BY 1"))


def test_projects_of_a_writer_that_is_paused_or_killed_are_taken_over_and_given_back(data: Path) -> None:
    assert len(PROJECTS) == SHARDS
    fair = {"writer": 8, "writer-2": 8}
    system = System(data)
    try:
        system.run("up", "--detach", "--writers", "2")
        eventually(lambda: owned(system) == fair, "fair shares")
        enqueue_everywhere(system, 1)

        paused = system.pid("writer")
        assert paused is not None
        os.kill(paused, signal.SIGSTOP)
        try:
            enqueue_everywhere(system, 2)
            assert owned(system) == {"writer-2": 16}
        finally:
            os.kill(paused, signal.SIGCONT)
        eventually(lambda: owned(system) == fair, "the paused one has its share again")
        assert system.pid("writer") == paused
        assert "this process was silent for" in system.log
        assert told(system) == dict.fromkeys(PROJECTS, 2)

        os.kill(paused, signal.SIGKILL)
        enqueue_everywhere(system, 3)
        eventually(lambda: owned(system) == fair, "the next one has its share")
        enqueue_everywhere(system, 4)
        assert told(system) == dict.fromkeys(PROJECTS, 4)
        system.run("status")
    finally:
        system.run("down")
        assert not system.processes()
