"""`coordctl up` and `down` through real processes: start, find, survive crashes, and leave nothing behind."""

import asyncio
import json
import os
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # psutil ships no types

from services.bus.caller import Caller
from services.bus.connection import connect
from services.embedded import EmbeddedNats
from services.roster import SERVICES
from tests.acceptance.system import System, eventually, running

PROJECT = "novel"


def ask(system: System, verb: str, **fields: Any) -> dict[str, Any]:
    """The result of a command that an operator sends."""

    async def asking() -> dict[str, Any]:
        async with Caller(system.nats_url, PROJECT, "operator") as caller:
            return (await caller.ask(verb, fields)).result

    return asyncio.run(asking())


def read(system: System, view: str, **params: Any) -> Any:
    """The reply to a read over NATS."""

    async def reading() -> Any:
        client = await connect(system.nats_url, "test")
        payload = json.dumps(params).encode()
        reply = await client.request(f"coord.{PROJECT}.get.{view}", payload, timeout=10)
        await client.close()
        return json.loads(reply.data)

    return asyncio.run(reading())


def titles(system: System) -> list[str]:
    """The titles of all tasks, read after everything that was committed."""
    head = json.loads(system.run("status", "--json"))["head"]
    return sorted(row["title"] for row in read(system, "queue", min_position=head, wait_s=10)["result"])


def test_up_brings_everything_up_is_found_by_a_second_one_and_goes_down_without_a_trace(data: Path) -> None:
    with running(data) as system:
        pid = system.state["pid"]
        seeds = [path.read_text().strip() for path in (data / "credentials").glob("*.nk")]
        again = system.run("up")
        assert f"already up (process {pid})" in again
        assert system.state["http_url"] in again
        assert len(seeds) == 6
        assert not any(seed in again + system.log for seed in seeds)
        assert (data / "state.json").stat().st_mode & 0o077 == 0

        ask(system, "task.enqueue", title="Outline act two")
        assert titles(system) == ["Outline act two"]

        ready = HTTPConnection(system.state["http_url"].removeprefix("http://"))
        ready.request("GET", "/readyz")
        assert json.load(ready.getresponse())["ready"] is True
        ready.close()
        status = json.loads(system.run("status", "--json"))
        assert {s["name"] for s in status["services"] if s["working"]} == set(SERVICES)
        assert status["counts"]["tasks"] == {"queued": 1}
        assert all(check["verdict"] == "ok" for check in json.loads(system.run("doctor", "--json")))

        assert "down" in system.run("down")
        assert system.processes() == []
        assert not (data / "state.json").exists()
        assert "Nothing runs" in system.run("down")
        system.run("status", code=5)


def test_two_that_start_at_once_make_one_system(data: Path) -> None:
    system = System(data)
    try:
        both = [system.start("up", "--detach", "--json") for _ in range(2)]
        said = [process.communicate(timeout=90)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        assert len({json.loads(text.splitlines()[-1])["pid"] for text in said}) == 1
    finally:
        system.run("down")
    assert system.processes() == []


def test_servers_and_services_that_are_killed_come_back_under_the_same_addresses(data: Path) -> None:
    with running(data) as system:
        ask(system, "task.enqueue", title="before")
        before = system.state
        for name in ("postgres", "nats", *SERVICES):
            os.kill(before["services"][name], signal.SIGKILL)
        eventually(
            lambda: (
                not set(before["services"].values()) & set(system.state["services"].values())
                and len(system.state["services"]) == len(before["services"])
            ),
            "seven new processes",
        )
        ask(system, "task.enqueue", title="after")
        eventually(lambda: json.loads(_status(system))["ready"], "ready again")
        assert titles(system) == ["after", "before"]
        assert system.state["nats_url"] == before["nats_url"]
        assert system.state["http_url"] == before["http_url"]


def test_services_end_with_a_supervisor_that_is_killed_and_the_next_up_goes_on(data: Path) -> None:
    with running(data) as system:
        ask(system, "task.enqueue", title="before")
        killed = system.state
        os.kill(killed["pid"], signal.SIGKILL)
        services = [killed["services"][name] for name in SERVICES]
        eventually(lambda: not any(map(psutil.pid_exists, services)), "no service outlives its supervisor")

        system.run("up", "--detach")
        assert system.state["pid"] != killed["pid"]
        ask(system, "task.enqueue", title="after")
        assert titles(system) == ["after", "before"]

        os.kill(system.state["pid"], signal.SIGKILL)  # what `down` must then clean up by itself


def test_up_in_the_foreground_ends_in_order_on_ctrl_c(data: Path) -> None:
    system = System(data)
    process = system.start("up")
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("            coordctl status"):
                break
        assert any(line.startswith("writer    | ") for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert system.processes() == []
    finally:
        system.run("down")


def test_servers_of_the_operators_own_are_used(
    data: Path, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    place = data / "operator"
    with running(place, COORD_DATABASE_URL=database_url, COORD_NATS_URL=fresh_nats.url) as system:
        assert set(system.state["services"]) == set(SERVICES)
        ask(system, "task.enqueue", title="elsewhere")
        assert titles(system) == ["elsewhere"]
    assert fresh_nats.is_running()


def test_services_end_well_although_their_servers_are_gone(
    data: Path, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    system = System(data / "none", COORD_DATABASE_URL=database_url, COORD_NATS_URL=fresh_nats.url)
    services = [system.start("serve", name) for name in SERVICES]
    try:
        for service in services:
            assert service.stdout is not None
            next(line for line in service.stdout if line.endswith("ready\n"))
        fresh_nats.stop()
        for service in services:
            service.terminate()
        for service in services:
            said = service.communicate(timeout=30)[0]
            assert service.returncode == 0, said
    finally:
        for service in services:
            service.kill()


def _status(system: System) -> str:
    """The status as JSON, ready or not."""
    try:
        return system.run("status", "--json")
    except AssertionError:
        return '{"ready": false}'
