"""What differs between two points is what two replays differ in, and events that explain it."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random, SystemRandom
from typing import Any

import pytest

from domain.agents import SpawnAgent
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueueTask
from projections.activity import ACTIVITY
from projections.catalog import PROJECTIONS, VIEWS
from projections.changes import FieldChange, RowChange, change_of
from services.log.event_log import EventLog
from services.projector.checkpoints import checkpoints, prune
from services.projector.projector import Projector
from services.projector.tables import Connection, connected
from services.reading.diff import USUAL, Diff, Place, diff
from services.reading.replay import replay
from tests.projections.stories import Story
from tests.services.branches import branched
from tests.services.running import CODEC
from tests.services.stories import stored
from tests.services.test_law import history

LIMIT_ROWS = 10_000


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connected(database_url) as connection:
        yield connection


def project(log: EventLog, url: str, checkpoint_events: int) -> None:
    Projector(log, CODEC, url, PROJECTIONS, batch_events=7, checkpoint_events=checkpoint_events).catch_up()


def between(log: EventLog, connection: Connection, left: Place, right: Place, **more: Any) -> Diff:
    return diff(log, CODEC, connection, left, right, **{"limit_rows": LIMIT_ROWS, **more})


def expected(
    log: EventLog, left: Place, right: Place, views: tuple[str, ...] = USUAL
) -> dict[str, list[Any]]:
    """What two replays differ in."""
    wanted = [VIEWS[name].projection for name in views]
    before, after = (replay(log, CODEC, wanted, place.project, place.position) for place in (left, right))
    return {
        each.name: [
            change
            for key in sorted({key[1:] for key in (*before[each.name], *after[each.name])})
            if (change := changed(each.name, key, left, before, right, after)) is not None
        ]
        for each in wanted
    }


def changed(view: str, key: Any, left: Place, before: Any, right: Place, after: Any) -> RowChange | None:
    """What became of a row, which project it is of left aside."""
    one, other = before[view].get((left.project, *key)), after[view].get((right.project, *key))
    found = change_of(view, (left.project, *key), one, other)
    if found is None:
        return None
    fields = tuple(plain(each, left.project) for each in found.fields)
    fields = tuple(each for each in fields if each.old != each.new)
    return RowChange(view, key, found.what, fields) if fields else None


def plain(change: FieldChange, named: str) -> FieldChange:
    if change.field != "project":
        return change
    return FieldChange("project", change.old and named, change.new and named)


def check(log: EventLog, connection: Connection, left: Place, right: Place) -> None:
    found = between(log, connection, left, right)
    want = expected(log, left, right)
    for view in found.views:
        assert [row.change for row in view.rows] == want[view.view], (left, right)
        counts = [each.what for each in want[view.view]]
        assert (view.added, view.removed, view.changed) == tuple(
            counts.count(what) for what in ("added", "removed", "changed")
        ), (left, right)


def test_random_points_of_a_project_differ_as_their_replays_do(
    log: EventLog, database_url: str, connection: Connection
) -> None:
    seed = SystemRandom().randrange(10_000)
    random = Random(seed)
    story = history(f"novel-{seed}", random, 150, [1, "x", None, {"a": [2.5], "b": True}], ["one", "two"])
    log.append(stored(story.history))
    project(log, database_url, 7)
    positions = [0, log.head(), *(random.randint(0, log.head()) for _ in range(25))]
    for one, other in pairwise(positions):
        check(log, connection, Place(story.project, one), Place(story.project, other))


@pytest.mark.parametrize("checkpoint_events", [10, 25])
def test_forks_and_restored_projects_differ_as_their_replays_do(
    log: EventLog, database_url: str, connection: Connection, checkpoint_events: int
) -> None:
    branched(log)
    project(log, database_url, checkpoint_events)
    random = Random(checkpoint_events)
    places = [Place(name, at) for name in ("main", "side") for at in range(0, log.head() + 1, 4)]
    pairs = [(random.choice(places), random.choice(places)) for _ in range(60)]
    for left, right in pairs[:40]:
        check(log, connection, left, right)
    prune(connection, PROJECTIONS, [each.position for each in checkpoints(connection)][::2])
    for left, right in pairs[40:]:
        check(log, connection, left, right)


def novel() -> Story:
    """#1 to #6: a1 does t1 and claims t2; t3 is free."""
    story = Story("main")
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("op", *(EnqueueTask(id=name, title=name) for name in ("t1", "t2", "t3")))
    story.do("a1", ClaimTask(task="t1"), CompleteTask(task="t1", fence=1), ClaimTask(task="t2"))
    return story


