"""What the metrics say is true: of the fleet, also of forks, of Postgres and NATS; and it stays bounded."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from services.config import Config, InvalidConfig
from services.embedded import EmbeddedNats
from services.embedded.nats import free_addresses
from services.errors import Unavailable
from services.log.event_log import EventLog
from services.monitoring import fleet, nats, postgres, sources
from services.monitoring.sources import Source, Sources
from services.monitoring.system import look_at_host
from tests.services.web import serving

Samples = dict[tuple[str, ...], float]


def samples(metrics: Sequence[Metric]) -> Samples:
    """Values by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_the_fleet_is_counted_by_status_and_a_fork_has_what_its_origin_had(
    database_url: str, nats_url: str, data: Path
) -> None:
    with serving(database_url, nats_url, data) as web:
        for title in ("Outline", "Draft", "Title"):
            web.post("task.enqueue", {"title": title})
        web.post("failure.record", {"feature": "outline", "approach": "by hand", "why": "slow"})
        fork = f"{web.project}-fork"
        forked = web.post("project.fork", {"origin": web.project, "sequence": 3}, project=fork)
        assert forked.status == 200, forked.text
        position = web.post("task.enqueue", {"title": "Cover"}, project=fork).json["position"]
        assert web.get(f"/api/{fork}/queue?min_position={position}&wait_s=20").status == 200
        found = samples(fleet.look(database_url))
    assert found["coordctl_tasks", web.project, "queued"] == 3
    assert found["coordctl_tasks", fork, "queued"] == 4
    assert found["coordctl_failures", web.project] == 1
    assert ("coordctl_failures", fork) not in found
    assert 0 < found["coordctl_tasks_oldest_seconds", fork, "queued"] < 600
    assert found["coordctl_projects",] == 2


def test_however_many_projects_there_are_the_series_are_bounded() -> None:
    counts, ages = fleet.FIGURES[1], fleet.FIGURES[3]
    rows = [{"project": f"p{number}", "status": "queued", "value": 2.0} for number in range(500)]
    named = {f"p{number}" for number in range(fleet.MAX_PROJECTS)}
    found = samples([fleet.family(each, fleet.bounded(rows, named, each)) for each in (counts, ages)])
    assert len(found) == 2 * (fleet.MAX_PROJECTS + 1)
    assert found["coordctl_tasks", fleet.OTHERS, "queued"] == 800
    assert found["coordctl_tasks_oldest_seconds", fleet.OTHERS, "queued"] == 2


def test_without_read_models_the_fleet_has_no_figures(database_url: str) -> None:
    with pytest.raises((psycopg.Error, Unavailable)):
        fleet.look(database_url)


def test_postgres_tells_of_its_connections_its_locks_and_its_size(database_url: str, log: EventLog) -> None:
    with psycopg.connect(database_url) as held:
        held.execute("LOCK TABLE coord.events IN SHARE MODE")
        found = samples(postgres.look(database_url))
        held.rollback()
    assert found["coordctl_postgres_connections", "idle_in_transaction"] >= 1
    assert found["coordctl_postgres_connections_limit",] == 100
    assert found["coordctl_postgres_longest_transaction_seconds",] > 0
    sizes = {key[1]: value for key, value in found.items() if key[0] == "coordctl_postgres_size_bytes"}
    assert 0 < sizes["log"] < sizes["database"]
    assert found["coordctl_postgres_transactions_total", "committed"] > 0
    assert found["coordctl_postgres_replicas",] == 0


def test_a_nats_server_is_told_by_its_own_monitoring_and_one_that_is_away_is_not_healthy(
    nats_server: EmbeddedNats,
) -> None:
    here, away = nats_server.monitor_url, free_addresses()[0]
    gone = f"http://somebody:secret@{away}"
    found = samples(asyncio.run(nats.look_at_servers([here, gone])))
    name, other = here.removeprefix("http://"), away
    assert found["coordctl_nats_healthy", name] == 1
    assert found["coordctl_nats_healthy", other] == 0
    assert found["coordctl_nats_memory_bytes", name] > 0
    assert found["coordctl_nats_messages_total", name, "in"] >= 0
    assert found["coordctl_jetstream_storage_limit_bytes", name] > 0
    assert ("coordctl_nats_memory_bytes", other) not in found


def test_the_disk_is_that_of_the_data_directory(data: Path) -> None:
    found = samples(look_at_host(data))
    assert 0 < found["coordctl_disk_free_bytes",] <= found["coordctl_disk_size_bytes",]


def test_monitoring_addresses_are_checked() -> None:
    read = Config.from_env({"COORD_NATS_MONITOR_URL": "http://a:8222, https://b"}, Path("data"))
    assert read.nats_monitor_urls == ("http://a:8222", "https://b")
    for wrong in ("nats:8222", ",".join(["http://a:8222"] * 11)):
        with pytest.raises(InvalidConfig, match="COORD_NATS_MONITOR_URL"):
            Config.from_env({"COORD_NATS_MONITOR_URL": wrong}, Path("data"))


def test_what_nobody_expected_is_no_figure_either_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "AGE_S", 0.0)

    async def story() -> None:
        told: list[Any] = [one(1), ValueError("a fault")]

        async def read() -> list[Metric]:
            answer = told.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return list(answer)

        source = Source("disk", read, OSError)
        assert await source.figures()
        with pytest.raises(ValueError, match="a fault"):
            await source.figures()
        assert not source.ok

    asyncio.run(story())


def one(value: float) -> list[Metric]:
    return [GaugeMetricFamily("one", "One.", value=value)]


def test_a_source_that_hangs_keeps_no_scrape_waiting_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "WAIT_S", 0.01)

    async def story() -> None:
        asked, goes_on = [], asyncio.Event()

        async def hangs() -> list[Metric]:
            asked.append(1)
            await goes_on.wait()
            return one(7)

        source = Source("slow", hangs)
        assert [await source.figures() for _ in range(3)] == [(), (), ()]
        goes_on.set()
        while not await source.figures():
            pass
        assert samples(await source.figures()) == {("one",): 7}
        assert len(asked) == 1
        assert source.ok

    asyncio.run(story())


def test_a_source_rests_after_what_its_server_had_to_work_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "AGE_S", 0.0)

    async def story(rest: int) -> int:
        asked = []

        async def works() -> list[Metric]:
            asked.append(1)
            return one(7)

        source = Source("fleet", works, rest=rest)
        for _ in range(3):
            assert samples(await source.figures()) == {("one",): 7}
        return len(asked)

    assert asyncio.run(story(rest=0)) == 3
    assert asyncio.run(story(rest=10**9)) == 1


def test_a_source_that_fails_has_no_figures_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sources, "AGE_S", 0.0)

    async def story() -> None:
        told: list[Any] = [one(1), OSError("gone"), OSError("gone"), one(2)]

        async def read() -> list[Metric]:
            answer = told.pop(0)
            if isinstance(answer, Exception):
                raise answer
            found: list[Metric] = answer
            return found

        both = Sources([Source("disk", read, OSError)])
        for value, up in ((1, 1), (None, 0), (None, 0), (2, 1)):
            found = samples(await both.figures())
            assert found.get(("one",)) == value
            assert found["coordctl_source_up", "disk"] == up

    asyncio.run(story())
    assert caplog.messages == ["figures of disk cannot be read: gone", "figures of disk can be read again"]
