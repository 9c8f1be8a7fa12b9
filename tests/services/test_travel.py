"""Time travel across forks and restores: each way in which one may stand to marks, batches and other turns.

In every case the past of every project must be what a replay folds from its first event, by way of the tables
and without them, and what is read live must be the same at the end.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from domain.settings import SetSetting, UnsetSetting
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueueTask
from projections.catalog import PROJECTIONS, VIEWS
from projections.queue import QUEUE
from projections.settings import SETTINGS
from services.embedded import EmbeddedPostgres
from services.errors import BadInput
from services.log.event_log import EventLog
from services.projector.checkpoints import checkpoints, prune
from services.projector.rebuild import rebuild
from services.projector.tables import connected
from services.projector.tracking import tracked
from services.reading.past import Past
from services.reading.reads import Reads, Tally, shape
from services.reading.replay import Rows, replay
from services.reading.travel import Travel
from tests.conftest import temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stage import CASES, Stage, everything
from tests.services.test_law import StopAfter


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database of this module."""
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def log(url: str) -> Iterator[EventLog]:
    with opened_log(url) as log:
        yield log


@pytest.fixture
def stage(log: EventLog, url: str) -> Stage:
    return Stage(log, url)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_forks_and_restores_wherever_they_stand(stage: Stage, case: Callable[[Stage], None]) -> None:
    case(stage)
    stage.project()
    stage.check()
    for project in ("main", [*stage.saga.stories][-1]):
        stage.work(project, rounds=2)
    stage.mark()
    stage.work()
    stage.project()
    stage.check()


@pytest.mark.parametrize("batch_events", [2, 3, 1000])
def test_batches_end_where_they_must(stage: Stage, batch_events: int) -> None:
    everything(stage)
    stage.project(batch_events=batch_events, checkpoint_events=9)
    with connected(stage.url) as connection:
        assert len(checkpoints(connection)) > 3
    stage.check()


def test_a_projector_may_stop_after_any_batch(stage: Stage) -> None:
    everything(stage)
    stage.saga.append(stage.log)
    while positions(stage.url) != {stage.log.head()}:
        stage.projector(batch_events=10, checkpoint_events=15).run(StopAfter(3))
        assert stage.differences() == []
    stage.check()


def positions(url: str) -> set[int]:
    with connected(url) as connection:
        return {each.position for each in tracked(connection).values()}


def test_read_models_can_be_built_anew_across_forks_and_restores(stage: Stage) -> None:
    everything(stage)
    stage.project(checkpoint_events=15)
    rebuild(stage.log, CODEC, stage.url, PROJECTIONS, batch_events=8)
    stage.check()
    stage.work()
    stage.project()
    stage.check()


def test_text_that_no_row_could_hold_is_refused_in_the_past_too(stage: Stage) -> None:
    stage.work()
    stage.mark()
    with pytest.raises(BadInput):
        Past(stage.url, stage.log).view("main", "queue", "now", {"text": "a\0b"})


def test_checkpoints_that_forks_and_restores_stand_on_can_be_given_up(stage: Stage) -> None:
    everything(stage)
    stage.project(checkpoint_events=10)
    with connected(stage.url) as connection:
        prune(connection, PROJECTIONS, [each.position for each in checkpoints(connection)])
    stage.check()


def test_a_read_model_added_later_is_read_as_it_comes_along(stage: Stage) -> None:
    others = [each for each in PROJECTIONS if each is not QUEUE]
    everything(stage)
    stage.saga.append(stage.log)
    stage.projector(others, checkpoint_events=20).catch_up()
    with Reads(stage.url) as reads:
        while len(positions(stage.url)) > 1:
            stage.projector(batch_events=20).run(StopAfter(3))
            assert stage.differences() == []
            with connected(stage.url) as connection:
                position = tracked(connection)["queue"].position
            for project in stage.saga.stories:
                if position >= stage.log.began(project):
                    rows = replay(stage.log, CODEC, [QUEUE], project, position)["queue"].values()
                    assert reads.read(project, "queue") == shape("queue", [*rows])
    stage.check()