def told(found: Diff, view: str, key: str) -> list[tuple[str, int, str]]:
    """The events that are told of a row."""
    rows = next(each.rows for each in found.views if each.view == view)
    row = next(each for each in rows if each.change.key == (key,))
    return [(each.side, each.recorded.sequence, each.recorded.event.name) for each in row.events]


@pytest.mark.parametrize("checkpoint_events", [2, 100])
def test_each_row_has_the_events_that_touched_it(
    log: EventLog, database_url: str, connection: Connection, checkpoint_events: int
) -> None:
    log.append(stored(novel().history))
    project(log, database_url, checkpoint_events)
    found = between(log, connection, Place("main", 3), Place("main", 6), views=["queue", "agents"])
    assert [(each.view, each.added, each.changed) for each in found.views] == [
        ("queue", 1, 1),
        ("agents", 0, 1),
    ]
    assert (found.common, found.turns) == (3, [])
    assert told(found, "queue", "t1") == [("right", 5, "task.claimed"), ("right", 6, "task.completed")]
    assert told(found, "queue", "t3") == [("right", 4, "task.enqueued")]
    assert told(found, "agents", "a1") == [("right", 5, "task.claimed"), ("right", 6, "task.completed")]
    back = between(log, connection, Place("main", 7), Place("main", 6), views=["queue"])
    assert told(back, "queue", "t2") == [("left", 7, "task.claimed")]
    only = between(log, connection, Place("main", 0), Place("main", 7), entity="t2")
    assert [(each.view, each.added) for each in only.views if each.rows] == [("queue", 1)]
    assert told(only, "queue", "t2") == [("right", 3, "task.enqueued"), ("right", 7, "task.claimed")]


def test_events_are_found_however_long_ago(log: EventLog, database_url: str, connection: Connection) -> None:
    story = novel()
    for number in range(2_500):
        story.do("op", EnqueueTask(id=f"later-{number}", title="later"))
    log.append(stored(story.history))
    Projector(log, CODEC, database_url, PROJECTIONS, batch_events=500, checkpoint_events=500).catch_up()
    found = between(log, connection, Place("main", 1), Place("main", log.head()), views=["queue"])
    assert told(found, "queue", "t1") == [
        ("right", 2, "task.enqueued"),
        ("right", 5, "task.claimed"),
        ("right", 6, "task.completed"),
    ]


def test_a_restore_takes_back_and_a_fork_goes_its_own_way(
    log: EventLog, database_url: str, connection: Connection
) -> None:
    branched(log)
    project(log, database_url, 10)
    restored = next(
        row[0] for row in log.read(0, 1_000) if row[1] == "main" and row[3].startswith("project.restored")
    )
    found = between(log, connection, Place("main", restored - 1), Place("main", restored))
    assert found.common == 20
    assert [(each.side, each.recorded.event.name) for each in found.turns] == [("right", "project.restored")]
    (removed, *_) = told(found, "queue", "a2-0")
    assert removed == ("left", 21, "task.enqueued")
    apart = between(log, connection, Place("main", log.head()), Place("side", log.head()))
    assert apart.common == 14
    assert told(apart, "queue", "b2-0")[0][::2] == ("right", "task.enqueued")
    assert told(apart, "queue", "a3-0")[0][::2] == ("left", "task.enqueued")


def test_as_many_rows_are_told_as_asked_for(log: EventLog, database_url: str, connection: Connection) -> None:
    story = novel()
    for number in range(40):
        story.do("op", EnqueueTask(id=f"later-{number:02}", title="later"))
    log.append(stored(story.history))
    project(log, database_url, 15)
    (found,) = between(
        log, connection, Place("main", 3), Place("main", log.head()), views=["queue"], limit_rows=5
    ).views
    assert (found.added, found.changed) == (41, 2)
    assert [row.change.key for row in found.rows] == [(f"later-{number:02}",) for number in range(5)]
    (records,) = between(log, connection, Place("main", 3), Place("main", 9), views=[ACTIVITY.name]).views
    assert [row.change.key for row in records.rows] == [(number,) for number in range(4, 10)]


def test_without_read_models_the_log_tells(log: EventLog, connection: Connection) -> None:
    log.append(stored(novel().history))
    check(log, connection, Place("main", 2), Place("main", 7))
