"""The relay: whatever dies and whoever interferes, the stream holds the log's events once and in order."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo

from services.bus.connection import login
from services.bus.nats_client import ForgivingClient
from services.config import servers
from services.embedded import EmbeddedNats
from services.log.event_log import EventLog, LogConflict
from services.relay.publisher import Publisher, PublishRefused
from services.relay.publisher import connected as publishing
from services.relay.relay import STREAM, Relay, subject_of
from tests.services.nats_cluster import running_cluster

DEADLINE_S = 60.0
POLL_S = 0.02
PROGRAM = """
import asyncio, sys
from services.log.event_log import EventLog
from services.relay.relay import Relay
database, nats = sys.argv[1:]
asyncio.run(Relay(EventLog(database), database, nats).run(asyncio.Event()))
"""

Stored = tuple[int, int, int, str, bytes]
"""A message of the stream: previous position, position, sequence, subject, body."""


def append(log: EventLog, count: int, project: str = "p") -> None:
    """Append events in batches of all sizes; between them a refused one, which burns positions."""
    sequence, _ = log.project_head(project)
    last = sequence + count
    while sequence < last:
        size = min(random.choice([1, 3, 40, 700]), last - sequence)
        batch = [
            StoredEvent(project, n, "task.claimed@1", b'{"entity":"t.%d","data":{"n":%d}}' % (n, n))
            for n in range(sequence + 1, sequence + size + 1)
        ]
        log.append(batch)
        with pytest.raises(LogConflict):
            log.append(batch[:1])
        sequence += size


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, longer than a working relay ever needs."""
    deadline = time.monotonic() + DEADLINE_S
    while not await holds():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(POLL_S)


async def caught_up(log: EventLog, *relays: Relay) -> None:
    async def holds() -> bool:
        return max(relay.position for relay in relays) == log.head()

    await until(holds)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    async def ignore(_: Exception) -> None:
        """Servers are killed here on purpose."""

    client = ForgivingClient()
    await client.open(
        servers(url), **login(url), max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=ignore
    )
    try:
        yield client
    finally:
        await client.close()


async def info_of(client: Client) -> StreamInfo | None:
    """The stream as it is; None when it or its server cannot be asked."""
    try:
        return await client.jetstream(timeout=2).stream_info(STREAM)
    except NatsError:
        return None


async def replicas(client: Client) -> int | None:
    info = await info_of(client)
    assert info is not None
    return info.config.num_replicas


async def stores(client: Client, count: int) -> None:
    """Wait until the stream has that many messages."""

    async def holds() -> bool:
        info = await info_of(client)
        return info is not None and info.state.messages >= count

    await until(holds)


async def pester(client: Client, log: EventLog, appending: asyncio.Task[None], *relays: Relay) -> None:
    """Publish what is no event where only events belong, until the relays have caught up all the same."""

    async def holds() -> bool:
        await client.publish("coord.p.evt.not.an.event", b"{}")
        return appending.done() and max(relay.position for relay in relays) == log.head()

    await until(holds)


async def kill(server: EmbeddedNats) -> None:
    async def gone() -> bool:
        return not server.is_running()

    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until(gone)


async def messages_of_relay(client: Client) -> list[Stored]:
    info = await info_of(client)
    assert info is not None
    subscription = await client.jetstream().subscribe("coord.>", stream=STREAM, ordered_consumer=True)
    found: list[Stored] = []
    for _ in range(info.state.messages):
        message = await subscription.next_msg(DEADLINE_S)
        headers = message.headers or {}
        if "Coord-Position" in headers:
            previous, position, sequence = (
                int(headers[name]) for name in ("Coord-Previous", "Coord-Position", "Coord-Sequence")
            )
            found.append((previous, position, sequence, message.subject, message.data))
    await subscription.unsubscribe()
    return found


