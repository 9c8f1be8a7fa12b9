"""A stage for time travel: projects that work, fork and restore as told, are projected and looked back at.

What is played on it stands in every way to marks, batches and other turns in which forks and restores can.
"""

from collections.abc import Callable, Sequence
from typing import Any

from domain.bookmarks import SetBookmark
from domain.handoffs import Baggage, InitiateHandoff
from domain.learning import CloseEstimate, RecordEstimate
from domain.settings import SetSetting
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueueTask
from projections.activity import ACTIVITY
from projections.agents import AGENTS
from projections.catalog import PROJECTIONS
from projections.dependencies import DEPENDENCIES
from projections.framework import Projection
from projections.queue import QUEUE
from projections.settings import SETTINGS
from services.audit.verify import verify
from services.log.event_log import EventLog
from services.projector.checkpoints import cut
from services.projector.projector import Projector
from services.projector.tables import connected
from services.reading.replay import replay
from services.reading.travel import Travel
from tests.services.running import CODEC
from tests.services.saga import Saga, emptied

BATCH_EVENTS = 7
LOOKED_AT = (AGENTS, QUEUE, DEPENDENCIES, SETTINGS, ACTIVITY)
"""Projections of every kind: rows that change, rows that are only added, and records."""


class Stage:
    """Projects that are played out, stored and projected."""

    def __init__(self, log: EventLog, url: str) -> None:
        emptied(url)
        self.log = log
        self.url = url
        self.saga = Saga()
        self.saga.begin("main")

    def work(self, project: str = "main", rounds: int = 1) -> int:
        """A task is made that waits for the one before, and one is done; returns the last sequence.

        What a restore took back is made again under the same names.
        """
        saga, ledger = self.saga, self.saga.stories[project].ledger
        if "a1" not in ledger.agents:
            saga.staff(project)
        for _ in range(rounds):
            number = len(ledger.tasks.live) + len(ledger.tasks.completed)
            depends_on = (f"t{number - 1}",) if number else ()
            saga.tick(project, 1)
            saga.do(project, "op", EnqueueTask(id=f"t{number}", title="Part", depends_on=depends_on))
            saga.do(project, "a1", ClaimTask())
            if number == 2:
                self._hand_over(project, "a1", "a2")
            for name in [*ledger.agents["a1"].held]:
                fence = ledger.tasks.live[name].fence
                saga.do(project, "a1", CompleteTask(task=name, fence=fence, result={"round": number}))
            saga.do(project, "op", SetSetting(key="colour", value=saga.last(project)))
        estimate = saga.stories[project].do("a2", RecordEstimate(feature="part", sessions=2, complexity=3))
        if saga.last(project) % 2:
            saga.do(project, "a2", CloseEstimate(estimate=estimate[0].entity, sessions=3))
        return saga.do(project, "op", SetBookmark(bookmark="good", sequence=1, note=str(saga.last(project))))

    def _hand_over(self, project: str, giver: str, taker: str) -> None:
        ledger = self.saga.stories[project].ledger
        for name in [*ledger.agents[giver].held][:1]:
            fence, context = ledger.tasks.live[name].fence, Baggage(goal="an end")
            offer = InitiateHandoff(task=name, fence=fence, to_agent=taker, context=context)
            self.saga.do(project, giver, offer)

    def restore(self, project: str, sequence: int) -> None:
        self.saga.restore(project, sequence)

    def fork(self, origin: str, sequence: int, project: str) -> None:
        self.saga.fork(origin, sequence, project)

    def project(self, projections: Sequence[Projection[Any]] = PROJECTIONS, **more: int) -> None:
        """Store and project all that has happened."""
        self.saga.append(self.log)
        self.projector(projections, **more).catch_up()

    def mark(self) -> int:
        """Store and project all, and cut a checkpoint there; returns its position."""
        self.project()
        with connected(self.url) as connection:
            return cut(connection, PROJECTIONS).position

    def projector(
        self,
        projections: Sequence[Projection[Any]] = PROJECTIONS,
        *,
        batch_events: int = BATCH_EVENTS,
        checkpoint_events: int = 10_000,
    ) -> Projector:
        return Projector(
            self.log,
            CODEC,
            self.url,
            projections,
            batch_events=batch_events,
            checkpoint_events=checkpoint_events,
        )

    def differences(self) -> list[Any]:
        return verify(self.log, CODEC, self.url, PROJECTIONS)

    def check(self, positions: Sequence[int] = ()) -> None:
        """Verify the tables, and travel to these positions, or to the end and one before it."""
        assert self.differences() == []
        head = self.log.head()
        for position in positions or (head, 2 * head // 3):
            for project in self.saga.stories:
                self.check_at(project, position)

    def check_at(self, project: str, position: int) -> None:
        expected = replay(self.log, CODEC, LOOKED_AT, project, position)
        with connected(self.url) as connection:
            travel = Travel(self.log, CODEC, connection)
            for projection in LOOKED_AT:
                found = travel.rows(projection, project, position)
                assert found == expected[projection.name], (project, position, projection.name)


def forked_at_a_mark(stage: Stage) -> None:
    point = stage.work(rounds=2)
    stage.mark()
    stage.fork("main", point, "side")


def forked_between_marks(stage: Stage) -> None:
    stage.work(rounds=2)
    stage.mark()
    point = stage.work()
    stage.work()
    stage.mark()
    stage.work()
    stage.fork("main", point, "side")


def forked_before_any_mark(stage: Stage) -> None:
    point = stage.work()
    stage.work()
    stage.mark()
    stage.fork("main", point, "side")


def forked_without_marks(stage: Stage) -> None:
    point = stage.work()
    stage.work()
    stage.fork("main", point, "side")


def forked_from_a_fork(stage: Stage) -> None:
    first = stage.work()
    stage.mark()
    stage.fork("main", stage.work(), "side")
    second = stage.work("side")
    stage.mark()
    stage.work("side")
    stage.fork("side", second, "deep")
    stage.fork("side", first, "early")
    stage.work("deep")
    stage.mark()
    stage.fork("deep", stage.work("deep"), "deeper")
    for project in ("early", "deeper"):
        stage.work(project)


def forked_from_a_restored_project(stage: Stage) -> None:
    point = stage.work()
    stage.mark()
    stage.work(rounds=2)
    stage.restore("main", point)
    stage.fork("main", stage.work(), "side")
    stage.mark()
    stage.fork("main", stage.work(), "late")
    stage.work("late")


def forked_from_time_taken_back(stage: Stage) -> None:
    point = stage.work()
    stage.mark()
    undone = stage.work()
    stage.mark()
    later = stage.work()
    stage.restore("main", point)
    stage.work()
    stage.fork("main", undone, "side")
    stage.fork("main", later, "late")
    stage.work("late")


def restored_to_before_a_mark(stage: Stage) -> None:
    point = stage.work()
    stage.work()
    stage.mark()
    stage.work()
    stage.restore("main", point)


def restored_to_after_a_mark(stage: Stage) -> None:
    stage.work()
    stage.mark()
    point = stage.work()
    stage.work(rounds=2)
    stage.restore("main", point)


def restored_without_marks(stage: Stage) -> None:
    point = stage.work()
    stage.work()
    stage.restore("main", point)


def a_restore_undone(stage: Stage) -> None:
    point = stage.work()
    stage.mark()
    later = stage.work()
    stage.restore("main", point)
    stage.work(rounds=2)
    stage.mark()
    stage.restore("main", later)
    stage.work()
    stage.restore("main", point)


def restored_twice_to_one_point(stage: Stage) -> None:
    stage.work()
    stage.mark()
    point = stage.work()
    for _ in range(2):
        stage.work(rounds=2)
        stage.restore("main", point)
        stage.project()


def restored_twice_with_nothing_between(stage: Stage) -> None:
    point = stage.work()
    stage.work()
    stage.mark()
    stage.restore("main", point)
    stage.restore("main", point)


def restored_in_a_fork_to_before_it(stage: Stage) -> None:
    first = stage.work()
    stage.mark()
    stage.work()
    stage.fork("main", stage.work(), "side")
    stage.work("side")
    stage.mark()
    stage.work("side")
    stage.restore("side", first)


def restored_in_a_fork_to_after_it(stage: Stage) -> None:
    stage.fork("main", stage.work(), "side")
    stage.mark()
    point = stage.work("side")
    stage.work("side")
    stage.restore("side", point)


def the_origin_restored_below_a_fork(stage: Stage) -> None:
    first = stage.work()
    stage.fork("main", stage.work(), "side")
    stage.mark()
    stage.work("side")
    stage.restore("main", first)


def imported_after_forks_and_restores(stage: Stage) -> None:
    restored_in_a_fork_to_after_it(stage)
    stage.work("side")
    stage.saga.copy("side", "copy")
    point = stage.work("copy")
    stage.mark()
    stage.work("copy")
    stage.restore("copy", point)
    stage.fork("copy", 20, "of-copy")
    stage.work("of-copy")


def within_one_command_after_the_other(stage: Stage) -> None:
    """All in one batch: several turns in a row."""
    point = stage.work()
    stage.fork("main", point, "side")
    stage.restore("main", point)
    stage.fork("main", stage.saga.last("main"), "late")
    stage.restore("side", point)
    stage.restore("main", stage.saga.last("main"))


CASES: tuple[Callable[[Stage], None], ...] = (
    forked_at_a_mark,
    forked_between_marks,
    forked_before_any_mark,
    forked_without_marks,
    forked_from_a_fork,
    forked_from_a_restored_project,
    forked_from_time_taken_back,
    restored_to_before_a_mark,
    restored_to_after_a_mark,
    restored_without_marks,
    a_restore_undone,
    restored_twice_to_one_point,
    restored_twice_with_nothing_between,
    restored_in_a_fork_to_before_it,
    restored_in_a_fork_to_after_it,
    the_origin_restored_below_a_fork,
    imported_after_forks_and_restores,
    within_one_command_after_the_other,
)


def everything(stage: Stage) -> None:
    """Forks and restores of every kind, with marks between them."""
    stage.work(rounds=2)
    stage.fork("main", stage.work(), "side")
    point = stage.work()
    stage.work("side", rounds=2)
    stage.restore("main", point - 1)
    stage.work()
    stage.saga.begin("plain")
    stage.work("plain", rounds=2)
    stage.restore("side", stage.saga.command_ends("side", 5))
    stage.fork("side", stage.work("side"), "deep")
    stage.work("deep")
