"""Servers that hang, are full or away: what callers are told, and that all goes on by itself afterwards."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.bus import caller
from services.bus.caller import Answer, Caller, Refused
from services.bus.link import Link
from services.embedded import EmbeddedNats, EmbeddedPostgres
from services.health import health, standing
from services.log import event_log as log_module
from services.log.database import ImpatientConnection, LogUnavailable, connect
from services.log.event_log import EventLog
from services.relay.relay import STREAM, Relay
from services.writer import batch, inbox
from tests.services.disk import Disk, small_disk
from tests.services.hanging import held_still
from tests.services.running import events, names, writing
from tests.services.sample import append, stores

WAIT_S = 30
POLL_S = 0.05
LARGE_BYTES = 50_000


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a silent database."""
    monkeypatch.setattr(ImpatientConnection, "silence_s", 0.5)
    monkeypatch.setattr(log_module, "_POOL_TIMEOUT_S", 0.5)


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers wait for an answer as long as a busy machine takes."""
    monkeypatch.setattr(caller, "ATTEMPT_TIMEOUT_S", WAIT_S)


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for something to be so."""
    async with asyncio.timeout(WAIT_S):
        while not (found := await holds()):  # noqa: ASYNC110  # what is waited for is elsewhere
            await asyncio.sleep(POLL_S)
    return found


async def enqueue(asker: Caller, number: int, text: str = "x") -> Answer:
    """The command of this number: asked again, it has the same id."""
    return await asker.ask("task.enqueue", {"title": f"{number}", "input": text}, command_id=f"c{number}")


