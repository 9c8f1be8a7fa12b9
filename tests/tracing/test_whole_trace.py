"""One trace from an agent's command through all processes, and the lines that these processes log."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import coord
import pytest
from nats.aio.msg import Msg
from opentelemetry.trace import NonRecordingSpan, use_span

from services.bus.connection import connect
from services.config import Doors
from services.gateway.tokens import OPERATOR_FILE
from services.relay.stream import POSITION
from services.tracing.spans import parse
from tests.acceptance.conftest import Shell
from tests.acceptance.system import System, eventually, running
from tests.conftest import temporary_data
from tests.services.mcp_site import Site, call
from tests.tracing.collector import Collector, collecting

PROJECT = "novel"
SERVICES = {"commit": "writer", "publish": "relay", "fold": "projector"}
WAIT_S = 20


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def system(collector: Collector) -> Iterator[System]:
    """A system that traces, and logs all it can, for machines."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "COORD_LOG": "json",
        "COORD_LOG_LEVEL": "debug",
    }
    with temporary_data() as folder, running(folder, **variables) as system:
        yield system


class Span:
    """The span of an agent that is about to ask something."""

    def __init__(self) -> None:
        self.trace_id = secrets.token_hex(16)
        self.id = secrets.token_hex(8)
        self.traceparent = f"00-{self.trace_id}-{self.id}-01"


def check(collector: Collector, span: Span, verb: str) -> None:
    """The agent's trace has every part of the way, each where it belongs."""
    found = collector.of(span.trace_id, verb, *SERVICES)
    command = found[verb]
    assert (command.service, command.parent_id) == ("coordctl-writer", span.id)
    for name, service in SERVICES.items():
        assert (found[name].service, found[name].parent_id) == (f"coordctl-{service}", command.span_id)
    assert command.began_ns <= found["commit"].began_ns <= found["commit"].ended_ns <= command.ended_ns
    assert found["fold"].ended_ns > found["commit"].began_ns
    position = command.attributes["coordctl.position"]
    assert found["fold"].attributes["coordctl.position"] >= position
    assert command.attributes["coordctl.project"] == PROJECT
    assert command.attributes["coordctl.command_id"]


def lines(system: System, **fields: str) -> list[dict[str, Any]]:
    """What was logged with these fields; the last line may not be whole yet."""
    *whole, _ = system.log.split("\n")
    every = [json.loads(line) for line in whole if line.startswith("{")]
    return [line for line in every if "message" in line and fields.items() <= line.items()]


def test_a_command_of_the_python_client_is_one_trace_up_to_its_folds(
    system: System, collector: Collector
) -> None:
    span = Span()

    async def asking() -> Msg:
        heard: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        async def hear(message: Msg) -> None:
            if not heard.done():
                heard.set_result(message)

        nats = await connect(system.nats_url, "test")
        await nats.subscribe(f"coord.{PROJECT}.evt.task.enqueued.act-1", cb=hear)
        await nats.flush()
        async with coord.connect(system.nats_url, project=PROJECT, agent="operator") as me:
            with coord.within(span.traceparent):
                await me.enqueue("Write act one", id="act-1")
            message = await asyncio.wait_for(heard, WAIT_S)
        await nats.close()
        return message

    message = asyncio.run(asking())
    check(collector, span, "task.enqueue")
    found = collector.of(span.trace_id)
    assert message.headers is not None
    assert message.headers["traceparent"] == found["publish"].traceparent
    assert int(message.headers[POSITION]) == found["task.enqueue"].attributes["coordctl.position"]
    assert json.loads(message.data)["traceparent"] == found["task.enqueue"].traceparent


def test_the_command_line_and_the_gateway_pass_the_trace_of_their_caller_on(
    system: System, collector: Collector
) -> None:
    span = Span()
    shell = Shell(system)
    shell.environ["COORD_PROJECT"] = PROJECT
    shell("task", "add", "Write act two", TRACEPARENT=span.traceparent)
    check(collector, span, "task.enqueue")

    span = Span()
    gateway = HTTPConnection(system.state["http_url"].removeprefix("http://"))
    token = (system.data / OPERATOR_FILE).read_text().strip()
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "traceparent": span.traceparent,
    }
    gateway.request("POST", f"/api/{PROJECT}/task/enqueue", '{"title": "Write act three"}', headers)
    assert gateway.getresponse().status == 200
    gateway.close()
    check(collector, span, "task.enqueue")


