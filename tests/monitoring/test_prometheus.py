"""A real Prometheus on real services: every query finds something, and every alert fires on its fault.

One system and one day, in order: all is well, then things go wrong in the fleet, in Postgres, in the
services, in NATS, and in the end nothing is left. Rules look back for seconds here and do not wait; ages that
take an hour in earnest take seconds.
"""

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
import yaml

from services.bus.connection import connect
from services.relay.relay import STREAM
from tests.acceptance.system import ROOT
from tests.conftest import temporary_data
from tests.monitoring import story
from tests.monitoring.site import RULES, WINDOW, Prometheus, Site, eventually, standing
from tests.monitoring.table import documented, exposed, promised
from tests.needs import needs_program

SHORTER = {
    "CoordctlPostgresBlocked": ("> 900", "> 1"),
    "CoordctlRelayBehind": ("> 30", "> 1"),
    "CoordctlProjectorBehind": ("> 30", "> 1"),
    "CoordctlServiceRestarts": ("> 2", "> 0"),
    "CoordctlTasksWait": ("> 3600", "> 5"),
    "CoordctlHandoffsWait": ("> 900", "> 5"),
}
"""Bounds that would take too long to reach."""

BY_PROMTOOL_ALONE = {
    "CoordctlDiskAlmostFull",
    "CoordctlDiskLow",
    "CoordctlFaults",
    "CoordctlLogFull",
    "CoordctlNatsSlowConsumers",
    "CoordctlPostgresReplicaBehind",
    "CoordctlShardsUndecided",
    "CoordctlStreamReplicasMissing",
    "CoordctlWriterBusy",
}
"""Alerts whose faults are dear to make; docs/monitoring.md names them too."""

HELD_S = 2.7
"""Longer than what ReplaySlow takes for slow, shorter than writers wait for Postgres."""

POSTGRES_CONNECTIONS = 85

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name LIKE 'coordctl-writer shard%'
"""
ENDED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name LIKE 'coordctl-writer shard%'
"""

Running = tuple[Site, Prometheus]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """The system, on which a fleet has done all that fleets do."""
    program = needs_program("prometheus")
    with temporary_data() as data, standing(data, program, SHORTER) as (site, prometheus):
        asyncio.run(story.work(site))
        for view in ("queue", "agents", "handoffs"):
            site.get(f"/api/{story.PROJECT}/{view}?as_of=now")
        ask_for_views(site)
        eventually(lambda: prometheus.query("count_over_time(up[1m]) > 1"), "Prometheus has looked twice")
        yield site, prometheus


def ask_for_views(site: Site) -> None:
    async def asking() -> None:
        client = await connect(site.nats.url, "test")
        for view in ("queue", "agents"):
            await client.request(f"coord.{story.PROJECT}.get.{view}", b"", timeout=10)
        await client.close()

    asyncio.run(asking())


def test_every_metric_that_is_exposed_is_documented_and_none_that_is_not(running: Running) -> None:
    site, _ = running
    eventually(lambda: "coordctl_stream_bytes" in site.get("/metrics"), "the figures are read")
    found, told = exposed(site.get("/metrics")), documented(ROOT / "docs" / "monitoring.md")
    assert {name: each for name, each in found.items() if each != told.get(name)} == {}
    assert promised(ROOT / "docs" / "monitoring.md") - set(found) == set()


def test_every_query_of_rules_and_dashboards_finds_something(running: Running) -> None:
    site, prometheus = running
    queries = {*recorded(), *shown()}

    left = set(queries)

    def all_found() -> bool:
        asyncio.run(story.command(site))
        site.get(f"/api/{story.PROJECT}/queue?as_of=now")
        ask_for_views(site)
        left.difference_update([query for query in left if prometheus.query(query)])
        return not left

    eventually(all_found, left)


def test_what_alerts_ask_for_is_there(running: Running) -> None:
    """A name that is misspelt, or a label, would keep an alert silent for ever."""
    _, prometheus = running
    rare = {"coordctl_postgres_replica_lag_bytes"}  # only where there is a replica
    names = {name for alert in alerts() for name in re.findall(r"coordctl[a-z_:0-9]+", alert["expr"])}
    assert {name for name in names - rare if not prometheus.query(name)} == set()


