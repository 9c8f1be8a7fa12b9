"""What the console shows of the past is what a replay comes to: rows and counts, at every event."""

from collections import Counter
from collections.abc import Iterator

import pytest

from domain.catalog import EVENTS
from projections.activity import ACTIVITY
from projections.agents import AGENTS
from projections.handoffs import HANDOFFS
from projections.queue import QUEUE
from services.console import rows
from services.console.sight import Desk
from services.embedded import EmbeddedPostgres
from services.errors import BadInput
from services.log.event_log import EventLog
from services.reading.reads import Reads, shape
from services.reading.replay import replay
from tests.conftest import temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stage import Stage, everything

EVERY = 13
"""Looking at every event would take long; each so many meet all turns and marks."""

_COUNTED = {"agents": AGENTS, "tasks": QUEUE, "handoffs": HANDOFFS}


@pytest.fixture(scope="module")
def stage(postgres_server: EmbeddedPostgres) -> Iterator[Stage]:
    """Projects with forks, restores and marks between them, and events after the last mark."""
    with temporary_database(postgres_server) as url, opened_log(url) as log:
        stage = Stage(log, url)
        everything(stage)
        stage.mark()
        for project in [*stage.saga.stories]:
            stage.work(project)
        stage.project()
        yield stage


@pytest.fixture(scope="module")
def desk(stage: Stage) -> Iterator[Desk]:
    with Reads(stage.url) as reads:
        yield Desk(stage.url, stage.log, reads)


def moments(log: EventLog, project: str) -> list[int]:
    last, _ = log.project_head(project)
    return [*range(1, last + 1, EVERY), last]


def test_every_view_and_count_of_the_past_is_that_of_a_replay(stage: Stage, desk: Desk) -> None:
    for project in stage.saga.stories:
        for sequence in moments(stage.log, project):
            position = stage.log.at_sequence(project, sequence)
            then = replay(stage.log, CODEC, [*_COUNTED.values(), ACTIVITY], project, position)
            with desk.sight(project, sequence) as sight:
                counts = sight.counts()
                tasks = rows.queue_rows(sight, {}, "op")
                events = rows.timeline_rows(sight, {}, "op")
                fleet = rows.fleet(sight, {}, "op")
            for kind, projection in _COUNTED.items():
                expected = Counter(row.status for row in then[projection.name].values())
                assert counts[kind] == expected, (project, sequence, kind)
            assert tasks["rows"] == shape("queue", then["queue"].values())
            assert tasks["total"] == len(then["queue"])
            assert events["rows"] == shape("activity", then["activity"].values())[: rows.PAGE_ROWS]
            here = shape("agents", then["agents"].values(), {"status": "active,stale"})
            assert {each["agent"]: each["doing"] for each in fleet["agents"]} == {
                row["agent"]: row["doing"] for row in here
            }


def test_now_is_counted_and_listed_as_the_last_event_left_it(stage: Stage, desk: Desk) -> None:
    for project in stage.saga.stories:
        last, _ = stage.log.project_head(project)
        with desk.sight(project, None) as now, desk.sight(project, last) as then:
            assert (now.moment.live, then.moment.live) == (True, False)
            assert now.moment.words == then.moment.words
            assert now.counts() == then.counts()
            for view in (rows.fleet, rows.queue, rows.handoffs, rows.timeline, rows.settings):
                assert view(now, {}, "op") == view(then, {}, "op")


def test_what_the_read_models_lack_is_to_be_looked_at_again(stage: Stage, desk: Desk) -> None:
    stage.work("plain")
    stage.saga.append(stage.log)
    last, position = stage.log.project_head("plain")
    with desk.sight("plain", None) as sight:
        assert (sight.moment.sequence, sight.moment.behind) == (last, True)
    stage.projector().catch_up()
    with desk.sight("plain", None, position) as sight:
        assert not sight.moment.behind
        assert rows.timeline(sight, {}, "op")["rows"][0]["sequence"] == last


def test_pages_of_the_timeline_join_without_gap_or_doubling(
    stage: Stage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PAGE_ROWS", 10)
    last, _ = stage.log.project_head("main")
    for filters in ({}, {"kind": "tasks"}, {"who": "a1"}):
        seen: list[int] = []
        with desk.sight("main", None) as sight:
            while True:
                page = rows.timeline_rows(sight, {**filters, "offset": str(len(seen))}, "op")
                if not page["rows"]:
                    break
                seen += [row["sequence"] for row in page["rows"]]
        assert seen == sorted(set(seen), reverse=True)
        if not filters:
            assert seen == [*range(last, 0, -1)]


def test_an_offset_is_a_number_within_bounds(desk: Desk) -> None:
    with desk.sight("main", None) as sight:
        for offset in ("-1", "x", "1000001", "9" * 30):
            with pytest.raises(BadInput):
                rows.queue_rows(sight, {"offset": offset}, "op")


def test_the_timeline_can_be_narrowed_to_every_event_there_is() -> None:
    assert {name for names in rows.KINDS.values() for name in names} == {*EVENTS}
