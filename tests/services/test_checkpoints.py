"""Checkpoints change no answer: cut, given up all or some of them, the past is the same."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random, SystemRandom
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any

import pytest
from psycopg.sql import SQL

from projections.catalog import PROJECTIONS, VIEWS
from services.log.event_log import EventLog
from services.projector.checkpoints import NothingProjected, checkpoints, cut, kept, prune
from services.projector.projector import Projector
from services.projector.rebuild import rebuild
from services.projector.tables import Connection, Table, connected
from services.projector.tracking import NoReadModels, set_up, tracked
from services.reading.replay import replay
from services.reading.travel import Travel
from tests.services.branches import branched
from tests.services.running import CODEC
from tests.services.sample import ALL, ITEMS, append, stores
from tests.services.sample import CODEC as SAMPLE_CODEC
from tests.services.stories import stored
from tests.services.test_law import history

BATCH_EVENTS = 17
CHECKPOINT_EVENTS = 30
WAIT_S = 30


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connected(database_url) as connection:
        yield connection


def sample(log: EventLog, url: str) -> Projector:
    return Projector(log, SAMPLE_CODEC, url, ALL, batch_events=20, checkpoint_events=40)


def projected(log: EventLog, url: str, checkpoint_events: int = CHECKPOINT_EVENTS) -> None:
    """All that is in the log, with checkpoints close to each other."""
    Projector(
        log, CODEC, url, PROJECTIONS, batch_events=BATCH_EVENTS, checkpoint_events=checkpoint_events
    ).catch_up()


def novel(log: EventLog, url: str) -> str:
    """A project of random deeds, named after its seed."""
    seed = SystemRandom().randrange(10_000)
    story = history(f"novel-{seed}", Random(seed), 200, [1, "x", None, {"a": 2.5}], ["one", "two"])
    log.append(stored(story.history))
    projected(log, url)
    return story.project


def answers(log: EventLog, connection: Connection, project: str, positions: Sequence[int]) -> list[Any]:
    """All that there is to know about a project at these positions."""
    travel = Travel(log, CODEC, connection)
    return [
        (
            {each.name: travel.rows(each, project, position) for each in PROJECTIONS},
            {name: travel.view(project, name, position) for name in VIEWS},
        )
        for position in positions
    ]


def past_rows(connection: Connection, projections: Sequence[Any] = PROJECTIONS) -> dict[str, int]:
    standing, found = tracked(connection), dict[str, int]()
    for each in projections:
        past = Table(each, standing[each.name].table_name).past
        row = connection.execute(SQL("SELECT count(*) FROM {}").format(past)).fetchone()
        assert row is not None
        found[each.name] = row[0]
    return found


def test_whichever_checkpoints_are_given_up_the_past_is_the_same(
    log: EventLog, database_url: str, connection: Connection
) -> None:
    project = novel(log, database_url)
    cuts = [each.position for each in checkpoints(connection)]
    assert len(cuts) > 1
    positions = [*range(0, log.head() + 1, 17), cuts[0], cuts[0] + 1, log.head()]
    before = answers(log, connection, project, positions)
    for position, (rows, _) in zip(positions, before, strict=True):
        assert rows == replay(log, CODEC, PROJECTIONS, project, position)
    some = Random(3).sample(cuts, len(cuts) // 2)
    held = sum(past_rows(connection).values())
    gone = prune(connection, PROJECTIONS, some)
    assert 0 < gone < held
    assert [each.position for each in checkpoints(connection)] == [each for each in cuts if each not in some]
    assert answers(log, connection, project, positions) == before
    gone += prune(connection, PROJECTIONS, cuts)
    assert gone == held
    assert checkpoints(connection) == []
    assert answers(log, connection, project, positions) == before


@pytest.mark.parametrize("checkpoint_events", [17, 40])
def test_forks_and_restores_stand_without_checkpoints(
    log: EventLog, database_url: str, connection: Connection, checkpoint_events: int
) -> None:
    branched(log)
    projected(log, database_url, checkpoint_events)
    places = [(project, position) for project in ("main", "side") for position in range(log.head() + 1)]
    for cuts in (checkpoints(connection)[::2], checkpoints(connection)):
        for project, position in Random(5).sample(places, 20):
            ((rows, _),) = answers(log, connection, project, [position])
            assert rows == replay(log, CODEC, PROJECTIONS, project, position), (project, position)
        prune(connection, PROJECTIONS, [each.position for each in cuts])


def test_a_checkpoint_tells_when_its_event_was_and_what_all_of_them_take(
    log: EventLog, database_url: str, connection: Connection
) -> None:
    project = novel(log, database_url)
    (found, *_), size = checkpoints(connection), kept(connection, PROJECTIONS)
    (row,) = log.read(found.position - 1, 1)
    assert found.at == CODEC.decode(row).at
    assert size.rows == sum(past_rows(connection).values())
    assert size.share == size.bytes / size.log_bytes > 0
    assert size.rows < log.head(), "what changes between two checkpoints is kept once"
    prune(connection, PROJECTIONS, [each.position for each in checkpoints(connection)])
    assert kept(connection, PROJECTIONS).rows == 0
    assert kept(connection, PROJECTIONS).bytes <= size.bytes
    assert Travel(log, CODEC, connection).view(project, "queue", found.position)


def test_a_row_is_kept_once_between_two_checkpoints(
    log: EventLog, database_url: str, connection: Connection
) -> None:
    for _ in range(100):
        append(log, "p", stores(4))
    sample(log, database_url).catch_up()
    cuts = len(checkpoints(connection))
    assert cuts == 10
    assert past_rows(connection, [ITEMS])["items"] == 4 * (cuts - 1)


def test_checkpoints_are_cut_by_hand_while_the_projector_works(
    log: EventLog, database_url: str, connection: Connection
) -> None:
    set_up(connection, ALL)
    with pytest.raises(NothingProjected):
        cut(connection, ALL)
    project, stop = "p", Flag()
    worker = Thread(target=sample(log, database_url).run, args=[stop])
    worker.start()
    made = [0]
    try:
        for n in range(30):
            append(log, project, stores(7, first=n % 5))
            made.append(cut_after(connection, made[-1]))
            if n % 8 == 7:
                prune(connection, ALL, [made.pop()])
    finally:
        stop.set()
        worker.join(WAIT_S)
    sample(log, database_url).catch_up()
    assert {*made[1:]} <= {each.position for each in checkpoints(connection)}
    travel = Travel(log, SAMPLE_CODEC, connection)
    for position in {*made, *(each + 1 for each in made)}:
        expected = replay(log, SAMPLE_CODEC, ALL, project, position)
        assert {each.name: travel.rows(each, project, position) for each in ALL} == expected


def cut_after(connection: Connection, position: int) -> int:
    """Cut a checkpoint as soon as the projector has come past a position."""
    deadline = monotonic() + WAIT_S
    while monotonic() < deadline:
        with suppress(NothingProjected):
            if (made := cut(connection, ALL).position) > position:
                return made
    raise TimeoutError


def test_a_rebuild_keeps_checkpoints(log: EventLog, database_url: str, connection: Connection) -> None:
    project = novel(log, database_url)
    cuts, held = checkpoints(connection), past_rows(connection)
    positions = range(5, log.head(), 31)
    before = answers(log, connection, project, positions)
    rebuild(log, CODEC, database_url, PROJECTIONS, batch_events=33)
    assert checkpoints(connection) == cuts
    assert past_rows(connection) == held
    assert answers(log, connection, project, positions) == before


def test_without_read_models_there_is_nothing_to_list(log: EventLog, connection: Connection) -> None:
    with pytest.raises(NoReadModels):
        checkpoints(connection)
