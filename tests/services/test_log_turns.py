"""Reading and replaying a log in which projects were forked and restored: against plain lists of events."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.errors import UnknownSequence
from domain.lineage import Fork, Restore, Turn
from domain.messages import Context, Event, Recorded
from domain.project import ProjectForked, ProjectRestored
from projections.framework import Folds, Projection
from services.embedded import EmbeddedPostgres
from services.log.codec import Codec, Row
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.replay import Rows, replay
from tests.domain.turns import Place, Projects, projects
from tests.services.sample import BEGAN, HISTORY, ITEMS, SHELVES, Taken
from tests.services.sample import EVENTS as ITEM_EVENTS
from tests.services.sample import events as item_events

CODEC = Codec(
    {event.name: event for event in (*ITEM_EVENTS, ProjectForked, ProjectRestored)}, lambda _, __, data: data
)
RECORD = replace(HISTORY, record=True)
WORLD: Sequence[Projection[Any]] = (ITEMS, SHELVES, RECORD)
SEVERAL_AT_ONCE = 3
"""So many events in a row share their time."""

numbers = count()


@pytest.fixture(scope="module")
def log(postgres_server: EmbeddedPostgres) -> Iterator[EventLog]:
    with connected(postgres_server.url_of("postgres")) as connection:
        connection.execute("CREATE DATABASE turns")
    log = EventLog(postgres_server.url_of("turns"))
    log.create_tables()
    yield log
    log.close()
    with connected(postgres_server.url_of("postgres")) as connection:
        connection.execute("DROP DATABASE turns WITH (FORCE)")


class Written:
    """Projects whose events stand in the log, under names of this run alone."""

    def __init__(self, log: EventLog, made: Projects, happened: Sequence[Event]) -> None:
        self.log = log
        self.made = made
        self._run = next(numbers)
        self.events: dict[Place, Event] = {}
        self.times: dict[Place, datetime] = {}
        for number, (place, turn) in enumerate(made.log):
            self.events[place] = self._event(place[0], turn) or happened[number % len(happened)]
            self.times[place] = BEGAN + timedelta(seconds=number // SEVERAL_AT_ONCE)
        positions = log.append([self._stored(place) for place, _ in made.log])
        self.positions = dict(zip((place for place, _ in made.log), positions, strict=True))

    def name(self, project: str) -> str:
        return f"{project}-{self._run}"

    def row(self, project: str, place: Place) -> Row:
        """How a project's reader finds this event: under the project's name, wherever it stands."""
        stored = self._stored(place)
        return (self.positions[place], self.name(project), place[1], stored.topic, stored.state)

    def folded(self, projection: Projection[Any], project: str, places: Sequence[Place]) -> Rows:
        rows: Rows = {}
        events = [self._recorded(project, place) for place in places]
        Folds([projection]).fold_into([rows], events)
        return rows

    def last(self, project: str, position: int) -> int:
        """The sequence of a project's last event until a position."""
        return sum(self.positions[place] <= position for place in self.made.events[project])

    def _recorded(self, project: str, place: Place) -> Recorded:
        return CODEC.decode(self.row(project, place))

    def _stored(self, place: Place) -> StoredEvent:
        stream, sequence = place
        context = Context(project=self.name(stream), actor="op", at=self.times[place], command_id="c")
        return CODEC.encode(self.events[place], context, sequence)

    def _event(self, project: str, turn: Turn | None) -> Event | None:
        name = self.name(project)
        match turn:
            case Fork(origin=origin, sequence=sequence):
                return ProjectForked(project=name, origin=self.name(origin), sequence=sequence)
            case Restore(to=sequence):
                return ProjectRestored(project=name, sequence=sequence, reason="x", fence_floor=0)
            case _:
                return None


