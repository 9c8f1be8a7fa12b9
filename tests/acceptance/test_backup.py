"""Backups of a running system, taken back elsewhere; a stream that is lost; tables brought up by hand."""

import asyncio
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from services.alone import database_of
from services.bus.connection import connect
from services.config import Config
from services.relay.stream import STREAM
from tests.acceptance.conftest import Shell
from tests.acceptance.system import System, eventually, running

LOSE_THE_LAST = """
DELETE FROM coord.events WHERE notification_id = (SELECT max(notification_id) FROM coord.events)
"""
LATER = "INSERT INTO coord.migrations (number, name, coordctl) VALUES (99, 'later', '9.9')"


@pytest.fixture
def worked(shell: Shell) -> Shell:
    """A project that was worked in, gone back in and forked from."""
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "Outline", "--id", "t1")
    shell("task", "claim", "t1", "--agent", "a1")
    shell("bookmark", "set", "good")
    shell("task", "add", "Wrong turn", "--id", "t2")
    shell("fork", "--at", "good", "--as", f"{shell.project}-f")
    shell("restore", "--to", "good", "--reason", "wrong turn")
    shell("task", "add", "In the fork", "--id", "t3", "--project", f"{shell.project}-f")
    return shell


def hashes(told: Any) -> dict[str, str]:
    """The chain hashes of what `coordctl verify` has found."""
    assert told["ok"], told
    return {check["project"]: check["hash"] for check in told["checks"] if check["name"] == "log"}


def views(shell: Shell, project: str) -> list[str]:
    verbs = (("task", "list"), ("agent", "list"), ("bookmark", "list"), ("timeline",))
    return [shell(*verb, "--project", project, "--json") for verb in verbs]


def test_a_backup_made_amid_work_is_restored_under_running_services(
    worked: Shell, tmp_path: Path, data: Path
) -> None:
    project, fork, file = worked.project, f"{worked.project}-f", str(tmp_path / "backup")
    busy = f"{project}-busy"

    def add(number: int) -> None:
        worked.system.run("task", "add", f"Part {number}", "--project", busy)

    with ThreadPoolExecutor(2) as threads:
        adding = [threads.submit(add, number) for number in range(4)]
        adding[0].result()
        made = worked.json("backup", file)
        for each in adding:
            each.result()
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert worked.json("backup", "verify", file) == made
    kept = {each["project"]: each for each in made["projects"]}
    exported = ("export", str(tmp_path / "busy"), "--until", str(made["head"]), "--project", busy)
    assert kept[busy]["hash"] == worked.json(*exported)["hash"]
    assert kept[fork]["events"] < kept[fork]["sequence"]

    with running(data) as system:
        there = Shell(system)
        assert there("restore-backup", file).splitlines()[-1].startswith(f"{file} is restored: ")
        assert hashes(there.json("verify")) == {name: each["hash"] for name, each in kept.items()}
        for name in (project, fork):
            assert views(there, name) == views(worked, name)
        spawned = there.json("agent", "spawn", "a2", "--persona", "plot", "--project", project)
        assert spawned["position"] > made["head"]
        there("task", "claim", "t1", "--agent", "a2", "--project", project)
        assert there.json("restore-backup", file, code=3)["error"]["code"] == "not_empty"
        _lose_the_stream(there)


def _lose_the_stream(shell: Shell) -> None:
    """It comes back by itself; one that differs comes back when it is told to."""
    _with_stream(shell.system, _messages, delete=True)
    eventually(lambda: _with_stream(shell.system, _messages), "the relay fills a new stream")
    assert shell.json("verify")["ok"]
    with psycopg.connect(shell.system.state["database_url"]) as connection:
        connection.execute(LOSE_THE_LAST)
    assert not shell.json("verify", code=1)["ok"]
    assert "say --yes" in shell.json("stream", "rebuild", code=2)["error"]["message"]
    told = shell.json("stream", "rebuild", "--yes")
    assert told["ok"]
    assert told["events"] == _with_stream(shell.system, _messages)


def _messages(info: StreamInfo) -> int:
    return info.state.messages


def _with_stream(system: System, look: Callable[[StreamInfo], Any], *, delete: bool = False) -> Any:
    """What there is of the stream; None if there is none."""

    async def run() -> Any:
        client = await connect(system.nats_url, "test")
        try:
            jetstream = client.jetstream()
            found = look(await jetstream.stream_info(STREAM))
            if delete:
                await jetstream.delete_stream(STREAM)
            return found
        except NotFoundError:
            return None
        finally:
            await client.close()

    return asyncio.run(run())


def test_without_up_a_backup_fills_a_new_data_directory(worked: Shell, tmp_path: Path, data: Path) -> None:
    file, again = str(tmp_path / "verify"), str(tmp_path / "again")
    worked("backup", "create", file)
    alone = {"COORD_DATA": str(data / "new")}
    assert "run `coordctl up`" in worked.error("backup", again, code=5, **alone)
    assert "run `coordctl up`" in worked.error("migrate", code=5, **alone)
    assert "is restored: " in worked("restore-backup", file, **alone)
    worked("backup", again, **alone)
    first, second = worked.json("backup", "verify", file), worked.json("backup", "verify", again)
    assert second["projects"] == first["projects"]
    assert second["head"] == first["head"]
    assert "have schema 1" in worked("migrate", "--check", **alone)
    assert worked.json("migrate", **alone) == {"schema": 1, "applied": []}
    _refuse_newer(worked, System(data / "new"))


def _refuse_newer(shell: Shell, system: System) -> None:
    """Data that a later version has migrated are left alone, and nothing is started on them."""
    with database_of(Config(data=system.data)) as url, psycopg.connect(url) as connection:
        connection.execute(LATER)
    assert "run coordctl 9.9 or a later one" in shell.error("migrate", code=1, COORD_DATA=str(system.data))
    output = system.start("up").communicate(timeout=60)[0]
    assert "have schema 99, and this coordctl knows none after" in output
    assert "ready" not in output
    assert system.processes() == []


def test_what_is_no_whole_backup_is_refused_with_a_sentence(shell: Shell, tmp_path: Path, data: Path) -> None:
    file = tmp_path / "backup"
    assert "cannot be read" in shell.error("backup", "verify", str(file), code=2)
    assert "cannot be written" in shell.error("backup", str(tmp_path / "no" / "backup"), code=2)
    assert "no regular file" in shell.error("backup", str(tmp_path), code=2)
    shell("backup", str(file))
    content = file.read_bytes()
    assert "exists already" in shell.error("backup", str(file), code=2)
    shell("backup", "--force", str(file))
    shell("backup", str(file), "--force")
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]
    file.write_bytes(content[:-1])
    for command in (("backup", "verify"), ("restore-backup",)):
        told = shell.json(*command, str(file), code=1, COORD_DATA=str(data))
        assert told["error"]["code"] == "bad_backup"
        assert "cut off" in told["error"]["message"]