def test_a_projector_of_others_cuts_no_checkpoint_behind_a_projection(stage: Stage) -> None:
    stage.work(rounds=8)
    stage.saga.append(stage.log)
    stage.projector([QUEUE]).catch_up()
    others = [each for each in PROJECTIONS if each is not QUEUE]
    stage.projector(others, checkpoint_events=10).catch_up()
    head = stage.log.head()
    stage.check([head, head - 5, head // 2])


def test_a_short_page_is_full_though_what_was_on_it_has_changed(stage: Stage) -> None:
    saga = stage.saga
    saga.staff("main")
    saga.do("main", "op", *(EnqueueTask(id=f"t{number}", title="Part") for number in range(8)))
    stage.mark()
    for number in range(5):
        saga.do("main", "a1", ClaimTask(task=f"t{number}"))
    stage.project()
    head, asked = stage.log.head(), {"status": "queued", "limit": 2, "offset": 1}
    with connected(stage.url) as connection:
        shown = Travel(stage.log, CODEC, connection).view("main", "queue", head, asked)
    assert [row["task"] for row in shown] == ["t6", "t7"]


def test_what_a_fork_does_stays_there(stage: Stage) -> None:
    point = stage.work(rounds=3)
    stage.mark()
    saga = stage.saga
    held = dict(saga.stories["main"].ledger.settings)
    stage.fork("main", point, "side")
    saga.staff("side")
    saga.do("side", "op", UnsetSetting(key="colour"), SetSetting(key="max_agents", value=9))
    saga.do("side", "op", EnqueueTask(id="new", title="Only here", depends_on=("t0",)))
    saga.do("side", "a2", ClaimTask(task="new"), CompleteTask(task="new", fence=1, result="aside"))
    stage.project()
    with Reads(stage.url) as reads:
        of_main, of_side = ({row["task"] for row in reads.read(name, "queue")} for name in ("main", "side"))
        assert of_side - of_main == {"new"}
        set_there = {row["key"]: row["source"] for row in reads.read("side", "settings")}
        assert (set_there["max_agents"], "colour" in set_there) == ("project", False)
        rows = replay(stage.log, CODEC, [SETTINGS], "main", stage.log.head())["settings"].values()
        assert {(row.scope, row.user, row.key): row.value for row in rows} == held
        assert reads.read("main", "settings") == shape("settings", [*rows])
    stage.check()


def test_live_reads_are_those_of_a_replay(stage: Stage) -> None:
    everything(stage)
    stage.project(checkpoint_events=20)
    head = stage.log.head()
    tallied: set[Tally] = set()
    with Reads(stage.url) as reads, connected(stage.url) as connection:
        for project in stage.saga.stories:
            rows = Replayed(replay(stage.log, CODEC, PROJECTIONS, project, head))
            for view in VIEWS:
                for asked in ({}, {"limit": 2, "offset": 1}):
                    read = reads.read(project, view, asked)
                    assert read == rows.shown(view, asked), (project, view)
                    assert read == Travel(stage.log, CODEC, connection).view(project, view, head, asked)
            for task in [row["task"] for row in rows.shown("queue")][::3]:
                assert reads.read(project, "task", {"task": task}) == [rows.task(task)]
            assert reads.read(project, "counts") == [rows.counts()]
            at = stage.saga.stories[project].now
            assert reads.read(project, "factor", {"at": at}) == [rows.factor()]
            tallies = {Tally(project, *each) for each in rows.tallies()}
            assert {*reads.tallies(project)} == tallies
            tallied |= tallies
        assert {*reads.tallies()} == tallied
        assert reads.projects() == sorted(stage.saga.stories)


class Replayed:
    """What the special views must say, from rows that were folded in memory."""

    def __init__(self, rows: dict[str, Rows]) -> None:
        self._rows = rows

    def shown(self, view: str, asked: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return shape(view, [*self._rows[view].values()], asked)

    def task(self, task: str) -> dict[str, Any]:
        (found,) = self.shown("queue", {"entity": task})
        handoffs = self.shown("handoffs", {"task": task})
        entities = (task, *(each["handoff"] for each in handoffs))
        waiting = [row.task for row in self._rows["dependencies"].values() if row.depends_on == task]
        activity = self.shown("activity", {"entity": entities, "limit": 200})
        return {**found, "dependents": sorted(waiting), "handoffs": handoffs, "activity": activity}

    def tallies(self) -> list[tuple[str, str, int]]:
        named = {"agents": "agents", "tasks": "queue", "handoffs": "handoffs"}
        return [
            (kind, status, count)
            for kind, name in named.items()
            for status, count in Counter(row.status for row in self._rows[name].values()).items()
        ]

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"agents": {}, "tasks": {}, "handoffs": {}}
        for kind, status, count in self.tallies():
            found[kind][status] = count
        handoffs = found["handoffs"]
        return {**found, "handoffs_open": handoffs.get("initiated", 0) + handoffs.get("accepted", 0)}

    def factor(self) -> dict[str, Any]:
        ratios = [row.ratio for row in self._rows["estimates"].values() if row.closed_at is not None]
        return {"factor": sum(ratios) / len(ratios) if ratios else None, "estimates": len(ratios)}