def random_logs(test: Any) -> Any:
    """With random projects in the log, and one of them."""
    given_them = given(made=projects(18), happened=st.lists(item_events, min_size=1), data=st.data())
    set_up = settings(
        max_examples=40,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    return set_up(given_them(test))


def some_position(written: Written, data: st.DataObject) -> int:
    """A position of an event, or one between, before or after them."""
    known = sorted(written.positions.values())
    return data.draw(st.sampled_from([0, *known, known[-1] + 1])) if known else 0


@random_logs
def test_every_reader_finds_the_events_of_forks_and_restores(
    log: EventLog, made: Projects, happened: list[Event], data: st.DataObject
) -> None:
    written = Written(log, made, happened)
    until = some_position(written, data)
    after, limit = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 6))
    for project, events in made.events.items():
        name, last = written.name(project), written.last(project, until)
        assert log.sequence_at(name, until) == last
        raw = [written.row(project, place) for place in events[after:last]]
        assert log.read_project(name, after, until, limit) == raw[:limit]
        state = [written.row(project, place) for place in made.states[project][last] if place[1] > after]
        assert log.read_history(name, after, until, limit) == state[:limit]
        sequences = [place[1] for place in events]
        assert log.read_at(name, [*sequences[::2], 99]) == [written.row(project, e) for e in events[::2]]
        assert log.project_head(name) == ((len(events), written.positions[events[-1]]) if events else (0, 0))


@random_logs
def test_every_point_is_found_across_forks(
    log: EventLog, made: Projects, happened: list[Event], data: st.DataObject
) -> None:
    written = Written(log, made, happened)
    moment = BEGAN + timedelta(seconds=data.draw(st.integers(-1, 8)))
    for project, events in made.events.items():
        name = written.name(project)
        for place in events:
            assert log.at_sequence(name, place[1]) == written.positions[place]
        with pytest.raises(UnknownSequence, match=f"last is #{len(events)}"):
            log.at_sequence(name, len(events) + 1)
        until = [written.positions[place] for place in events if written.times[place] <= moment]
        assert log.at_time(name, moment) == (until[-1] if until else 0)


@random_logs
def test_a_replay_folds_what_counted_then_and_records_keep_all(
    log: EventLog, made: Projects, happened: list[Event], data: st.DataObject
) -> None:
    written = Written(log, made, happened)
    position = some_position(written, data)
    for project, events in made.events.items():
        last = written.last(project, position)
        expected = {
            each.name: written.folded(
                each, project, events[:last] if each.record else made.states[project][last]
            )
            for each in WORLD
        }
        assert replay(log, CODEC, WORLD, written.name(project), position) == expected
        assert replay(log, CODEC, [ITEMS], written.name(project), position) == {"items": expected["items"]}


def test_a_replay_of_all_projects_has_no_fork_before_it_was_made(log: EventLog) -> None:
    made = Projects()
    for _ in range(3):
        made.work("p0")
    made.fork("p0", 2)
    written = Written(log, made, [Taken(item="a")])
    before, after = (
        {key[0] for key in replay(log, CODEC, [RECORD], None, written.positions[place])["history"]}
        for place in (("p0", 3), ("p1", 3))
    )
    assert (written.name("p0") in before, written.name("p1") in before) == (True, False)
    assert (written.name("p0") in after, written.name("p1") in after) == (True, True)


def test_a_fork_that_holds_all_its_events_itself_reads_no_other_stream(log: EventLog) -> None:
    """As an import leaves it: the origin may not even be there."""
    name = f"whole-{next(numbers)}"
    happened = [
        Taken(item="a"),
        ProjectForked(project=name, origin="nowhere", sequence=1),
        Taken(item="b"),
        ProjectRestored(project=name, sequence=2, reason="x", fence_floor=0),
    ]
    context = Context(project=name, actor="op", at=BEGAN, command_id="c")
    log.append([CODEC.encode(event, context, number) for number, event in enumerate(happened, 1)])
    assert [row[2] for row in log.read_project(name, 0)] == [1, 2, 3, 4]
    assert [row[2] for row in log.read_history(name, 0)] == [1, 2, 4]


def test_a_turn_is_seen_by_the_next_read(log: EventLog) -> None:
    made = Projects()
    for _ in range(4):
        made.work("p0")
    name = Written(log, made, [Taken(item="a")]).name("p0")
    assert [row[2] for row in log.read_history(name, 0)] == [1, 2, 3, 4]
    context = Context(project=name, actor="op", at=BEGAN, command_id="c")
    restored = ProjectRestored(project=name, sequence=2, reason="x", fence_floor=0)
    log.append([CODEC.encode(restored, context, 5)])
    assert [row[2] for row in log.read_history(name, 0)] == [1, 2, 5]
    assert [row[2] for row in log.read_project(name, 0)] == [1, 2, 3, 4, 5]
