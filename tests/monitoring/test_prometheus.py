"""A real Prometheus on real services: every query finds something, and every alert fires on its fault.

One system and one day, in order: all is well, then things go wrong in the fleet, in Postgres and its
replica, in the services, in the cluster of nats-servers, and in the end nothing is left. Rules look back for
seconds here and do not wait; ages that take an hour in earnest take seconds.
"""

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from threading import Event
from typing import Any

import psycopg
import pytest
import yaml

from services.bus.caller import Refused
from services.bus.connection import connect
from services.bus.link import disconnect
from services.relay.relay import STREAM
from tests.acceptance.system import ROOT
from tests.conftest import temporary_data
from tests.monitoring import story
from tests.monitoring.site import PATIENCE_S, RULES, WINDOW, Prometheus, Site, eventually, standing
from tests.monitoring.table import documented, exposed, promised
from tests.needs import needs_program

SHORTER = {
    "CoordctlDiskAlmostFull": ("< 256 * 1024 * 1024", "< 1024 * 1024"),
    "CoordctlPostgresBlocked": ("> 900", "> 1"),
    "CoordctlPostgresReplicaBehind": ("> 256 * 1024 * 1024", "> 1024"),
    "CoordctlRelayBehind": ("> 30", "> 1"),
    "CoordctlProjectorBehind": ("> 30", "> 1"),
    "CoordctlServiceRestarts": ("> 2", "> 0"),
    "CoordctlTasksWait": ("> 3600", "> 5"),
    "CoordctlHandoffsWait": ("> 900", "> 5"),
    "CoordctlWriterBusy": ("> 10000", "> 100"),
}
"""Bounds that would take too long to reach."""

HELD_S = 2.7
"""Longer than what ReplaySlow takes for slow, shorter than writers wait for Postgres."""

POSTGRES_CONNECTIONS = 85
MORE_THAN_TWO_BATCHES = 6_000
UNREAD_MESSAGES = 100
MESSAGE_BYTES = 1_000_000

SHARD = """
SELECT l.classid::bigint, l.objid::bigint, l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock'
    AND a.application_name LIKE 'coordctl-writer shard%' LIMIT 1
"""
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


def use(site: Site) -> None:
    """By all the ways there are."""
    asyncio.run(story.command(site))
    site.get(f"/api/{story.PROJECT}/queue?as_of=now")
    ask_for_views(site)


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
        use(site)
        left.difference_update([query for query in left if prometheus.query(query)])
        return not left

    eventually(all_found, left)


def test_what_alerts_ask_for_is_there(running: Running) -> None:
    """A name that is misspelt, or a label, would keep an alert silent for ever."""
    site, prometheus = running
    left = {name for alert in alerts() for name in re.findall(r"coordctl[a-z_:0-9]+", alert["expr"])}

    def all_there() -> bool:
        use(site)
        left.difference_update([name for name in left if prometheus.query(name)])
        return not left

    eventually(all_there, left)


def test_every_alert_fires_on_its_fault(running: Running) -> None:
    site, prometheus = running
    fired, expect = watching(prometheus)
    waiting = {"CoordctlHandoffsWait"}  # the story leaves one open
    eventually(lambda: prometheus.firing() <= waiting, "no other alert fires while all is well")
    site.replica.stand_still()
    with crowded(site):
        asyncio.run(story.go_wrong(site))
        asyncio.run(damage(site))
        expect(
            "AgentsStale", "LeasesExpire", "TasksDie", "CommandsRefused", "HandoffsWait", "TasksWait",
            "Faults", "PostgresConnections", "PostgresBlocked", "PostgresReplicaBehind",
        )  # fmt: skip
    site.nats.nodes["server-1"].kill()  # the others are sure of it after a while
    site.replica.stop()
    with hidden(site, "retros"):
        cut_off(site)
        expect(
            "CommitsFail", "HttpErrors", "FiguresMissing", "PostgresReplicaLost",
            meanwhile=lambda: site.get(f"/api/{story.PROJECT}/retros", status=503),
        )  # fmt: skip
    hold_up(site)
    expect("CommandsSlow", "CommitsSlow", "ReplaySlow", "WriterBusy", meanwhile=lambda: flood(site))
    with usurped(site):
        expect("ShardsUndecided")
    with unread(site):
        limit_stream(site)
        site.send(signal.SIGSTOP, "projector")
        site.kill("relay")
        site.kill("recall")
        asyncio.run(story.command(site))
        expect(
            "NatsSlowConsumers", "NatsUnhealthy", "StreamReplicasMissing", "JetStreamAlmostFull",
            "ProjectorBehind", "RelayBehind", "ServiceDown", "RecallDown",
        )  # fmt: skip
    site.kill("writer")
    site.start("writer")
    if site.disk is not None:
        site.disk.fill()
        expect("LogFull", "DiskAlmostFull", "DiskLow")
        site.disk.free()
    expect("ServiceRestarts")
    site.nats.kill()
    expect("NatsDown")
    site.postgres.stop()
    expect("PostgresDown")
    site.kill("gateway")
    expect("GatewayDown")
    disk = set() if site.disk else {"CoordctlLogFull", "CoordctlDiskAlmostFull", "CoordctlDiskLow"}
    assert {alert["alert"] for alert in alerts()} == {*fired, *disk}