async def refusal(asking: Awaitable[Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        await asking
    return caught.value


def asked_once(url: str) -> Caller:
    """A caller that takes the first answer."""
    return Caller(url, "main", "op", patience_s=0)


@pytest.mark.usefixtures("hurried")
def test_a_connection_gives_up_on_a_database_that_hangs_and_not_on_one_that_works(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    with connect(database_url, impatient=True) as connection:
        with (
            held_still(postgres_server.pid),
            pytest.raises(psycopg.OperationalError, match="no answer within"),
        ):
            connection.execute("SELECT 1")
        assert connection.closed
    with connect(database_url, impatient=True) as connection:
        assert list(connection.notifies(timeout=1.0)) == []  # to wait for news is no silence
        (rows,) = connection.execute("SELECT count(*) FROM generate_series(1, 100000)").fetchall()
        assert rows == (100_000,)


@pytest.mark.usefixtures("hurried")
def test_the_log_of_a_database_that_hangs_is_unavailable_until_it_goes_on(
    postgres_server: EmbeddedPostgres, log: EventLog
) -> None:
    assert log.head() == 0
    with held_still(postgres_server.pid), pytest.raises(LogUnavailable):
        log.head()
    assert log.head() == 0


@pytest.mark.usefixtures("hurried", "one_attempt")
def test_callers_of_a_database_that_hangs_are_told_when_to_ask_again_and_then_get_their_answer(
    postgres_server: EmbeddedPostgres, database_url: str, nats_url: str
) -> None:
    async def story() -> None:
        async with (
            writing(database_url, nats_url) as log,
            asked_once(nats_url) as op,
            Caller(nats_url, "main", "op") as patient,
        ):
            before = await enqueue(op, 1)
            with held_still(postgres_server.pid):
                told = await refusal(enqueue(op, 2))
            assert told.code == "unavailable"
            assert told.retryable
            assert told.facts["retry_after_s"] > 0
            assert "The log does not answer now" in str(told)

            after = await enqueue(patient, 2)
            assert await enqueue(patient, 1) == before
            assert await enqueue(patient, 2) == after
            assert names(log) == ["task.enqueued", "task.enqueued"]

    asyncio.run(story())


@pytest.mark.usefixtures("one_attempt")
def test_more_requests_than_may_wait_are_told_to_come_again(
    postgres_server: EmbeddedPostgres, database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX_REQUESTS", 2)
    monkeypatch.setattr(batch, "MAX_BATCH_REQUESTS", 1)

    async def story() -> None:
        async with (
            writing(database_url, nats_url) as log,
            asked_once(nats_url) as op,
            Caller(nats_url, "main", "op") as patient,
        ):
            await enqueue(op, 0)
            with held_still(postgres_server.pid):
                asked = [asyncio.create_task(enqueue(op, number)) for number in range(1, 9)]
                told = await refusal(first_refused(asked))
            assert told.code == "busy"
            assert told.facts["retry_after_s"] > 0
            await asyncio.gather(*asked, return_exceptions=True)
            for number in range(1, 9):
                await enqueue(patient, number)
            assert len(names(log)) == 9

    asyncio.run(story())


async def first_refused(asked: list[asyncio.Task[Answer]]) -> None:
    """Raise what the first that is answered was refused with."""
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
    for each in done:
        each.result()


@pytest.fixture
def disk(data: Path) -> Iterator[Disk]:
    with small_disk(data, 200) as disk:
        yield disk


@pytest.mark.usefixtures("one_attempt")
def test_a_full_disk_stops_commands_with_a_clear_error_and_loses_nothing(disk: Disk, nats_url: str) -> None:
    server = EmbeddedPostgres(disk.path)
    server.start()

    async def story() -> None:
        async with (
            writing(server.url, nats_url) as log,
            asked_once(nats_url) as op,
            Caller(nats_url, "main", "op") as patient,
        ):
            acknowledged = [await enqueue(op, 0)]

            async def enqueue_on() -> None:
                while True:
                    text = os.urandom(LARGE_BYTES).hex()
                    acknowledged.append(await enqueue(op, len(acknowledged), text))

            disk.fill()
            told, refused = await refusal(enqueue_on()), len(acknowledged)
            assert told.code == "log_full"
            assert told.retryable
            assert told.facts["retry_after_s"] > 0
            assert "no room left" in str(told)
            assert "nothing was changed" in str(told)

            assert [each.sequence for each in events(log)] == [answer.sequence for answer in acknowledged]
            assert (await refusal(enqueue(op, refused))).code == "log_full"
            link = Link(nats_url, "test")
            await link.connect(patient=False)
            found = await health.check(server.url, link)
            assert "no room" in found.parts["postgres"].why
            assert found.standing is not None
            assert found.standing.head == acknowledged[-1].position

            disk.free()
            acknowledged.append(await enqueue(patient, refused))
            assert [await enqueue(patient, number) for number in range(refused + 1)] == acknowledged
            assert [each.sequence for each in events(log)] == [answer.sequence for answer in acknowledged]
            assert standing.look(server.url).full == ""
            await link.close()

    try:
        asyncio.run(story())
    finally:
        server.stop()


def test_a_caller_outlives_an_absence_of_nats_and_its_command_is_done_once(
    database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def story() -> None:
        async with (
            writing(database_url, fresh_nats.url) as log,
            Caller(fresh_nats.url, "main", "op", patience_s=WAIT_S) as op,
        ):
            await enqueue(op, 1)
            await asyncio.to_thread(fresh_nats.stop)
            asking = asyncio.create_task(enqueue(op, 2))
            lost = Link(fresh_nats.url, "test")
            for _ in range(3):  # as long as it takes to be refused some times
                with pytest.raises(Exception, match="NATS does not answer"):
                    await lost.connect(patient=False)
            await asyncio.to_thread(fresh_nats.start)
            await asking
            assert names(log) == ["task.enqueued", "task.enqueued"]

    asyncio.run(story())


def test_a_full_stream_stops_the_relay_with_a_reason_until_there_is_room(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def story() -> None:
        relay, stop = Relay(log, database_url, fresh_nats.url), asyncio.Event()
        running = asyncio.create_task(relay.run(stop))
        link = Link(fresh_nats.url, "test")
        jetstream = (await link.connect(patient=False)).jetstream()
        try:
            append(log, "main", stores(1))
            await until(lambda: reached(relay, log))
            config = (await jetstream.stream_info(STREAM)).config
            await jetstream.update_stream(config.evolve(max_bytes=1_000, discard="new"))
            append(log, "main", stores(20, first=1))
            await until(lambda: complains(relay, "maximum bytes exceeded"))

            await jetstream.update_stream(config)
            await until(lambda: reached(relay, log))
            assert relay.trouble == ""
            assert (await jetstream.stream_info(STREAM)).state.messages == 21
        finally:
            stop.set()
            await running
            await link.close()

    asyncio.run(story())


async def reached(relay: Relay, log: EventLog) -> bool:
    return relay.position == log.head() and relay.trouble == ""


async def complains(relay: Relay, words: str) -> bool:
    return words in relay.trouble


@pytest.mark.usefixtures("hurried")
def test_readiness_says_in_words_which_server_hangs(
    postgres_server: EmbeddedPostgres, database_url: str, fresh_nats: EmbeddedNats, log: EventLog
) -> None:
    async def wrong() -> dict[str, str]:
        found = await health.check(f"{database_url}&connect_timeout=2", link)
        return {name: part.why for name, part in found.parts.items() if not part.ok}

    link = Link(fresh_nats.url, "test")

    async def story() -> None:
        await link.connect(patient=False)
        with held_still(postgres_server.pid):
            down = await wrong()
            assert "timeout" in down["postgres"]
            assert down["relay"] == "cannot be told without postgres"
            assert "nats" not in down
        with held_still(fresh_nats.pid):
            down = await wrong()
            assert "does not answer in time" in down["nats"]
            assert down["writer"] == "cannot be told without nats"
            assert "postgres" not in down
        assert not {"postgres", "nats"} & (await wrong()).keys()
        await link.close()

    asyncio.run(story())
