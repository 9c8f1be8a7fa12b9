"""The ledger from rows at a mark is the ledger folded from the first event, at any point, turned or not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from domain.ledger import Ledger
from domain.messages import Context
from domain.project import ForkProject, RestoreProject
from projections.catalog import PROJECTIONS
from services.bench.history import make_history
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.writer.books import Library
from services.writer.ledgers import LedgersAtMarks
from tests.domain.snapshot import Snapshot, recorded
from tests.services.running import CODEC

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def log(database_url: str) -> Iterator[EventLog]:
    opened = EventLog(database_url)
    opened.create_tables()
    make_history(opened, CODEC, "main", 3_000)
    yield opened
    opened.close()


def project(log: EventLog) -> None:
    Projector(log, CODEC, log.url, PROJECTIONS, batch_events=60, checkpoint_events=150).catch_up()


def known(ledger: Ledger) -> Snapshot:
    """What the ledger knows; who waits for a task that is over itself is of no consequence."""
    found = recorded(ledger)
    waiting = {name: [*filter(found["live"].get, ids)] for name, ids in found["dependents"].items()}
    return found | {"dependents": {name: ids for name, ids in waiting.items() if ids}}


def libraries(log: EventLog) -> tuple[Library, Library]:
    """One that begins at marks, and one that folds everything."""
    return Library(log, CODEC, LedgersAtMarks(log, CODEC, log.url)), Library(log, CODEC)


def turn(log: EventLog, project: str, command: ForkProject | RestoreProject) -> None:
    """Have a project forked or restored, as the writer does it."""
    library = Library(log, CODEC)
    book = library.open(project, NOW)
    context = Context(project=project, actor="op", at=book.now(NOW), command_id=f"{project}-{command}")
    first = book.ledger.sequence
    _, events, context = library.turn(book.ledger, command, context)
    start = command.sequence if isinstance(command, ForkProject) else first
    log.append([CODEC.encode(event, context, start + n) for n, event in enumerate(events, 1)])


def command_end(log: EventLog, project: str, sequence: int) -> int:
    """The last event of the command that this one belongs to."""
    rows: list[Any] = log.read_project(project, sequence - 1, limit_events=300)
    asked = [(each.actor, each.command_id) for each in map(CODEC.decode, rows)]
    return sequence + next(n for n, each in enumerate([*asked, None]) if each != asked[0]) - 1


def begun_at(log: EventLog, project: str) -> int:
    """The sequence of the mark from which the project's ledger is folded."""
    last, position = log.project_head(project)
    segments = log.lineage(project).effective(last)
    return LedgersAtMarks(log, CODEC, log.url).begin(project, segments, position, {}).sequence


def test_ledgers_from_rows_are_those_from_events(log: EventLog) -> None:
    project(log)
    assert begun_at(log, "main") > 2_700
    quick, slow = libraries(log)
    random = Random(7)
    last, _ = log.project_head("main")
    for sequence in (0, 1, last, *(random.randint(1, last) for _ in range(12))):
        assert known(quick.ledger_at("main", sequence)) == known(slow.ledger_at("main", sequence))


def test_forks_and_restores_are_no_different(log: EventLog) -> None:
    turn(log, "other", ForkProject(origin="main", sequence=command_end(log, "main", 1_700)))
    project(log)
    turn(log, "main", RestoreProject(sequence=command_end(log, "main", 900), reason="wrong way"))
    turn(log, "third", ForkProject(origin="main", sequence=log.project_head("main")[0]))
    project(log)
    turn(log, "main", RestoreProject(sequence=command_end(log, "main", 2_500), reason="not so wrong"))
    turn(log, "other", RestoreProject(sequence=command_end(log, "main", 1_200), reason="before the fork"))
    project(log)
    assert min(begun_at(log, name) for name in ("main", "other", "third")) > 800
    quick, slow = libraries(log)
    for name in ("main", "other", "third"):
        last, _ = log.project_head(name)
        for sequence in (last, last - 1, 1_000, 1_650):
            assert known(quick.ledger_at(name, sequence)) == known(slow.ledger_at(name, sequence)), sequence


def test_a_book_is_opened_with_the_answers_it_gave(log: EventLog) -> None:
    project(log)
    quick, slow = libraries(log)
    (row,) = log.read_at("main", [log.project_head("main")[0]])
    last = CODEC.decode(row)
    for library in (quick, slow):
        assert library.open("main", NOW).answers.sequence_of(last.actor, last.command_id) is not None


def test_without_read_models_everything_is_folded(log: EventLog) -> None:
    quick, slow = libraries(log)
    assert known(quick.ledger_at("main", 2_000)) == known(slow.ledger_at("main", 2_000))
