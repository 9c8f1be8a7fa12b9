"""A stream made anew: filled by the relay, whole and in order, whatever was in it before."""

import asyncio

import pytest
from nats.js.errors import NotFoundError

from services.audit.audit import Check
from services.embedded import EmbeddedNats
from services.errors import Unavailable
from services.log.event_log import EventLog
from services.relay.refill import NoRelay, rebuild_stream
from services.relay.relay import Relay
from services.relay.stream import STREAM, SUBJECTS, stream_config
from tests.services.sample import append, stores
from tests.services.test_audit import jetstream

IMPATIENT_S = 0.3


def test_a_stream_of_something_else_becomes_the_log_again(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    append(log, "p", stores(700))
    append(log, "q", stores(700))
    told: list[int] = []

    async def run() -> Check:
        relay, stop = Relay(log, database_url, fresh_nats.url), asyncio.Event()
        async with jetstream(fresh_nats.url) as stream:
            await stream.add_stream(stream_config(1))
            await stream.publish("coord.p.evt.item.stored.x", b"{}", headers={"Coord-Position": "9000"})
            await stream.pull_subscribe(SUBJECTS, "listener", stream=STREAM)
            relaying = asyncio.create_task(relay.run(stop))
            check = await rebuild_stream(log, fresh_nats.url, told.append)
            stop.set()
            await relaying
            assert await stream.consumers_info(STREAM) == []
            return check

    check = asyncio.run(run())
    assert (check.ok, check.events) == (True, 1_400)
    assert check.found == "1400 messages are the log's events, in order."
    assert sum(told) == log.head()


def test_without_a_relay_or_a_server_it_says_what_is_lacking(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(3))

    async def run() -> None:
        async with jetstream(fresh_nats.url) as stream:
            await stream.add_stream(stream_config(1))
            with pytest.raises(NoRelay, match="start one"):
                await rebuild_stream(log, fresh_nats.url, lambda _: None, relay_timeout_s=IMPATIENT_S)
            with pytest.raises(NotFoundError):
                await stream.stream_info(STREAM)

    asyncio.run(run())
    with pytest.raises(Unavailable):
        asyncio.run(rebuild_stream(log, "nats://127.0.0.1:9", lambda _: None))