def test_a_span_of_opentelemetry_is_passed_on_by_the_python_client_and_by_mcp(
    system: System, collector: Collector
) -> None:
    async def asking() -> None:
        with use_span(NonRecordingSpan(parse(client.traceparent))):
            async with coord.connect(system.nats_url, project=PROJECT, agent="operator") as me:
                await me.enqueue("Write act four")
        state = system.state
        doors = Doors(database_url=state["database_url"], nats_url=system.nats_url)
        site = Site(doors, urlsplit(state["http_url"]).port or 0, system.data)
        async with site.over_http(site.token("worker", PROJECT, "w2")) as worker:
            with use_span(NonRecordingSpan(parse(mcp.traceparent))):
                await call(worker, "add_task", title="Write act five")

    client, mcp = Span(), Span()
    asyncio.run(asking())
    check(collector, client, "task.enqueue")
    check(collector, mcp, "task.enqueue")


def test_a_trace_that_is_not_sampled_leaves_no_span_nor_does_a_heartbeat(
    system: System, collector: Collector
) -> None:
    async def asking() -> None:
        async with coord.connect(system.nats_url, project=PROJECT, agent="w3", persona="plot") as me:
            with coord.within(f"00-{unsampled.trace_id}-{unsampled.id}-00"):
                await me.enqueue("Write in secret")
            with coord.within(beating.traceparent):
                await me.beat()
            with coord.within(after.traceparent):
                await me.enqueue("Write in public")

    unsampled, beating, after = Span(), Span(), Span()
    asyncio.run(asking())
    check(collector, after, "task.enqueue")
    assert not {unsampled.trace_id, beating.trace_id} & {span.trace_id for span in collector.spans}
    assert not [span for span in collector.spans if span.name == "agent.heartbeat"]


def test_a_refused_command_is_a_line_with_its_fields_and_a_span_that_failed(
    system: System, collector: Collector
) -> None:
    span = Span()

    async def asking() -> None:
        async with coord.connect(system.nats_url, project=PROJECT, agent="operator") as me:
            with coord.within(span.traceparent), pytest.raises(coord.UnknownTask):
                await me.command("task.cancel", task="nowhere", command_id="refused-1")

    asyncio.run(asking())
    refused = collector.of(span.trace_id, "task.cancel")["task.cancel"]
    assert (refused.failed, refused.attributes["error.type"]) == (True, "unknown_task")
    eventually(lambda: lines(system, command_id="refused-1"), "a line about the refused command")
    (line,) = lines(system, command_id="refused-1")
    assert {name: line[name] for name in ("level", "service", "project", "actor", "command", "code")} == {
        "level": "debug", "service": "writer", "project": PROJECT, "actor": "operator",
        "command": "task.cancel", "code": "unknown_task",
    }  # fmt: skip
    assert line["trace_id"] == span.trace_id


def test_a_lease_that_runs_out_is_a_line_and_a_happy_command_is_none(system: System) -> None:
    async def asking() -> None:
        async with coord.connect(system.nats_url, project="leases", agent="w1", stay=True) as me:
            await me.command("agent.spawn", persona="writing", command_id="happy-1")
            await me.enqueue("Write", id="t1", lease_s=1.0, persona="writing")
            await me.command("task.claim", command_id="happy-2")

    asyncio.run(asking())
    eventually(lambda: lines(system, project="leases", task="t1"), "a line about the lease")
    (line,) = lines(system, project="leases", task="t1")
    assert line["message"] == "the lease of w1 on task t1 expired"
    assert (line["level"], line["agent"]) == ("warning", "w1")
    assert lines(system, command_id="happy-1") + lines(system, command_id="happy-2") == []


def test_whom_the_gateway_turns_away_is_a_line(system: System) -> None:
    gateway = HTTPConnection(system.state["http_url"].removeprefix("http://"))
    gateway.request("GET", f"/api/{PROJECT}/queue", headers={"Authorization": "Bearer hunter2"})
    assert gateway.getresponse().status == 401
    gateway.close()
    eventually(lambda: lines(system, service="gateway", code="unauthenticated"), "a line about the stranger")
    assert "hunter2" not in system.log


def test_no_secret_is_logged_or_traced(system: System, collector: Collector) -> None:
    secret = [path.read_text().strip() for path in (system.data / "credentials").glob("*.nk")]
    secret.append((system.data / OPERATOR_FILE).read_text().strip())
    assert len(secret) > 4
    told = system.log + str(collector.spans)
    assert not [each for each in secret if each in told]
    assert "password" not in told.lower()


def test_every_process_says_when_it_begins_and_works(system: System) -> None:
    said = {(line["service"], line["message"].split(" as process")[0]) for line in lines(system)}
    for service in ("writer", "relay", "projector", "gateway"):
        assert {(service, "starting"), (service, "ready")} <= said
    assert ("relay", "this relay leads") in said
