"""Points in a project's past: the ways to write them, and what each means, at the edges too."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import example, given
from hypothesis import strategies as st

from domain.bookmarks import RemoveBookmark, SetBookmark
from domain.errors import UnknownBookmark
from domain.messages import Context
from domain.tasks.commands import EnqueuePlan, EnqueueTask, PlannedTask
from services.log.event_log import EventLog
from services.reading.points import (
    Ago,
    AtBookmark,
    AtPosition,
    AtSequence,
    AtTime,
    BadPoint,
    Now,
    Point,
    PointNotReached,
    parse_point,
    resolve,
)
from services.reading.travel import Travel
from tests.projections.stories import START, Story
from tests.services.running import CODEC

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = START + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("1234", AtPosition(1234)),
        (" 0 ", AtPosition(0)),
        ("20260301", AtPosition(20_260_301)),
        ("#56", AtSequence(56)),
        ("2026-03-01T12:00:00Z", AtTime(NOON)),
        ("2026-03-01t12:00z", AtTime(NOON)),
        ("2026-03-01 12:00", AtTime(NOON)),
        ("20260301T1200", AtTime(NOON)),
        ("2026-03-01T14:00:00.5+02:00", AtTime(NOON + timedelta(seconds=0.5))),
        ("2026-03-01T07:00:00-0500", AtTime(NOON)),
        ("2026-03-01", AtTime(datetime(2026, 3, 1, tzinfo=UTC))),
        ("5 minutes ago", Ago(300)),
        ("1 minute ago", Ago(60)),
        ("2h ago", Ago(7_200)),
        ("90s ago", Ago(90)),
        ("1h30m ago", Ago(5_400)),
        ("1 hour 30 minutes ago", Ago(5_400)),
        ("-5m", Ago(300)),
        ("-1d12h", Ago(129_600)),
        ("3 Days AGO", Ago(259_200)),
        ("1 week ago", Ago(604_800)),
        ("now", Now()),
        ("NOW", Now()),
        ("before-merge", AtBookmark("before-merge")),
        ("bookmark:v1.2", AtBookmark("v1.2")),
    ],
)
def test_a_point_can_be_written_in_many_ways(text: str, point: Point) -> None:
    assert parse_point(text) == point


@given(st.text() | st.from_regex(r"(#|-|bookmark:)?\d{1,30}( ?[a-z]{1,7}){0,3}( ago)?"))
@example("")
@example("0001-01-01T00:00:00+14:00")
def test_whatever_is_written_is_a_point_or_a_bad_point(text: str) -> None:
    with contextlib.suppress(BadPoint):
        parse_point(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "-1", "#", "#-1", "1.5", "٣", "99999999999999999999",
        "5 minutes", "minutes ago", "5 months ago", "5m30 ago", "5mago", "--5m", "yesterday", "Today",
        "2026-13-01", "2026-03-01T25:00", "2026-03-01x12:00", "2026-03", "12:00",
        "bookmark:", "bookmark:5", "bookmark:now", "two words",
    ],
)  # fmt: skip
def test_what_is_no_point_is_a_bad_point(text: str) -> None:
    with pytest.raises(BadPoint, match="'5 minutes ago'"):
        parse_point(text)


def stored(stories: Sequence[Story]) -> list[StoredEvent]:
    """What happened in these projects, one after the other."""
    return [
        CODEC.encode(
            each.event,
            Context(project=each.project, actor=each.actor, at=each.at, command_id=each.command_id),
            each.sequence,
        )
        for story in stories
        for each in story.history
    ]


def tasks(project: str, count: int) -> Story:
    """A project in which a task is enqueued every second, from a second after START."""
    story = Story(project)
    for number in range(count):
        story.tick(1)
        story.do("op", EnqueueTask(title=f"task {number}"))
    return story


def at(text: str, log: EventLog, project: str = "p") -> int:
    """Where a point is, ten minutes after the start."""
    return resolve(parse_point(text), log, Travel(log, CODEC), project, LATER)


def test_points_name_the_last_event_they_include(log: EventLog) -> None:
    log.append(stored([tasks("q", 5), tasks("p", 60)]))  # p: positions 6 to 65, from 12:00:01 to 12:01:00
    assert at("30", log) == 30
    assert at("#1", log) == 6
    assert at("#60", log) == 65
    assert at("2026-01-01T12:00:01", log) == 6
    assert at("2026-01-01T12:00:10.9", log) == 15
    assert at("2026-01-01T13:00:10+01:00", log) == 15
    assert at("570 s ago", log) == 35
    assert at("9m30s ago", log) == 35
    assert at("-570s", log) == 35
    assert at("now", log) == 65
    assert at("5 minutes ago", log) == 65


def test_before_the_beginning_there_is_nothing(log: EventLog) -> None:
    log.append(stored([tasks("p", 3)]))
    for text in ("0", "#0", "2026-01-01T12:00:00", "1999-01-01", "1 day ago", "999999999999 weeks ago"):
        assert at(text, log) == 0
    for text in ("now", "#0", "2026-01-01"):
        assert at(text, log, project="unheard-of") == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("4", "Position 4 is not reached yet: the log ends at 3"),
        ("999999999999999999", "the log ends at 3"),
        ("#4", "#4 is not reached yet: the last event of p is #3"),
        ("#999999999999999999", "the last event of p is #3"),
        ("2026-01-01T12:10:00.000001Z", "it is 2026-01-01T12:10:00"),
        ("2026-01-02", "it is 2026-01-01T12:10:00"),
    ],
)
def test_what_has_not_happened_yet_is_refused(log: EventLog, text: str, says: str) -> None:
    log.append(stored([tasks("p", 3)]))
    with pytest.raises(PointNotReached, match=says):
        at(text, log)


def test_inside_a_batch_each_event_is_a_point_and_a_time_includes_them_all(log: EventLog) -> None:
    story = tasks("p", 1)
    story.do(
        "op", EnqueuePlan(tasks=tuple(PlannedTask(local=f"s{n}", title="of one plan") for n in range(4)))
    )
    story.do("op", EnqueueTask(title="another command at the same instant"))
    log.append(stored([story]))
    assert {recorded.at for recorded in story.history} == {START + timedelta(seconds=1)}
    assert [at(f"#{sequence}", log) for sequence in (2, 3, 6)] == [2, 3, 6]
    assert at("3", log) == 3
    assert at("2026-01-01T12:00:01", log) == 6, "there is no instant between two equal times"
    assert at("2026-01-01T12:00:00.999999", log) == 0


def test_now_is_the_end_also_for_a_clock_that_is_slow(log: EventLog) -> None:
    story = tasks("p", 3)
    log.append(stored([story]))
    slow = START + timedelta(seconds=1)
    assert resolve(Now(), log, Travel(log, CODEC), "p", slow) == 3
    assert resolve(Ago(0), log, Travel(log, CODEC), "p", slow) == 1


def test_a_bookmark_is_where_it_stands_now(log: EventLog) -> None:
    story = tasks("p", 3)
    story.do("op", SetBookmark(bookmark="good", sequence=1), SetBookmark(bookmark="begin", sequence=0))
    story.do("op", SetBookmark(bookmark="good", sequence=2))
    log.append(stored([tasks("q", 5), story]))
    assert at("good", log) == at("bookmark:good", log) == at("#2", log) == 7
    assert at("begin", log) == 0


def test_an_unknown_bookmark_is_answered_with_the_closest(log: EventLog) -> None:
    story = tasks("p", 1)
    log.append(stored([story]))
    with pytest.raises(UnknownBookmark, match=r"no bookmark good in this project, which has none"):
        at("good", log)
    length = len(story.history)
    for name in ("before-merge", "before-plan", "zebra", "gone"):
        story.do("op", SetBookmark(bookmark=name, sequence=1))
    story.do("op", RemoveBookmark(bookmark="gone"))
    log.append(stored([story])[length:])
    with pytest.raises(UnknownBookmark, match="the closest are before-merge, before-plan"):
        at("before-mrge", log)
    for name in ("gone", "bookmark:gone"):
        with pytest.raises(UnknownBookmark, match="no bookmark gone"):
            at(name, log)
    with pytest.raises(UnknownBookmark, match="which has none"):
        at("zebra", log, project="q")