def watching(prometheus: Prometheus) -> tuple[set[str], Callable[..., None]]:
    """The alerts that have fired so far, and a wait for those of these names."""
    fired: set[str] = set()

    def expect(*names: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        silent = {f"Coordctl{name}" for name in names}

        def all_fire() -> bool:
            meanwhile()
            fired.update(prometheus.firing())
            silent.difference_update(fired)
            return not silent

        eventually(all_fire, silent)

    return fired, expect


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


async def damage(site: Site) -> None:
    """Somebody writes an event into the log by hand, one that no writer would have decided."""
    event = {
        "entity": "project.max_agents", "actor": "operator", "at": datetime.now(UTC).isoformat(),
        "command_id": "by-hand", "data": {"scope": "project", "key": "max_agents", "new": "many"},
    }  # fmt: skip
    with psycopg.connect(site.postgres.url) as connection:
        connection.execute(
            "SELECT coord.append_events(ARRAY['torn'], ARRAY[1], ARRAY['setting.changed@1'], ARRAY[%s])",
            [json.dumps(event).encode()],
        )
    async with story.acting(site, "a1", "torn") as agent:
        with pytest.raises(Refused, match="has a fault"):
            await agent("agent.spawn", persona="plot")


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


@contextmanager
def usurped(site: Site) -> Iterator[None]:
    """Somebody takes a shard from the writer and does nothing with it."""
    with ThreadPoolExecutor() as threads, ExitStack() as stack:
        look, take = (
            stack.enter_context(psycopg.connect(site.postgres.url, autocommit=True)) for _ in range(2)
        )
        found = look.execute(SHARD).fetchone()
        assert found is not None
        kind, lot, pid = found

        def hold() -> None:
            take.execute("SELECT pg_advisory_lock(%s, %s)", (kind, lot))
            with suppress(psycopg.errors.QueryCanceled):
                take.execute("SELECT pg_sleep(60)")  # one that is silent would lose it

        holding = threads.submit(hold)
        look.execute("SELECT pg_terminate_backend(%s)", (pid,))
        yield
        take.cancel()
        holding.result()


def flood(site: Site) -> None:
    """More commands than the batch under way and the next one hold, while a commit hangs."""

    async def publishing() -> None:
        client = await connect(site.nats.url, "test")
        for number in range(MORE_THAN_TWO_BATCHES):
            task = json.dumps({"title": f"Leaf {number}"}).encode()
            await client.publish(f"coord.{story.OTHER}.cmd.operator.task.enqueue", task)
        await client.flush()
        await client.close()

    with psycopg.connect(site.postgres.url) as connection:
        connection.execute("LOCK TABLE coord.events IN EXCLUSIVE MODE")
        asyncio.run(publishing())
        time.sleep(HELD_S)
        connection.rollback()


@contextmanager
def unread(site: Site) -> Iterator[None]:
    """A subscriber does not read what is sent to it, until the server has had enough of that."""
    subscribed, goes_on = Event(), Event()
    url = site.nats.nodes["server-0"].url  # not where nobody is

    async def listening() -> None:
        client = await connect(url, "lazy")
        await client.subscribe("flood")
        await client.flush()
        subscribed.set()
        goes_on.wait()  # and the loop with it
        await disconnect(client)

    async def publishing() -> None:
        client = await connect(site.nats.url, "test")
        for _ in range(UNREAD_MESSAGES):
            await client.publish("flood", b"x" * MESSAGE_BYTES)
            await client.flush()
        await client.close()

    with ThreadPoolExecutor() as threads:
        listener = threads.submit(asyncio.run, listening())
        assert subscribed.wait(PATIENCE_S)
        asyncio.run(publishing())
        try:
            yield
        finally:
            goes_on.set()
            listener.result()


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
