"""Views that are worked out, as of any moment: what was told then is told again, wherever rows went since."""

from collections.abc import Iterator
from typing import Any

import pytest

from domain.knowledge.actions import Action, RecordActions
from domain.knowledge.documentation import CacheDocumentation
from domain.learning import CloseEstimate, RecordEstimate
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueuePlan, EnqueueTask, PlannedTask
from domain.tasks.events import TaskEnqueued
from services.embedded import EmbeddedPostgres
from services.errors import Unavailable
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.learned import LEARNED, timed_at
from services.reading.reads import Reads
from services.reading.travel import Travel
from tests.conftest import temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stage import Stage

Asked = list[tuple[str, dict[str, Any]]]
Answers = list[tuple[str, dict[str, Any], list[dict[str, Any]]]]

ASKED: Asked = [(view, {}) for view in LEARNED] + [
    ("counts", {}),
    ("action_stats", {"by": "action", "seconds": 3_600.0}),
    ("plans", {"limit": 1, "offset": 1}),
]


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def log(url: str) -> Iterator[EventLog]:
    with opened_log(url) as log:
        yield log


@pytest.fixture
def stage(log: EventLog, url: str) -> Stage:
    return Stage(log, url)


def learn(stage: Stage, project: str, days: float) -> None:
    """Of everything that is learned a little more."""
    saga, story = stage.saga, stage.saga.stories[project]
    if "a1" not in story.ledger.agents:
        saga.staff(project)
    plan = story.do("op", EnqueuePlan(tasks=(PlannedTask(local="a", title="A"),)))
    task = next(event.task for event in plan if isinstance(event, TaskEnqueued))
    saga.do(project, "op", EnqueueTask(title="more", parent=task))
    saga.do(project, "a1", ClaimTask(task=task))
    saga.do(project, "a1", CompleteTask(task=task, fence=story.ledger.tasks.live[task].fence))
    saga.do(project, "a1", CacheDocumentation(library="click", content="100 %", release="8", days=days))
    saga.do(project, "a2", CacheDocumentation(library=f"lib{days}", content="Structs", days=1e-9))
    action = Action(action="make test", seconds=days, success=days < 2)
    saga.do(project, "a1", RecordActions(actions=(action, Action(action="edit"))))
    (estimate,) = story.do("a2", RecordEstimate(feature="part", sessions=2, complexity=3, persona="plot"))
    saga.do(project, "a2", CloseEstimate(estimate=estimate.entity, sessions=days + 1))
    saga.tick(project, 1)
    saga.do(project, "op", EnqueueTask(title="later"))


def told(stage: Stage, project: str) -> Answers:
    """What is said now, as of the last event; of every task as well."""
    stage.project()
    at = {"at": stage.saga.stories[project].history[-1].at}
    with Reads(stage.url) as reads:
        tasks: Asked = [("task", {"task": row["task"]}) for row in reads.read(project, "queue")]
        asked = [(view, {**params, **timed_at(view, at["at"])}) for view, params in ASKED + tasks]
        return [(view, params, reads.read(project, view, params)) for view, params in asked]


def test_what_was_told_is_told_again_as_of_then(stage: Stage) -> None:
    known: list[tuple[str, int, Answers]] = []

    def note(project: str) -> None:
        answers = told(stage, project)
        known.append((project, stage.log.project_head(project)[1], answers))

    learn(stage, "main", 1)
    note("main")
    stage.mark()
    learn(stage, "main", 3)
    note("main")
    point = stage.saga.last("main")
    learn(stage, "main", 1e-9)
    note("main")
    stage.fork("main", point, "side")
    learn(stage, "side", 2)
    note("side")
    stage.mark()
    stage.restore("main", point)
    note("main")
    learn(stage, "main", 1)
    note("main")
    assert all(rows for _, _, rows in known[2][2]), "nothing is compared where nothing is told"
    with connected(stage.url) as connection:
        travel = Travel(stage.log, CODEC, connection)
        for project, position, answers in known:
            for view, params, rows in answers:
                asked = {name: value for name, value in params.items() if name != "at"}
                assert travel.view(project, view, position, asked) == rows, (project, position, view)


def test_a_position_that_no_event_has_is_of_the_time_of_the_last_before_it(stage: Stage) -> None:
    learn(stage, "main", 1)
    stage.project()
    head = stage.log.head()
    with connected(stage.url) as connection:
        travel = Travel(stage.log, CODEC, connection)
        (before,) = travel.view("main", "factor", head)
        assert before["factor"]
        assert travel.view("main", "factor", head + 1) == [before]


def test_without_the_read_models_it_says_so(stage: Stage) -> None:
    learn(stage, "main", 1)
    stage.project()
    with pytest.raises(Unavailable):
        Travel(stage.log, CODEC).view("main", "plans", stage.log.head())
