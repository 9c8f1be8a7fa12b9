"""The gateway over HTTP and NATS, on real servers: what it says when all is well, and when a part is down."""

import asyncio
import json
from http.client import HTTPConnection
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.errors import CoordError
from services.bus.caller import Caller
from services.bus.connection import connect
from services.bus.wire import MAX_PAYLOAD_BYTES
from services.config import Doors
from services.doors.reports import Report
from services.doors.views import read_message
from services.embedded import EmbeddedNats
from services.embedded.nats import free_addresses
from services.gateway.exposition import merge
from services.health import health
from services.reading.reads import Reads
from services.roster import SERVICES
from tests.services.hosted import hosted

PROJECT = "novel"
PATIENCE_S = 30


async def get(port: int, path: str) -> tuple[int, str]:
    def getting() -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(getting)


async def parts(port: int) -> dict[str, Any]:
    """The parts that are not ready, by name, and why."""
    status, body = await get(port, "/readyz")
    answer = json.loads(body)
    assert (status == 200) is answer["ready"]
    return {name: part["why"] for name, part in answer["parts"].items() if not part["ok"]}


async def until_down(port: int, *names: str) -> dict[str, Any]:
    """Wait until exactly these parts are down."""
    while set(down := await parts(port)) != set(names):  # noqa: ASYNC110  # the gateway can only be asked
        await asyncio.sleep(0.1)
    return down


def test_all_parts_are_ready_and_the_metrics_tell_of_the_whole_system(
    database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def story() -> None:
        doors = Doors(database_url=database_url, nats_url=fresh_nats.url)
        async with hosted(doors) as port:
            async with Caller(fresh_nats.url, PROJECT, "operator") as caller:
                await caller.ask("agent.spawn", {"agent": "a1", "persona": "plot"})
                answer = await caller.ask("task.enqueue", {"title": "Outline act two"})
            client = await connect(fresh_nats.url, "test")
            question = json.dumps({"min_position": answer.position, "wait_s": 10}).encode()
            reply = await client.request(f"coord.{PROJECT}.get.queue", question, timeout=PATIENCE_S)
            await client.close()
            rows = json.loads(reply.data)
            assert rows["position"] >= answer.position
            assert [row["title"] for row in rows["result"]] == ["Outline act two"]

            assert await get(port, "/healthz") == (200, "ok\n")
            await until_down(port)
            _, text = await get(port, "/metrics")
            samples = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if "instance" not in sample.labels
            }
            queued = ("coordctl_tasks", ("project", PROJECT), ("status", "queued"))
            assert samples[queued] == 1
            assert samples["coordctl_agents", ("project", PROJECT), ("status", "active")] == 1
            assert samples["coordctl_log_head_position",] == answer.position
            assert samples["coordctl_lag_events", ("of", "relay"), ("projection", "")] == 0
            assert 'verb="task.enqueue"' in text
            assert all(f'service="{name}"' in text for name in SERVICES)

    asyncio.run(story())


def test_readiness_names_the_part_that_is_down(
    database_url: str, fresh_nats: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MAX_LAG_S", 0.5)

    async def story() -> None:
        doors = Doors(database_url=database_url, nats_url=fresh_nats.url)
        async with hosted(doors, ["gateway", "projector"]) as port:
            assert "no writer answers" in (await until_down(port, "writer"))["writer"]

            async with hosted(doors, ["writer"]):
                async with Caller(fresh_nats.url, PROJECT, "operator") as caller:
                    await caller.ask("task.enqueue", {"title": "Outline act two"})
                assert "behind the log" in (await until_down(port, "relay"))["relay"]

                await asyncio.to_thread(fresh_nats.stop)
                down = await until_down(port, "nats", "writer", "relay")
                assert "connection" in down["nats"]

                await asyncio.to_thread(fresh_nats.start)
                await until_down(port, "relay")

    asyncio.run(story())


def test_a_gateway_without_a_database_says_so_and_goes_on(nats_url: str) -> None:
    async def story() -> None:
        nobody = free_addresses()[0]
        doors = Doors(database_url=f"postgresql://nobody@{nobody}/none", nats_url=nats_url)
        async with hosted(doors, ["gateway"]) as port:
            assert set(await parts(port)) == {"postgres", "writer", "relay", "projector"}
            status, text = await get(port, "/metrics")
            assert status == 200
            assert 'coordctl_part_up{part="postgres"} 0.0' in text
            client = await connect(nats_url, "test")
            reply = await client.request(f"coord.{PROJECT}.get.queue", b"", timeout=PATIENCE_S)
            await client.close()
            assert json.loads(reply.data)["error"]["code"] == "unavailable"
            assert json.loads(reply.data)["error"]["retryable"] is True

    asyncio.run(story())


def test_reads_that_cannot_be_answered_are_refused_with_a_code_and_answered_only_in_inboxes(
    database_url: str, fresh_nats: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        doors = Doors(database_url=database_url, nats_url=fresh_nats.url)
        async with hosted(doors, ["projector", "gateway"]):
            client = await connect(fresh_nats.url, "test")

            async def code(view: str, payload: bytes) -> str:
                reply = await client.request(f"coord.{PROJECT}.get.{view}", payload, timeout=PATIENCE_S)
                error: dict[str, str] = json.loads(reply.data)["error"]
                return error["code"]

            assert await code("nonsense", b"") == "unknown_view"
            assert await code("queue", b"not json") == "bad_input"
            assert await code("queue", b'{"colour": "red"}') == "bad_input"
            with monkeypatch.context() as patch:
                patch.setattr(Reads, "visible", lambda _: 1 // 0)
                assert await code("queue", b"") == "internal_error"
            assert await code("queue", b" " * (MAX_PAYLOAD_BYTES + 1)) == "payload_too_large"

            stolen = await client.subscribe(f"coord.{PROJECT}.evt.task.claimed.t1")
            await client.publish(f"coord.{PROJECT}.get.queue", b"", reply=stolen.subject)
            assert await code("queue", b'{"min_position": 99, "wait_s": 0}') == "not_yet_visible"
            assert stolen.pending_msgs == 0
            await client.close()

    asyncio.run(story())


@pytest.mark.parametrize("project", ["with space", "x" * 65, "ü"])
def test_a_project_must_have_a_good_name(project: str) -> None:
    with pytest.raises(CoordError, match="cannot name a project"):
        read_message(f"coord.{project}.get.queue", b"")


def test_metrics_of_many_services_are_one_family_with_a_sample_each() -> None:
    registry = CollectorRegistry()
    Counter("coordctl_commands", "Commands.", ["verb"], registry=registry).labels("task.claim").inc(3)
    text = generate_latest(registry).decode()
    reports = [
        Report(service="writer", instance=instance, working=True, metrics=text) for instance in ("a:1", "b:2")
    ]
    (family,) = merge(reports)
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"verb": "task.claim", "service": "writer", "instance": instance}, 3.0)
        for instance in ("a:1", "b:2")
    ]
