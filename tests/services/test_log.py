"""The log: order, the fence between writers, waiting, points in time, and what failures look like."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.messages import Context, Event
from services.log.codec import Codec, UnknownEvent, UnreadableEvent
from services.log.event_log import (
    EventLog,
    Leadership,
    LogConflict,
    LogMissing,
    LogTail,
    LogUnavailable,
    UnknownSequence,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_S = 30.0
"""A wait that a working log never waits out."""


def event(sequence: int, project: str = "p", at: datetime = NOON) -> StoredEvent:
    return StoredEvent(project, sequence, "thing.done@1", msgspec.json.encode({"entity": "e", "at": at}))


def events(first: int, last: int, project: str = "p") -> list[StoredEvent]:
    return [event(sequence, project) for sequence in range(first, last + 1)]


def cut_all_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


class TestAppendAndRead:
    def test_positions_come_back_in_the_order_of_the_events(self, log: EventLog) -> None:
        positions = log.append([*events(1, 3), event(1, "q"), *events(4, 5)])
        assert positions == sorted(set(positions))
        rows = log.read(0, 100)
        assert [row[0] for row in rows] == positions
        assert [row[1:3] for row in rows] == [("p", 1), ("p", 2), ("p", 3), ("q", 1), ("p", 4), ("p", 5)]

    def test_a_stored_event_is_read_as_it_was_written(self, log: EventLog) -> None:
        stored = StoredEvent("p", 1, "thing.done@3", '{"entity":"ü\\u0000\'\\\\"}'.encode())
        (position,) = log.append([stored])
        assert log.read(0, 1) == [(position, "p", 1, stored.topic, stored.state)]

    def test_reading_stops_at_the_limit_and_at_the_position_asked_for(self, log: EventLog) -> None:
        positions = log.append(events(1, 10))
        assert [row[0] for row in log.read(positions[1], 3)] == positions[2:5]
        assert [row[0] for row in log.read(positions[1], 100, until=positions[4])] == positions[2:5]

    def test_a_project_is_read_alone(self, log: EventLog) -> None:
        log.append([e for n in range(1, 6) for e in (event(n), event(n, "q"))])
        middle = log.at_sequence("q", 2)
        assert [row[1:3] for row in log.read(middle, 100, project="q")] == [("q", 3), ("q", 4), ("q", 5)]
        assert [row[2] for row in log.read_project("q", 1, middle)] == [2]
        assert [row[2] for row in log.read_at("q", [4, 1, 9])] == [1, 4]

    def test_heads_and_projects(self, log: EventLog) -> None:
        assert (log.head(), log.project_head("p"), log.projects()) == (0, (0, 0), [])
        positions = log.append([*events(1, 3, "b"), *events(1, 2, "a")])
        assert log.head() == positions[-1]
        assert log.project_head("b") == (3, positions[2])
        assert log.projects() == ["a", "b"]

    def test_appending_nothing_is_allowed(self, log: EventLog) -> None:
        assert log.append([]) == []

    def test_creating_the_tables_again_keeps_the_events(self, log: EventLog) -> None:
        log.append(events(1, 3))
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda _: log.create_tables(), range(4)))
        assert len(log.read(0, 100)) == 3


class TestWriters:
    def test_a_second_writer_of_a_sequence_is_refused_whole(self, log: EventLog) -> None:
        log.append(events(1, 3))
        with pytest.raises(LogConflict) as refused:
            log.append([event(1, "q"), *events(3, 4)])
        assert refused.value.retryable
        assert [row[1:3] for row in log.read(0, 100)] == [("p", 1), ("p", 2), ("p", 3)]

    def test_positions_burnt_by_a_refused_append_are_no_missing_events(self, log: EventLog) -> None:
        first = log.append(events(1, 2))
        with pytest.raises(LogConflict):
            log.append(events(2, 3))
        after = log.append(events(3, 4))
        assert after[0] > first[-1] + 1
        assert [row[2] for row in log.read(first[0], 100)] == [2, 3, 4]

    def test_readers_skip_nothing_while_others_append(self, log: EventLog, database_url: str) -> None:
        projects, batches, size = [f"p{n}" for n in range(4)], 60, 25
        done = threading.Event()

        def write(project: str) -> None:
            writer = EventLog(database_url, pool_connections=1)
            for batch in range(batches):
                writer.append(events(batch * size + 1, (batch + 1) * size, project))
            writer.close()

        def follow() -> list[Any]:
            seen: list[Any] = []
            while True:
                finished = done.is_set()
                rows = log.read(seen[-1][0] if seen else 0, 7)
                seen += rows
                if finished and not rows:
                    return seen

        with ThreadPoolExecutor() as threads:
            reader = threads.submit(follow)
            list(threads.map(write, projects))
            done.set()
            seen = reader.result()
        assert seen == log.read(0, 100_000)
        for project in projects:
            assert [row[2] for row in seen if row[1] == project] == list(range(1, batches * size + 1))


class TestWaiting:
    def test_what_is_there_already_is_not_waited_for(self, log: EventLog) -> None:
        (position,) = log.append([event(1)])
        assert log.wait_past(position - 1, LONG_S)

    def test_waiting_ends_without_events(self, log: EventLog) -> None:
        (position,) = log.append([event(1)])
        assert not log.wait_past(position, 0.05)

    def test_an_append_wakes_who_waits(self, log: EventLog, database_url: str) -> None:
        tail = LogTail(database_url)
        (position,) = log.append([event(1)])
        with ThreadPoolExecutor() as threads:
            woken = threads.submit(tail.wait_past, position, LONG_S)
            log.append([event(2)])
            assert woken.result()
        tail.close()

    def test_a_lost_connection_is_made_anew(self, log: EventLog, database_url: str) -> None:
        tail = LogTail(database_url)
        (position,) = log.append([event(1)])
        assert tail.wait_past(0, LONG_S)
        cut_all_connections(database_url)
        with ThreadPoolExecutor() as threads:
            woken = threads.submit(tail.wait_past, position, LONG_S)
            with EventLog(database_url).datastore as datastore, datastore.get_connection() as connection:
                connection.execute("SELECT coord.append_events('{p}', '{2}', '{t@1}', '{x}')")
            assert woken.result()
        tail.close()

    @pytest.mark.usefixtures("log")
    def test_closing_ends_the_waiting(self, database_url: str) -> None:
        tail = LogTail(database_url)
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(tail.wait_past, 0, LONG_S)
            tail.close()
            assert not waiting.result()


class TestPoints:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        gaps_s=st.lists(st.integers(0, 3), min_size=0, max_size=20),
        asked_s=st.integers(-2, 40),
    )
    def test_a_moment_names_the_last_event_until_then(
        self, log: EventLog, gaps_s: list[int], asked_s: int
    ) -> None:
        project = f"p{len(log.projects())}"
        times = [NOON + timedelta(seconds=sum(gaps_s[: n + 1])) for n in range(len(gaps_s))]
        stored = [event(n + 1, project, at) for n, at in enumerate(times)]
        log.append([event(1, f"{project}-other")])  # projects share the positions
        positions = [position for one in stored for position in log.append([one])]
        asked = NOON + timedelta(seconds=asked_s)
        until = [position for position, at in zip(positions, times, strict=True) if at <= asked]
        assert log.at_time(project, asked) == (until[-1] if until else 0)
        for sequence, position in enumerate(positions, 1):
            assert log.at_sequence(project, sequence) == position
            assert log.sequence_at(project, position) == sequence
            assert log.sequence_at(project, position - 1) == sequence - 1

    def test_a_sequence_that_does_not_exist_is_refused(self, log: EventLog) -> None:
        log.append(events(1, 3))
        assert log.at_sequence("p", 0) == 0
        with pytest.raises(UnknownSequence, match="last is #3"):
            log.at_sequence("p", 4)


class TestFailures:
    def test_connections_that_ended_while_they_idled_are_replaced(
        self, log: EventLog, database_url: str
    ) -> None:
        log.append(events(1, 2))
        cut_all_connections(database_url)
        assert log.head() == 2
        cut_all_connections(database_url)
        assert log.append(events(3, 4))

    def test_a_database_without_a_log_says_how_to_get_one(self, database_url: str) -> None:
        log = EventLog(database_url)
        for use in (log.head, lambda: log.append([event(1)]), lambda: log.wait_past(0, LONG_S)):
            with pytest.raises(LogMissing, match="coordctl up"):
                use()
        log.close()

    def test_a_server_that_is_not_there_is_told(self) -> None:
        with pytest.raises(LogUnavailable):
            Leadership("postgresql://nobody@/none?host=/nonexistent", "job").acquire(LONG_S)


class TestLeadership:
    def test_one_leads_until_it_lets_go(self, database_url: str) -> None:
        one, other = Leadership(database_url, "job"), Leadership(database_url, "job")
        assert one.acquire(LONG_S)
        assert not other.acquire(0.05)
        assert (one.is_held(), other.is_held()) == (True, False)
        one.release()
        assert other.acquire(LONG_S)
        assert Leadership(database_url, "another job").acquire(0.05)
        other.release()

    def test_leadership_goes_with_its_connection(self, database_url: str) -> None:
        one, other = Leadership(database_url, "job"), Leadership(database_url, "job")
        assert one.acquire(LONG_S)
        cut_all_connections(database_url)
        assert other.acquire(LONG_S)
        assert not one.is_held()
        other.release()


class Painted(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "wall.painted"
    version: ClassVar[int] = 2

    wall: str
    colour: str

    @property
    def entity(self) -> str:
        return self.wall


class TestCodec:
    codec = Codec({"wall.painted": Painted}, lambda _, __, data: {"wall": data["name"], "colour": "white"})
    context = Context(project="p", actor="a", at=NOON, command_id="c", traceparent="00-1")

    def test_an_event_comes_back_as_it_was(self) -> None:
        stored = self.codec.encode(Painted(wall="north", colour="red"), self.context, 7)
        assert (stored.topic, stored.originator_version) == ("wall.painted@2", 7)
        assert msgspec.json.decode(stored.state)["entity"] == "north"
        recorded = self.codec.decode((70, "p", 7, stored.topic, stored.state))
        assert recorded.event == Painted(wall="north", colour="red")
        assert (recorded.position, recorded.sequence, recorded.project) == (70, 7, "p")
        assert (recorded.at, recorded.traceparent, recorded.causation_id) == (NOON, "00-1", None)

    def test_an_older_version_is_raised_to_the_present_one(self) -> None:
        stored = self.codec.encode(Painted(wall="north", colour="red"), self.context, 1)
        old = stored.state.replace(b'"wall":"north","colour":"red"', b'"name":"south"')
        recorded = self.codec.decode((1, "p", 1, "wall.painted@1", old))
        assert recorded.event == Painted(wall="south", colour="white")

    @pytest.mark.parametrize("topic", ["wall.painted@3", "wall.painted", "wall.fell@1", "wall.painted@0", ""])
    def test_an_event_that_is_not_known_is_told(self, topic: str) -> None:
        with pytest.raises(UnknownEvent):
            self.codec.decode((1, "p", 1, topic, b"{}"))

    @pytest.mark.parametrize("state", [b"", b"{}", b"\xff", b'{"data":1}'])
    @pytest.mark.parametrize("version", [1, 2])
    def test_a_damaged_event_is_told_with_its_position(self, state: bytes, version: int) -> None:
        with pytest.raises(UnreadableEvent, match="position 5"):
            self.codec.decode((5, "p", 1, f"wall.painted@{version}", state))
