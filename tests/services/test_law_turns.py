"""The law with forks and restores in it: the past is the same by whatever way it is reached.

Random histories of several projects, decided by the real domain, are projected in random batches with
checkpoints close to each other, some of which are given up. Then, at random positions, what a replay folds
from the first event is what time travel answers, with checkpoints and without, and what the tables held.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from projections.catalog import PROJECTIONS, VIEWS
from projections.framework import Key, Projection
from services.audit.verify import verify
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.projector.checkpoints import checkpoints, prune
from services.projector.projector import Projector
from services.projector.rebuild import rebuild
from services.projector.tables import Connection, connected
from services.projector.tracking import tracked
from services.reading.reads import shape, view_params
from services.reading.replay import Rows, replay
from services.reading.travel import Travel
from services.writer.books import Library
from services.writer.ledgers import LedgersAtMarks
from tests.conftest import temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.saga import Saga, emptied, random_saga
from tests.services.test_law import StopAfter, free, text
from tests.services.test_ledgers import known

POSITIONS = 3
"""So many in each state of the checkpoints."""

ASKED_VALUES = {
    "agent": ("a1", "a2"),
    "persona": ("plot", "poet"),
    "entity": ("t1", "t2", "a1", "good", "colour", "poet", "main"),
    "user": ("a1", "a3"),
    "scope": ("project", "user"),
    "actor": ("op", "a1"),
    "event": ("task.enqueued", "agent.terminated", "project.restored"),
    "task": ("t1", "t2"),
}


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def log(url: str) -> Iterator[EventLog]:
    with opened_log(url) as log:
        yield log


class Trial:
    """One history, being projected and looked back at."""

    def __init__(self, log: EventLog, url: str, random: Random) -> None:
        emptied(url)
        self.log = log
        self.url = url
        self.random = random
        self.spacing_events = random.randint(5, 40)

    def project(self, saga: Saga) -> None:
        """Append and project it bit by bit, by projectors that come and go; verify after each."""
        random = self.random
        while saga.append(self.log, random.randint(1, 100)):
            self._project_some(random.randint(2, 40), random.randint(0, 6))
            if random.random() < 0.3:
                self.give_up_some()
            if random.random() < 0.3:
                assert self._differences() == []
        self._projector(random.randint(2, 40)).catch_up()
        assert self._differences() == []

    def rest(self) -> None:
        """Leave all as the projector left it."""

    def give_up_some(self) -> None:
        """Some checkpoints, none or all."""
        with connected(self.url) as connection:
            share = self.random.choice((0, 0.3, 0.7, 1))
            known = [each.position for each in checkpoints(connection)]
            prune(connection, PROJECTIONS, [each for each in known if self.random.random() < share])

    def build_anew(self) -> None:
        """Some of the projections."""
        some = [each for each in PROJECTIONS if self.random.random() < 0.5]
        rebuild(self.log, CODEC, self.url, some, batch_events=self.random.randint(2, 40))
        assert self._differences() == []

    def check(self, connection: Connection, project: str, position: int) -> None:
        """The law, for one project at one position: some of its rows, and a view of them."""
        random = self.random
        view = random.choice([*VIEWS])
        listed = VIEWS[view].projection
        some = [listed, *random.sample([each for each in PROJECTIONS if each is not listed], 2)]
        expected = replay(self.log, CODEC, some, project, position)
        near, far = Travel(self.log, CODEC, connection), Travel(self.log, CODEC)
        for projection in some:
            rows, where = expected[projection.name], (project, position, projection.name)
            assert near.rows(projection, project, position) == rows, where
            keys = self._some_keys(rows, projection, project)
            held = {key: rows[key] for key in keys if key in rows}
            assert near.rows(projection, project, position, keys) == held, where
        asked = self._asked(view)
        shown = shape(view, [*expected[view].values()], asked)
        assert near.view(project, view, position, asked) == shown, (project, position, view, asked)
        travel = random.choice((near, far, far))
        assert travel.rows(some[0], project, position) == expected[some[0].name]
        assert travel.view(project, view, position, asked) == shown

    def check_ledger(self, saga: Saga, project: str) -> None:
        """What a fork or a restore would go back to, which the writer begins at a checkpoint."""
        sequence = self.random.randint(1, saga.last(project))
        near = Library(self.log, CODEC, LedgersAtMarks(self.log, CODEC, self.url))
        far = Library(self.log, CODEC)
        found, expected = (known(each.ledger_at(project, sequence)) for each in (near, far))
        assert found == expected, (project, sequence)

    def _some_keys(self, rows: Rows, projection: Projection[Any], project: str) -> list[Key]:
        """Some that there are, and one that there is not."""
        known = [key for key in rows if self.random.random() < 0.2]
        types = {column.name: column.type for column in projection.columns}
        none: Key = (project, *(0 if types[name] == "bigint" else "none" for name in projection.key))
        return [*known, none]

    def _asked(self, view: str) -> dict[str, Any]:
        """Some of what the view takes."""
        random = self.random
        asked: dict[str, Any] = {"limit": random.randint(1, 8), "offset": random.choice((0, 0, 1, 5))}
        for name in view_params(view).__struct_fields__:
            if name in ASKED_VALUES and random.random() < 0.3:
                asked[name] = random.choice(ASKED_VALUES[name])
        return asked

    def _project_some(self, batch_events: int, batches: int) -> None:
        """A projector that is told to stop after so many batches, or before it would find nothing to do."""
        with connected(self.url) as connection:
            behind = self.log.head() - min(each.position for each in tracked(connection).values())
        asked = 2  # before it works and before it leads
        self._projector(batch_events).run(StopAfter(asked + min(batches, behind // batch_events)))

    def _projector(self, batch_events: int) -> Projector:
        return Projector(
            self.log,
            CODEC,
            self.url,
            PROJECTIONS,
            batch_events=batch_events,
            checkpoint_events=self.spacing_events,
        )

    def _differences(self) -> list[Any]:
        return verify(self.log, CODEC, self.url, PROJECTIONS)


def random_histories(examples: int, length: st.SearchStrategy[int]) -> Callable[[Any], Any]:
    """With what a saga is made of."""
    given_it = given(
        random=st.randoms(use_true_random=True),
        length=length,
        values=st.lists(free, min_size=4, max_size=4),
        texts=st.lists(text, min_size=4, max_size=4),
    )
    set_up = settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller random history says no more
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    return lambda test: set_up(given_it(test))


@random_histories(3, st.integers(30, 120))
def test_the_past_is_the_same_by_whatever_way(
    log: EventLog, url: str, random: Random, length: int, values: list[Any], texts: list[str]
) -> None:
    trial, saga = Trial(log, url, random), random_saga(random, length, values, texts)
    trial.project(saga)
    for change in (trial.rest, trial.give_up_some, trial.build_anew):
        change()
        for project in saga.stories:
            trial.check_ledger(saga, project)
        with connected(url) as connection:
            for position in [random.randint(0, log.head() + 1) for _ in range(POSITIONS)]:
                for project in saga.stories:
                    trial.check(connection, project, position)


@random_histories(2, st.integers(8, 15))
def test_a_short_past_is_the_same_at_every_position(
    log: EventLog, url: str, random: Random, length: int, values: list[Any], texts: list[str]
) -> None:
    trial, saga = Trial(log, url, random), random_saga(random, length, values, texts)
    trial.project(saga)
    random.choice((trial.rest, trial.give_up_some, trial.build_anew))()
    with connected(url) as connection:
        for position in range(log.head() + 2):
            for project in saga.stories:
                trial.check(connection, project, position)
