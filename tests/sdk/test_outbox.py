"""The outbox: what was asked while the bus was away is sent in order, once; what no longer fits is told."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import coord
import pytest
from coord import client
from coord import outbox as outbox_module
from coord.outbox import Outbox, Owner, Waiting

from services.embedded import EmbeddedNats
from services.log.event_log import EventLog
from tests.services.running import events, names, writing

SDK = Path(__file__).resolve().parent.parent.parent / "sdk" / "python"
OWNER = Owner("main", "a1")
PATIENCE_S = 40.0
ADDER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from coord.outbox import Outbox, Owner, Waiting
box = Outbox(Path(sys.argv[1]), Owner("main", "a1"))
for n in range(3):
    box.add(Waiting(f"c{n}", "task.enqueue", {"title": "t"}, datetime.now(UTC)))
print("kept", flush=True)
time.sleep(60)
"""


def waiting(command_id: str) -> Waiting:
    fields = {"title": command_id, "id": command_id}
    return Waiting(command_id, "task.enqueue", fields, datetime.now(UTC))


def ids(box: Outbox) -> list[str]:
    return [*box._waiting]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.outbox"


def test_what_is_kept_survives_a_kill_and_a_line_that_was_cut_off(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ADDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    with pytest.raises(coord.OutboxLocked):
        Outbox(path, OWNER)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    with path.open("ab") as file:
        file.write(b'{"type":"asked","command_id":"c3","ver')
    box = Outbox(path, OWNER)
    assert ids(box) == ["c0", "c1", "c2"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    box.sent("c0")
    box.close()
    again = Outbox(path, OWNER)
    assert ids(again) == ["c1", "c2"]
    again.close()


def test_an_outbox_has_bounds_and_one_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_COMMANDS", 2)
    box = Outbox(path, OWNER)
    box.add(waiting("c0"))
    box.add(waiting("c1"))
    with pytest.raises(coord.OutboxFull):
        box.add(waiting("c2"))
    box.close()
    with pytest.raises(coord.OutboxLocked, match="agent a1"):
        Outbox(path, Owner("main", "a2"))
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(coord.OutboxDamaged, match="Line 1"):
        Outbox(path, OWNER)


@pytest.fixture(autouse=True)
def soon_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus of these tests answers at once or not at all."""
    monkeypatch.setattr(client, "OUTBOX_CONNECT_S", 0.3)


@asynccontextmanager
async def offline(nats: EmbeddedNats, path: Path, **options: Any) -> AsyncIterator[coord.Client]:
    """A session with an outbox that begins while there is no bus."""
    await asyncio.to_thread(nats.stop)
    async with (
        asyncio.timeout(PATIENCE_S),
        coord.connect(nats.url, project="main", agent="a1", outbox=path, **options) as me,
    ):
        yield me


def titles(log: EventLog) -> list[str]:
    return [each.event.entity for each in events(log) if each.event.name == "task.enqueued"]


def test_commands_wait_and_are_sent_in_order_and_what_does_not_fit_is_a_conflict(
    database_url: str, fresh_nats: EmbeddedNats, path: Path
) -> None:
    heard: list[coord.Conflict] = []

    async def run() -> None:
        async with writing(database_url, fresh_nats.url) as log:
            async with offline(fresh_nats, path, on_conflict=heard.append) as me:
                for name in ("t1", "t2", "t1", "t3"):
                    answer = await me.enqueue(f"Task {name}", id=name)
                    assert answer.in_outbox
                assert me.waiting == 4
                await asyncio.to_thread(fresh_nats.start)
                await me.flush(PATIENCE_S)
                after = await me.enqueue("Task t4", id="t4")
                assert (after.task, after.in_outbox) == ("t4", False)
                (conflict,) = me.conflicts()
                assert heard == [conflict]
                assert (conflict.code, conflict.now) == ("task_exists", {"task": "t1"})
                assert conflict.assumed["id"] == "t1"
            assert titles(log) == ["t1", "t2", "t3", "t4"]
            async with coord.connect(fresh_nats.url, project="main", agent="a1", outbox=path) as me:
                assert me.conflicts() == [conflict]
                me.acknowledge(conflict)
            async with coord.connect(fresh_nats.url, project="main", agent="a1", outbox=path) as me:
                assert me.conflicts() == []

    asyncio.run(run())


def test_work_that_was_finished_offline_is_told_and_a_dead_fence_is_a_conflict(
    database_url: str, fresh_nats: EmbeddedNats, path: Path
) -> None:
    async def run() -> None:
        async with writing(database_url, fresh_nats.url) as log:
            options = {"project": "main", "outbox": path, "persona": "writing", "stay": True}
            async with coord.connect(fresh_nats.url, agent="a1", **options) as me:
                for name in ("t1", "t2"):
                    await me.enqueue(name, id=name)
                async for task in me.work(wait_s=1):
                    async with task:
                        if task.id == "t1":
                            await asyncio.to_thread(fresh_nats.stop)
                            task.done("offline")
                            me.stop()
                assert me.waiting == 1
                await asyncio.to_thread(fresh_nats.start)
                await me.flush(PATIENCE_S)
                await me.command("task.claim", task="t2")
                await me.command("task.cancel", task="t2")
            async with offline(fresh_nats, path) as me:
                await me.command("task.complete", task="t2", fence=1, result="late")
                await asyncio.to_thread(fresh_nats.start)
                await me.flush(PATIENCE_S)
                (conflict,) = me.conflicts()
                assert (conflict.verb, conflict.code) == ("task.complete", "stale_fence")
                assert conflict.assumed == {"task": "t2", "fence": 1, "result": "late"}
                assert (conflict.now["status"], conflict.now["given"]) == ("cancelled", 1)
            assert names(log).count("task.completed") == 1

    asyncio.run(run())


def test_without_async_what_was_asked_offline_is_sent_too(
    database_url: str, fresh_nats: EmbeddedNats, path: Path
) -> None:
    def story() -> None:
        fresh_nats.stop()
        with coord.sync.connect(fresh_nats.url, project="main", agent="a1", outbox=path) as me:
            assert me.enqueue("Task t1", id="t1").in_outbox
            assert me.waiting == 1
            fresh_nats.start()
            me.flush(PATIENCE_S)
            assert (me.waiting, me.conflicts()) == (0, [])

    async def run() -> None:
        async with writing(database_url, fresh_nats.url) as log:
            await asyncio.to_thread(story)
            assert titles(log) == ["t1"]

    asyncio.run(run())


def test_a_command_that_was_sent_but_not_marked_is_done_once(
    database_url: str, fresh_nats: EmbeddedNats, path: Path
) -> None:
    async def run() -> None:
        async with writing(database_url, fresh_nats.url) as log:
            async with coord.connect(fresh_nats.url, project="main", agent="a1") as me:
                await me.enqueue("once", command_id="c1")
            box = Outbox(path, OWNER)
            box.add(Waiting("c1", "task.enqueue", {"title": "once"}, datetime.now(UTC)))
            box.close()
            async with coord.connect(fresh_nats.url, project="main", agent="a1", outbox=path) as me:
                await me.flush(PATIENCE_S)
                assert me.conflicts() == []
            assert len(titles(log)) == 1

    asyncio.run(run())


def test_the_client_needs_nothing_but_nats_and_msgspec() -> None:
    """Of installed packages; what those two bring along, and how ours is installed, is their own affair."""
    check = """
import sys, coord
paths = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
installed = {name.partition(".")[0] for name, path in paths.items() if "site-packages" in path}
print(sorted(installed & {"eventsourcing", "psycopg", "click", "starlette", "rich", "prometheus_client"}))
print(sorted({"domain", "projections", "services", "cli"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert done.stdout.split() == ["[]", "[]"]
    project = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]
    assert [each.partition(">")[0] for each in project["dependencies"]] == ["msgspec", "nats-py[nkeys]"]
