"""Forks and restores taken to where their origins are not: projects of their own, with the same history."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.lineage import END, Segment
from domain.messages import Event
from services.audit.audit import audit_log
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.replay import replay
from tests.domain.turns import Projects, projects
from tests.services.sample import ITEMS, SHELVES
from tests.services.sample import events as item_events
from tests.services.test_log_turns import CODEC, Written
from tests.services.test_transfer import contents, exported, imported

numbers = count()


@pytest.fixture(scope="module")
def logs(postgres_server: EmbeddedPostgres) -> Iterator[tuple[EventLog, EventLog]]:
    """Where the projects are at home, and elsewhere."""
    names = ("home", "elsewhere")
    with connected(postgres_server.url_of("postgres")) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
    home, elsewhere = (EventLog(postgres_server.url_of(name)) for name in names)
    for log in (home, elsewhere):
        log.create_tables()
    yield home, elsewhere
    for log in (home, elsewhere):
        log.close()
    with connected(postgres_server.url_of("postgres")) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def state(log: EventLog, project: str) -> dict[str, Any]:
    """The rows of a project, without its name."""
    found = replay(log, CODEC, [ITEMS, SHELVES], project, log.head())
    return {
        name: {key[1:]: replace(row, project="") for key, row in rows.items()} for name, rows in found.items()
    }


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=projects(18), happened=st.lists(item_events, min_size=1))
def test_a_project_that_turned_is_the_same_without_its_origin(
    logs: tuple[EventLog, EventLog], tmp_path: Path, made: Projects, happened: list[Event]
) -> None:
    home, elsewhere = logs
    written = Written(home, made, happened)
    for project in [name for name, events in made.events.items() if events]:
        name, copy = written.name(project), f"copy-{next(numbers)}"
        end = exported(home, name, tmp_path / "log", codec=CODEC)
        assert imported(elsewhere, tmp_path / "log", copy, CODEC).new == len(made.events[project])
        assert elsewhere.lineage(copy).streams == (Segment(copy, 1, END),)
        assert contents(elsewhere, copy) == contents(home, name)
        assert state(elsewhere, copy) == state(home, name)
        for log, known in ((home, name), (elsewhere, copy)):
            check = audit_log(log, CODEC, known, lambda _: None)
            assert (check.ok, check.hash) == (True, end.hash)
