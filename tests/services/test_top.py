"""What `coordctl top` reads: lists in windows, counts and stories, live and at any moment of the past."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from domain.errors import CoordError
from projections.catalog import PROJECTIONS
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.reading.learned import LEARNED as WORKED_OUT
from services.reading.reads import shape
from services.reading.replay import replay
from services.top.source import Question, Source
from services.top.stories import Subject
from services.top.tabs import FLEET, HANDED, KNOWN, LEARNED, TABS, TASKS, TIMELINE, Choice, Tab
from tests.conftest import temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stage import Stage, everything

KINDS = {"agents": "agents", "tasks": "queue", "handoffs": "handoffs"}


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def log(url: str) -> Iterator[EventLog]:
    with opened_log(url) as log:
        yield log


@pytest.fixture(scope="module")
def stage(log: EventLog, url: str) -> Stage:
    """Forks, restores and marks of every kind."""
    stage = Stage(log, url)
    everything(stage)
    stage.project(checkpoint_events=20)
    return stage


@pytest.fixture(scope="module")
def source(stage: Stage) -> Iterator[Source]:
    with Source(stage.url, "main") as source:
        yield source


def choice(tab: Any, name: str) -> Choice:
    return next(each for each in tab.choices if each.name == name)


def listed(tab: Tab) -> list[Choice]:
    """The choices of rows of a read model; of the others see the test of what is learned."""
    return [each for each in tab.choices if each.view not in WORKED_OUT]


def replayed(stage: Stage, sequence: int) -> dict[str, list[Any]]:
    """All rows right after an event, folded from the first one."""
    position = stage.log.at_sequence("main", sequence)
    rows = replay(stage.log, CODEC, PROJECTIONS, "main", position)
    return {name: [*each.values()] for name, each in rows.items()}


def test_lists_and_counts_of_the_past_are_those_of_a_replay(stage: Stage, source: Source) -> None:
    last = stage.saga.last("main")
    for sequence in (10, last // 2, last):
        rows = replayed(stage, sequence)
        for tab in TABS:
            for each in listed(tab):
                frame = source.frame(Question(choice=each, sequence=sequence))
                asked = {"status": each.statuses, "event": each.events, **dict(each.params)}
                expected = shape(each.view, rows[each.view], {name: of for name, of in asked.items() if of})
                if each.statuses:
                    expected.sort(key=lambda row, order=each.statuses: order.index(row["status"]))
                assert frame.rows == expected, (sequence, tab.name, each.name)
                assert (frame.total, frame.exact) == (len(expected), True)
        told = {kind: dict(Counter(row.status for row in rows[view])) for kind, view in KINDS.items()}
        assert frame.counts == told, sequence
        assert frame.moment.sequence == sequence


def test_what_is_live_is_what_the_past_ends_with(stage: Stage, source: Source) -> None:
    last = stage.saga.last("main")
    for tab in TABS:
        for each in listed(tab):
            now = source.frame(Question(choice=each))
            then = source.frame(Question(choice=each, sequence=last))
            assert (now.rows, now.counts, now.moment) == (then.rows, then.counts, then.moment)


def test_what_is_worked_out_of_others_is_told_of_the_past(stage: Stage, source: Source) -> None:
    for sequence in range(1, stage.saga.last("main") + 1, 9):
        rows = source.frame(Question(choice=choice(KNOWN, "factors"), sequence=sequence)).rows
        estimates = source.frame(Question(choice=choice(LEARNED, "estimates"), sequence=sequence))
        told = rows[0] if rows else {"factor": None, "estimates": 0}
        assert estimates.factor == {"factor": told["factor"], "estimates": told["estimates"]}
    for each in KNOWN.choices:
        assert source.frame(Question(choice=each, sequence=1, text="nothing like it")).rows == []


@pytest.mark.parametrize("sequence", [None, 25])
def test_windows_have_the_rows_of_the_whole_list(source: Source, sequence: int | None) -> None:
    for tab in (FLEET, TASKS, TIMELINE):
        for each in tab.choices:
            whole = source.frame(Question(choice=each, sequence=sequence)).rows
            for first in range(len(whole)):
                part = source.frame(Question(choice=each, sequence=sequence, first=first, limit=3))
                assert (part.first, part.rows) == (first, whole[first : first + 3])


def test_a_list_that_grew_at_its_beginning_goes_on_where_it_was(stage: Stage, source: Source) -> None:
    everything_ = choice(TIMELINE, "all")
    then = source.frame(Question(choice=everything_, sequence=25, first=10, limit=5))
    now = source.frame(Question(choice=everything_, first=10, limit=5, counted_from=25))
    assert now.rows == then.rows
    assert now.first == 10 + stage.saga.last("main") - 25


def test_lists_are_searched(source: Source) -> None:
    done = choice(TASKS, "done")
    found = source.frame(Question(choice=done, text="T1")).rows
    assert [row["task"] for row in found] == ["t1"]
    told = source.frame(Question(choice=choice(TIMELINE, "all"), text="a1 claimed t2")).rows
    assert told
    assert all("a1 claimed t2" in row["words"] for row in told)


def test_the_factor_of_the_past_is_that_of_the_estimates_closed_by_then(stage: Stage, source: Source) -> None:
    estimates = choice(LEARNED, "estimates")
    for sequence in (1, stage.saga.last("main") // 2, stage.saga.last("main")):
        rows = replayed(stage, sequence)["estimates"]
        ratios = [row.ratio for row in rows if row.ratio is not None]
        factor = source.frame(Question(choice=estimates, sequence=sequence)).factor
        expected = sum(ratios) / len(ratios) if ratios else None
        assert factor == {"factor": expected, "estimates": len(ratios)}


def test_stories_are_told_as_of_their_moment(stage: Stage, source: Source) -> None:
    offered = source.frame(Question(choice=choice(HANDED, "all"))).rows[0]
    for sequence in (offered["sequence"] - 1, offered["sequence"], None):
        rows = source.frame(Question(choice=choice(TIMELINE, "all"), sequence=sequence)).rows
        story = source.chapter(Subject("task", offered["task"]), sequence).story
        assert story is not None
        about = {offered["task"], *(each["handoff"] for each in story.handoffs)}
        assert story.events == [row for row in reversed(rows) if row["entity"] in about]
        found = source.chapter(Subject("handoff", offered["handoff"]), sequence).story
        assert (found is None) == (sequence is not None and sequence < offered["sequence"])
    agent = source.chapter(Subject("agent", offered["from_agent"])).story
    assert agent is not None
    assert agent.row["agent"] == offered["from_agent"]


def test_an_event_tells_why_it_happened(stage: Stage, source: Source) -> None:
    done = source.frame(Question(choice=choice(TIMELINE, "done"))).rows[-1]
    story = source.chapter(Subject("event", str(done["sequence"]))).story
    assert story is not None
    assert story.row["words"] == done["words"]
    assert story.about == Subject("task", done["entity"])
    assert [each.sequence for each in story.causes] == sorted(
        (each.sequence for each in story.causes), reverse=True
    )
    assert "claimed" in story.causes[0].words
    assert story.asked
    assert source.chapter(Subject("event", str(done["sequence"])), done["sequence"] - 1).story is None


def test_points_are_found_as_replay_takes_them(stage: Stage, source: Source) -> None:
    assert source.find("#17") == 17
    assert source.find("now") == stage.saga.last("main")
    assert source.find("good") == 1
    with pytest.raises(CoordError, match="not a point in time"):
        source.find("yesterday")


def test_more_is_told_of_at_once(stage: Stage, source: Source) -> None:
    known = source.standing()
    assert (known.last.sequence, known.behind) == (stage.saga.last("main"), 0)
    stage.work()
    stage.saga.append(stage.log)
    behind = source.standing(known, 30)
    assert behind.last.sequence == stage.saga.last("main")
    assert behind.behind == behind.head - known.head > 0
    stage.projector().catch_up()
    assert source.standing(behind, 30).behind == 0