async def assert_complete(log: EventLog, client: Client) -> None:
    """The stream has exactly the log's events, in its order, each saying which one it follows."""
    rows = log.read(0, 1_000_000)
    before = [0, *(row[0] for row in rows)]
    expected = [
        (previous, position, sequence, f"coord.{project}.evt.task.claimed.t.{sequence}", body)
        for previous, (position, project, sequence, _, body) in zip(before, rows, strict=False)
    ]
    assert await messages_of_relay(client) == expected


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(relay.run(stop)) for relay in relays]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@contextmanager
def relay_process(database_url: str, nats_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A relay in a process of its own, killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, database_url, nats_url])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_every_event_is_published_once_and_in_order(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        relay = Relay(log, database_url, fresh_nats.url)
        append(log, 1_500)
        async with connected(fresh_nats.url) as client, running(relay):
            await caught_up(log, relay)
            await asyncio.to_thread(append, log, 500)
            await asyncio.to_thread(append, log, 5, "q")
            await caught_up(log, relay)
            assert relay.leading
            assert relay.published_at is not None
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_a_paused_relay_is_replaced_and_does_no_harm_when_it_goes_on(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        async with connected(fresh_nats.url) as client:
            with relay_process(database_url, fresh_nats.url) as paused:
                append(log, 1_000)
                await stores(client, 1_000)
                paused.send_signal(signal.SIGSTOP)
                append(log, 1_000)
                with relay_process(database_url, fresh_nats.url):
                    await stores(client, 2_000)
                    paused.send_signal(signal.SIGCONT)
                    append(log, 3_000)
                    await stores(client, 5_000)
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_relays_killed_at_any_moment_lose_and_repeat_nothing(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        count = 12_000
        async with connected(fresh_nats.url) as client:
            appending = asyncio.create_task(asyncio.to_thread(append, log, count))
            for number in range(1, 5):
                with relay_process(database_url, fresh_nats.url):
                    await stores(client, number * 2_000 + random.randrange(1_500))
            with relay_process(database_url, fresh_nats.url):
                await appending
                await stores(client, count)
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_a_nats_server_killed_at_any_moment_costs_no_event(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        count = 9_000
        relay = Relay(log, database_url, fresh_nats.url)
        async with connected(fresh_nats.url) as client, running(relay):
            appending = asyncio.create_task(asyncio.to_thread(append, log, count))
            for number in range(1, 4):
                await stores(client, number * 2_000 + random.randrange(1_500))
                await kill(fresh_nats)
                await asyncio.to_thread(fresh_nats.start)
            await appending
            await caught_up(log, relay)
            await stores(client, count)
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_a_relay_without_a_nats_server_can_be_stopped(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async def failed() -> bool:
            return "the relay stopped" in caplog.text

        append(log, 10)
        fresh_nats.stop()
        relay = Relay(log, database_url, fresh_nats.url)
        async with running(relay):
            await until(failed)
        assert relay.position == 0

    asyncio.run(scenario())


def test_a_lost_stream_is_filled_again_from_the_first_event(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        append(log, 2_000)
        relay = Relay(log, database_url, fresh_nats.url)
        async with connected(fresh_nats.url) as client, running(relay):
            await caught_up(log, relay)
            await client.jetstream().delete_stream(STREAM)
            await stores(client, 2_000)
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_a_relay_standing_by_takes_over(log: EventLog, database_url: str, fresh_nats: EmbeddedNats) -> None:
    async def scenario() -> None:
        first, second = (Relay(log, database_url, fresh_nats.url) for _ in range(2))
        append(log, 1_000)
        async with connected(fresh_nats.url) as client:
            async with running(first):
                await caught_up(log, first)
                task = asyncio.create_task(second.run(stop := asyncio.Event()))
                await asyncio.to_thread(append, log, 1_000)
                await caught_up(log, first)
                assert (first.leading, second.leading, second.position) == (True, False, 0)
            await asyncio.to_thread(append, log, 1_000)
            await caught_up(log, second)
            assert (first.leading, second.leading) == (False, True)
            stop.set()
            await task
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_what_others_slip_into_the_stream_displaces_no_event(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        relay = Relay(log, database_url, fresh_nats.url)
        async with connected(fresh_nats.url) as client, running(relay):
            await stores(client, 0)
            appending = asyncio.create_task(asyncio.to_thread(append, log, 6_000))
            await pester(client, log, appending, relay)
            await assert_complete(log, client)

    asyncio.run(scenario())


def test_a_relay_that_has_been_overtaken_repeats_nothing(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def scenario() -> None:
        append(log, 20)
        rows = log.read(0, 20)
        async with connected(fresh_nats.url) as client:
            async with publishing(fresh_nats.url) as overtaken, publishing(fresh_nats.url) as leading:
                publishers = [Publisher(connection, replicas=1) for connection in (overtaken, leading)]
                for publisher in publishers:
                    assert await publisher.resume() is None
                await publishers[1].publish(rows, 0)
                await forgotten(client)
                with pytest.raises(PublishRefused):
                    await publishers[0].publish(rows, 0)
            await assert_complete(log, client)

    async def forgotten(client: Client) -> None:
        """Wait until the server no longer recognises the ids it has seen, as after a long pause."""

        async def holds() -> bool:
            ack = await client.jetstream().publish("coord.p.evt.x.y.z", headers={"Nats-Msg-Id": "probe"})
            return not ack.duplicate

        await holds()
        await until(holds)

    asyncio.run(scenario())


def test_a_stream_of_another_log_is_left_alone(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        relay = Relay(log, database_url, fresh_nats.url)
        async with connected(fresh_nats.url) as client:
            append(log, 10)
            async with running(relay):
                await caught_up(log, relay)
            before = await messages_of_relay(client)
            restored = EventLog(database_url)
            with restored.datastore.get_connection() as connection:
                connection.execute("TRUNCATE coord.events RESTART IDENTITY")
            append(log, 40, "another")

            async def refused() -> bool:
                return "coordctl stream rebuild" in caplog.text

            async with running(Relay(restored, database_url, fresh_nats.url)):
                await until(refused)
            restored.close()
            assert await messages_of_relay(client) == before

    asyncio.run(scenario())


def test_a_replicated_stream_is_complete_too_whatever_others_slip_in(
    log: EventLog, database_url: str, data: Path
) -> None:
    async def scenario(url: str) -> None:
        relays = [Relay(log, database_url, url, replicas=3) for _ in range(2)]
        async with running(*relays):
            append(log, 2_000)
            await caught_up(log, *relays)
            async with connected(url) as client:
                appending = asyncio.create_task(asyncio.to_thread(append, log, 4_000))
                await pester(client, log, appending, *relays)
                assert await replicas(client) == 3
                await assert_complete(log, client)

    with running_cluster(data) as cluster:
        asyncio.run(scenario(cluster.url))


def test_more_replicas_are_made_when_asked_for_and_fewer_are_not(
    log: EventLog, database_url: str, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(url: str) -> None:
        async with connected(url) as client:
            for asked, kept in ((1, 1), (3, 3), (1, 3), (5, 3)):
                relay = Relay(log, database_url, url, replicas=asked)
                async with running(relay):
                    append(log, 300)
                    await caught_up(log, relay)
                assert await replicas(client) == kept
            await assert_complete(log, client)

    with running_cluster(data) as cluster:
        asyncio.run(scenario(cluster.url))
    assert "stays at 3 replicas, not 5" in caplog.text


@given(project=st.text(), event=st.text(), entity=st.text())
def test_whatever_an_entity_is_called_the_subject_is_valid(project: str, event: str, entity: str) -> None:
    tokens = subject_of(project, f"{event}@1", entity).split(".")
    assert (tokens[0], tokens[2]) == ("coord", "evt")
    assert all(token and set(token) <= SAFE for token in tokens)


def test_the_parts_of_an_entity_stay_parts_of_the_subject() -> None:
    assert subject_of("novel", "task.claimed@1", "bd-1dez.3") == "coord.novel.evt.task.claimed.bd-1dez.3"
    assert subject_of("novel", "task.claimed@1", "*.a b.>") == "coord.novel.evt.task.claimed._.a_b._"


SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