def test_every_alert_fires_on_its_fault(running: Running) -> None:
    site, prometheus = running
    fired: set[str] = set()

    def expect(*names: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        silent = {f"Coordctl{name}" for name in names}

        def all_fire() -> bool:
            meanwhile()
            fired.update(prometheus.firing())
            silent.difference_update(fired)
            return not silent

        eventually(all_fire, silent)

    waiting = {"CoordctlHandoffsWait"}  # the story leaves one open
    eventually(lambda: prometheus.firing() <= waiting, "no other alert fires while all is well")
    asyncio.run(story.go_wrong(site))
    expect("AgentsStale", "LeasesExpire", "TasksDie", "CommandsRefused", "HandoffsWait", "TasksWait")
    with crowded(site), hidden(site, "retros"):
        expect(
            "PostgresConnections", "PostgresBlocked", "HttpErrors", "FiguresMissing",
            meanwhile=lambda: site.get(f"/api/{story.PROJECT}/retros", status=503),
        )  # fmt: skip
    hold_up(site)
    expect("CommandsSlow", "CommitsSlow", "ReplaySlow")
    cut_off(site)
    expect("CommitsFail")
    site.other_nats.stop()
    limit_stream(site)
    site.send(signal.SIGSTOP, "projector")
    site.kill("relay")
    asyncio.run(story.command(site))
    expect("ProjectorBehind", "RelayBehind", "ServiceDown", "NatsUnhealthy", "JetStreamAlmostFull")
    site.start("relay")
    expect("ServiceRestarts")
    site.nats.stop()
    expect("NatsDown")
    site.nats.start()
    site.postgres.stop()
    expect("PostgresDown")
    site.kill("gateway")
    expect("GatewayDown")
    assert {alert["alert"] for alert in alerts()} == {*fired, *BY_PROMTOOL_ALONE}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read("alerts.yml") for rule in group["rules"]]


def recorded() -> set[str]:
    """What the recording rules make."""
    return {rule["record"] for group in read("recording.yml") for rule in group["rules"]}


def shown() -> set[str]:
    """Every query of every dashboard, for all projects and over a short while."""
    queries = set()
    for path in (ROOT / "ops" / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", WINDOW).replace("$project", ".*")
                queries.add(re.sub(r"\[\d+[mh]\]", f"[{WINDOW}]", query))
    return queries


def read(name: str) -> list[Any]:
    """The groups of a file of rules."""
    groups: list[Any] = yaml.safe_load((RULES / name).read_text())["groups"]
    return groups


@contextmanager
def crowded(site: Site) -> Iterator[None]:
    """Others take almost all connections of Postgres, and one of them forgets to end its transaction."""
    with ExitStack() as stack:
        forgotten = stack.enter_context(psycopg.connect(site.postgres.url))
        while True:
            found = forgotten.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchone()
            assert found is not None
            if found[0] >= POSTGRES_CONNECTIONS:
                break
            stack.enter_context(psycopg.connect(site.postgres.url, autocommit=True))
            forgotten.execute("SELECT pg_stat_clear_snapshot()")
        yield


@contextmanager
def hidden(site: Site, view: str) -> Iterator[None]:
    """A read model is not where it should be."""
    with psycopg.connect(site.postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER VIEW coord.{view} RENAME TO hidden")
        try:
            yield
        finally:
            connection.execute(f"ALTER VIEW coord.hidden RENAME TO {view}")


def hold_up(site: Site) -> None:
    """Commits and looks at the past have to wait for somebody's locks."""
    with ThreadPoolExecutor() as threads, psycopg.connect(site.postgres.url) as connection:
        connection.execute("LOCK TABLE coord.events IN EXCLUSIVE MODE")
        connection.execute("LOCK TABLE coord.layers IN ACCESS EXCLUSIVE MODE")
        slow = [
            threads.submit(asyncio.run, story.command(site, 5)),
            threads.submit(site.get, f"/api/{story.PROJECT}/agents?as_of=now"),
        ]
        time.sleep(HELD_S)
        connection.rollback()
        for each in slow:
            each.result()


def cut_off(site: Site) -> None:
    """The writer loses its sessions while a commit is under way."""
    with ThreadPoolExecutor() as threads, psycopg.connect(site.postgres.url) as connection:
        connection.execute("LOCK TABLE coord.events IN EXCLUSIVE MODE")
        cut = threads.submit(asyncio.run, story.command(site))
        with psycopg.connect(site.postgres.url, autocommit=True) as other:
            eventually(lambda: waiting_appends(other), "a commit waits")
            other.execute(ENDED)
        connection.rollback()
        cut.result()


def waiting_appends(connection: psycopg.Connection[Any]) -> int:
    found = connection.execute(WAITING).fetchone()
    assert found is not None
    return int(found[0])


def limit_stream(site: Site) -> None:
    """The stream may hardly become larger than it is."""

    async def limiting() -> None:
        client = await connect(site.nats.url, "test")
        jetstream = client.jetstream()
        info = await jetstream.stream_info(STREAM)
        await jetstream.update_stream(info.config, max_bytes=info.state.bytes + 4096)
        await client.close()

    asyncio.run(limiting())
