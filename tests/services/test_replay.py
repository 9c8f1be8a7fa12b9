"""Replaying to a point, telling tables that differ from the log, and naming points."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.log import EventLog
from services.points import (
    Ago,
    AtPosition,
    AtSequence,
    AtTime,
    BadPoint,
    Point,
    PointNotReached,
    parse_point,
    resolve,
)
from services.projector import Projector
from services.replay import replay
from services.tables import connected
from services.tracking import NoReadModels
from services.verify import Difference, verify
from tests.services.sample import (
    ALL,
    BEGAN,
    CODEC,
    HISTORY,
    ITEMS,
    ItemRow,
    Moved,
    Stored,
    append,
    rows_in,
    stores,
)


@pytest.fixture
def log(database_url: str) -> Iterator[EventLog]:
    log = EventLog(database_url)
    log.create_tables()
    yield log
    log.close()


def test_a_replay_shows_one_project_as_it_was(log: EventLog) -> None:
    append(log, "p", [Stored(item="a", shelf="x")])
    append(log, "q", [Stored(item="a", shelf="z")])
    append(log, "p", [Moved(item="a", shelf="y")])
    shelves = [
        {key: row.shelf for key, row in replay(log, CODEC, [ITEMS], "p", position)["items"].items()}
        for position in range(4)
    ]
    assert shelves == [{}, {("p", "a"): "x"}, {("p", "a"): "x"}, {("p", "a"): "y"}]


def test_a_replay_of_all_projects_holds_each(log: EventLog) -> None:
    append(log, "p", stores(3))
    append(log, "q", stores(2))
    everything = replay(log, CODEC, ALL, None, 5)
    assert {key[0] for key in everything["items"]} == {"p", "q"}
    assert len(everything["history"]) == 5


def test_a_replay_longer_than_a_batch_is_whole(log: EventLog) -> None:
    append(log, "p", stores(12_000))
    assert len(replay(log, CODEC, [HISTORY], "p", 11_000)["history"]) == 11_000


def test_verification_names_the_rows_and_fields_that_differ(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(4))
    Projector(log, CODEC, database_url, ALL).catch_up()
    assert verify(log, CODEC, database_url, ALL) == []
    before = rows_in(database_url, [ITEMS], "p")["items"]
    with connected(database_url) as connection:
        connection.execute("UPDATE coord.items_v1 SET shelf = 'wrong' WHERE item = 'item-0'")
        connection.execute("DELETE FROM coord.items_v1 WHERE item = 'item-1'")
        connection.execute("UPDATE coord.items_v1 SET item = 'ghost' WHERE item = 'item-2'")
    ghost = rows_in(database_url, [ITEMS], "p")["items"]["p", "ghost"]
    assert isinstance(ghost, ItemRow)
    found = sorted(verify(log, CODEC, database_url, ALL), key=lambda each: each.key or ())
    assert found == [
        Difference(projection="items", key=("p", "ghost"), table=ghost),
        Difference(projection="items", key=("p", "item-0"), field="shelf", table="wrong", replayed="shelf-0"),
        Difference(projection="items", key=("p", "item-1"), replayed=before["p", "item-1"]),
        Difference(projection="items", key=("p", "item-2"), replayed=before["p", "item-2"]),
    ]
    assert len(verify(log, CODEC, database_url, ALL, limit=2)) == 2


def test_verification_without_read_models_says_what_to_do(log: EventLog, database_url: str) -> None:
    with pytest.raises(NoReadModels, match="projector"):
        verify(log, CODEC, database_url, ALL)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("1234", AtPosition(1234)),
        (" 0 ", AtPosition(0)),
        ("#56", AtSequence(56)),
        ("2026-03-01T12:00:00Z", AtTime(BEGAN)),
        ("2026-03-01 12:00", AtTime(BEGAN)),
        ("2026-03-01T14:00:00.5+02:00", AtTime(BEGAN + timedelta(seconds=0.5))),
        ("2026-03-01", AtTime(datetime(2026, 3, 1, tzinfo=UTC))),
        ("5 minutes ago", Ago(300)),
        ("1 minute ago", Ago(60)),
        ("2h ago", Ago(7_200)),
        ("90s ago", Ago(90)),
        ("3 Days AGO", Ago(259_200)),
        ("1 week ago", Ago(604_800)),
        ("now", Ago(0)),
    ],
)
def test_a_point_can_be_written_in_many_ways(text: str, point: Point) -> None:
    assert parse_point(text) == point


@given(st.text() | st.from_regex(r"#?\d{1,30}( ?[a-z]{1,7})?( ago)?"))
@example("")
@example("-1")
@example("#")
@example("#-1")
@example("1.5")
@example("5 minutes")
@example("minutes ago")
@example("٣")
@example("0001-01-01T00:00:00+14:00")
def test_whatever_is_written_is_a_point_or_a_bad_point(text: str) -> None:
    with contextlib.suppress(BadPoint):
        parse_point(text)


@pytest.mark.parametrize("text", ["", "-1", "#", "#-1", "1.5", "5 minutes", "yesterday", "٣", "5 months ago"])
def test_what_is_no_point_is_a_bad_point(text: str) -> None:
    with pytest.raises(BadPoint, match="'5 minutes ago'"):
        parse_point(text)


def at(text: str, log: EventLog, project: str = "p") -> int:
    """Where a point is, ten minutes after the sample's beginning."""
    return resolve(parse_point(text), log, project, BEGAN + timedelta(minutes=10))


def test_points_name_the_last_event_they_include(log: EventLog) -> None:
    append(log, "q", stores(5))
    append(log, "p", stores(60))  # a second apart: positions 6 to 65, from 12:00:01 to 12:01:00
    assert at("30", log) == 30
    assert at("#1", log) == 6
    assert at("#60", log) == 65
    assert at("2026-03-01T12:00:01", log) == 6
    assert at("2026-03-01T12:00:10.9", log) == 15
    assert at("2026-03-01T13:00:10+01:00", log) == 15
    assert at("570 s ago", log) == 35
    assert at("now", log) == 65
    assert at("5 minutes ago", log) == 65


def test_before_the_beginning_there_is_nothing(log: EventLog) -> None:
    append(log, "p", stores(3))
    for text in ("0", "#0", "2026-03-01T12:00:00", "1999-01-01", "1 day ago", "999999999999 weeks ago"):
        assert at(text, log) == 0
    assert at("now", log, project="unheard-of") == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("4", "Position 4 is not reached yet: the log ends at 3"),
        ("999999999999999999", "the log ends at 3"),
        ("#4", "#4 is not reached yet: the last event of p is #3"),
        ("#999999999999999999", "the last event of p is #3"),
        ("2026-03-01T12:10:00.000001Z", "it is 2026-03-01T12:10:00"),
    ],
)
def test_what_has_not_happened_yet_is_refused(log: EventLog, text: str, says: str) -> None:
    append(log, "p", stores(3))
    with pytest.raises(PointNotReached, match=says):
        at(text, log)
