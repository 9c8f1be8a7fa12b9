"""The audit: what agrees is said to, and what differs is found and named, in log, stream and read models."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from domain.errors import UnknownProject
from services.audit.audit import Check, audit_log, audit_read_models, audit_stream
from services.bus.connection import connect
from services.embedded import EmbeddedNats
from services.errors import Unavailable
from services.log.codec import Row
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import connected
from services.relay.relay import Relay
from services.relay.stream import STREAM, headers_of, stream_config, subject_for
from tests.services.sample import ALL, CODEC, Taken, append, stores
from tests.services.test_transfer import exported

IMPATIENT_S = 0.2
DEADLINE_S = 60.0


@asynccontextmanager
async def jetstream(url: str) -> AsyncIterator[JetStreamContext]:
    client = await connect(url, "test")
    try:
        yield client.jetstream()
    finally:
        await client.close()


def open_config(**changes: object) -> StreamConfig:
    """The stream as an operator may have made it, from which messages can be taken."""
    return stream_config(1).evolve(deny_delete=False, deny_purge=False, **changes)


async def publish(stream: JetStreamContext, rows: Sequence[Row]) -> None:
    """Fill the stream with these events, as the relay does."""
    before = 0
    for row in rows:
        await stream.publish(subject_for(row), row[4], headers=headers_of(row, before))
        before = row[0]


def audit_filled(log: EventLog, url: str, rows: Sequence[Row], **changes: object) -> Check:
    """The audit of a stream that holds these events and gets no more."""

    async def run() -> Check:
        async with jetstream(url) as stream:
            await stream.add_stream(open_config(**changes))
            await publish(stream, rows)
        return await audit_stream(log, url, IMPATIENT_S)

    return asyncio.run(run())


def log_of(log: EventLog, project: str) -> Check:
    return audit_log(log, CODEC, project, lambda _: None)


def test_a_whole_log_is_told_with_the_hash_that_its_export_has(log: EventLog, tmp_path: Path) -> None:
    append(log, "q", stores(3))
    append(log, "p", stores(9))
    check = log_of(log, "p")
    assert (check.ok, check.events) == (True, 9)
    assert check.hash == exported(log, "p", tmp_path / "log").hash


def test_a_gap_in_the_log_is_named(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(9))
    with connected(database_url) as connection:
        connection.execute("DELETE FROM coord.events WHERE originator_version = 4")
    assert log_of(log, "p").found == "#4 is missing: after #3 comes #5, at position 5."
    with connected(database_url) as connection:
        connection.execute("DELETE FROM coord.events WHERE originator_version < 4")
    check = log_of(log, "p")
    assert (check.ok, check.found) == (False, "#1 is missing: the first event is #5, at position 5.")


def test_what_is_wrong_with_an_event_in_the_log_is_named(log: EventLog) -> None:
    append(log, "p", stores(2))
    first, second = log.read_project("p", 0)
    log.append([StoredEvent("unreadable", 1, first[3], b'{"at":1}')])
    log.append([StoredEvent("unknown", 1, "item.flew@1", first[4])])
    log.append([StoredEvent("back", 1, *second[3:]), StoredEvent("back", 2, *first[3:])])
    for project, says in {
        "unreadable": "the body of #1 is not that of item.stored@1",
        "unknown": "#1 is item.flew@1",
        "back": "#2 happened at 2026-03-01T12:00:01+00:00, before #1",
    }.items():
        check = log_of(log, project)
        assert (check.ok, check.found[: len(says)]) == (False, says)
    with pytest.raises(UnknownProject):
        log_of(log, "nobody")


def test_the_read_models_are_compared_with_a_replay(log: EventLog, database_url: str) -> None:
    append(log, "p", [*stores(9), Taken(item="item-8")])
    Projector(log, CODEC, database_url, ALL).catch_up()
    assert audit_read_models(log, CODEC, database_url, ALL).ok
    with connected(database_url) as connection:
        connection.execute("UPDATE coord.items_v1 SET shelf = 'wrong' WHERE item = 'item-3'")
    check = audit_read_models(log, CODEC, database_url, ALL)
    assert not check.ok
    assert check.found == (
        "shelf of items p/item-3 is 'wrong' in the table and 'shelf-3' by the log;"
        " `coordctl projection rebuild items` builds it anew."
    )
    with connected(database_url) as connection:
        connection.execute("DELETE FROM coord.items_v1 WHERE item = 'item-3'")
    assert "row items p/item-3 is there by the log" in audit_read_models(log, CODEC, database_url, ALL).found


def test_a_stream_that_the_relay_filled_is_the_log(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    append(log, "p", stores(700))
    append(log, "q", stores(700))

    async def run() -> Check:
        relay, stop = Relay(log, database_url, fresh_nats.url), asyncio.Event()
        async with jetstream(fresh_nats.url) as stream:
            await stream.add_stream(stream_config(1))
            auditing = asyncio.create_task(audit_stream(log, fresh_nats.url, DEADLINE_S))
            relaying = asyncio.create_task(relay.run(stop))
            check = await auditing  # it waits for the relay, which comes late
            stop.set()
            await relaying
            assert await stream.consumers_info(STREAM) == []
            return check

    check = asyncio.run(run())
    assert (check.ok, check.events) == (True, 1_400)
    assert check.found == "1400 messages are the log's events, in order."


def test_a_message_that_the_stream_lacks_is_named(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(9))
    rows = log.read_project("p", 0)
    check = audit_filled(log, fresh_nats.url, [*rows[:4], *rows[5:]])
    assert (check.ok, check.found) == (False, "The stream lacks position 5, #5 of p, item.stored@1.")


def test_a_message_that_was_deleted_is_named(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(9))
    assert audit_filled(log, fresh_nats.url, log.read(0, 100)).ok

    async def delete(sequence: int) -> Check:
        async with jetstream(fresh_nats.url) as stream:
            await stream.delete_msg(STREAM, sequence)
        return await audit_stream(log, fresh_nats.url, IMPATIENT_S)

    check = asyncio.run(delete(9))
    assert not check.ok
    assert check.found.startswith(
        "The stream ends with position 8, and the log with 9; nothing came for 0.2 s"
    )
    check = asyncio.run(delete(6))
    assert (check.ok, check.found) == (False, "The stream lacks position 6, #6 of p, item.stored@1.")


def test_what_the_limits_of_the_stream_discarded_is_said(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(9))
    check = audit_filled(log, fresh_nats.url, log.read(0, 100), max_msgs=4)
    assert (check.ok, check.events) == (True, 4)
    assert check.found.endswith("; 5 events were discarded by the stream's limits.")


def audit_emptied(log: EventLog, url: str, **limits: object) -> Check:
    """What is said of a stream that had all events and has none any more."""

    async def run() -> Check:
        async with jetstream(url) as stream:
            await stream.add_stream(open_config(**limits))
            await publish(stream, log.read(0, 100))
            await stream.purge_stream(STREAM)
        return await audit_stream(log, url, IMPATIENT_S)

    return asyncio.run(run())


def test_a_stream_whose_limits_discarded_all_is_in_order(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(9))
    check = audit_emptied(log, fresh_nats.url, max_age=3600)
    assert (check.ok, check.events) == (True, 0)
    assert "; 9 events were discarded" in check.found


def test_a_stream_without_limits_discards_nothing(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(9))
    check = audit_emptied(log, fresh_nats.url)
    assert not check.ok
    assert check.found.startswith("The stream ends with position 0, and the log with 9")


def test_limits_for_each_subject_discard_from_the_middle(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", [*stores(3), *stores(2)])
    check = audit_filled(log, fresh_nats.url, log.read(0, 100), max_msgs_per_subject=1)
    assert (check.ok, check.events) == (True, 3)
    assert "; 2 events were discarded" in check.found


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {4: b'{"entity":"item-4","at":1}'},
            "Message 5 of the stream, position 5, #5 of p, has another body",
        ),
        ({1: "q"}, "Message 5 of the stream, position 5, #5 of p, has another subject"),
        ({2: 77}, "Message 5 of the stream, position 5, #5 of p, has another Coord-Sequence"),
        ({0: 100}, "The stream lacks position 5"),
    ],
)
def test_a_message_that_is_not_the_event_of_the_log_is_named(
    log: EventLog, fresh_nats: EmbeddedNats, changed: dict[int, object], says: str
) -> None:
    append(log, "p", stores(9))
    rows = log.read_project("p", 0)
    fields = [changed.get(place, value) for place, value in enumerate(rows[4])]
    rows[4] = (fields[0], fields[1], fields[2], fields[3], fields[4])  # type: ignore[assignment]  # damaged on purpose
    check = audit_filled(log, fresh_nats.url, rows)
    assert not check.ok
    assert check.found.startswith(says)


def test_a_repeated_message_is_named(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    append(log, "p", stores(4))
    rows = log.read_project("p", 0)
    check = audit_filled(log, fresh_nats.url, [*rows[:3], rows[1], rows[3]])
    assert check.found == "Message 4 of the stream is position 2, and the log has position 4 there."


def test_a_stream_that_is_ahead_of_the_log_is_named(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    append(log, "p", stores(9))
    rows = log.read_project("p", 0)
    with connected(database_url) as connection:  # as after restoring an older backup
        connection.execute("DELETE FROM coord.events WHERE originator_version > 7")
    check = audit_filled(log, fresh_nats.url, rows)
    assert check.found == "Message 8 of the stream is position 8, and the log has no event there."


def test_messages_of_others_displace_no_event_and_are_counted(
    log: EventLog, fresh_nats: EmbeddedNats
) -> None:
    append(log, "p", stores(4))

    async def run() -> Check:
        async with jetstream(fresh_nats.url) as stream:
            await stream.add_stream(open_config())
            await stream.publish("coord.p.evt.not.an.event", b"{}")
            await publish(stream, log.read(0, 100))
            await stream.publish("coord.p.evt.not.an.event", b"{}")
        return await audit_stream(log, fresh_nats.url, IMPATIENT_S)

    check = asyncio.run(run())
    assert (check.ok, check.events) == (True, 4)
    assert check.found.endswith("; not the relay's: 2.")


def test_without_a_stream_or_a_server_it_says_so(log: EventLog, fresh_nats: EmbeddedNats) -> None:
    assert asyncio.run(audit_stream(log, fresh_nats.url)).ok  # nothing has happened yet
    append(log, "p", stores(1))
    check = asyncio.run(audit_stream(log, fresh_nats.url))
    assert (check.ok, check.found[:35]) == (False, "There is no stream COORD_EVENTS; th")
    with pytest.raises(Unavailable):
        asyncio.run(audit_stream(log, "nats://127.0.0.1:9"))
