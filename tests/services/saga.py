"""Several projects in one log, decided by the real domain: worked in by turns, forked, restored, imported.

It decides forks and restores as the writer does, on the ledger of the moment gone back to.
"""

from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

from msgspec.structs import replace
from psycopg.sql import SQL, Identifier

from domain.agents import SpawnAgent
from domain.decider import check_turn, evolve, turn
from domain.errors import Rejection
from domain.ledger import Ledger
from domain.lineage import Fork, Lineage, Restore, Turn, includes, trace
from domain.messages import Command, Context, Recorded
from domain.project import Bounds, ForkProject, ProjectCommand, ProjectForked, ProjectRestored, RestoreProject
from domain.tasks.commands import EnqueueTask
from projections.catalog import PROJECTIONS
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.projector.tracking import set_up
from tests.projections.stories import Story
from tests.services.stories import stored
from tests.services.test_law import AGENTS, DEEDS, PAUSES_S, Chance

MAX_PROJECTS = 6


class Saga:
    """Projects by name, and what happened in all of them, in order."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}
        self.happened: list[Recorded] = []
        self._began: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def begin(self, project: str) -> None:
        self._add(Story(project), 0)

    def do(self, project: str, actor: str, *commands: Command) -> int:
        """What these commands bring about in a project; returns the sequence of its last event."""
        self.stories[project].do(actor, *commands)
        return self._tell(project)

    def staff(self, project: str) -> None:
        """New agents of the names that everybody knows."""
        self.do(project, "op", *(SpawnAgent(agent=name, persona="plot") for name in AGENTS))

    def tick(self, project: str, seconds: float) -> None:
        self.stories[project].tick(seconds)
        self._tell(project)

    def fork(self, origin: str, sequence: int, project: str) -> int:
        """Begin a project as another was; returns the sequence of its last event."""
        source, story = self.stories[origin], Story(project)
        story.now = source.now
        story.history = [_renamed(recorded, project) for recorded in source.history[:sequence]]
        command = ForkProject(origin=origin, sequence=sequence)
        self._turn(story, command, origin)
        self._add(story, sequence)
        return self._tell(project)

    def restore(self, project: str, sequence: int) -> int:
        """Make a project what it was; returns the sequence of its last event."""
        story = self.stories[project]
        self._turn(story, RestoreProject(sequence=sequence, reason="wrong way"), project)
        return self._tell(project)

    def copy(self, project: str, name: str) -> None:
        """Import a project's whole history, as a project that stands alone."""
        source, story = self.stories[project], Story(name)
        story.now = source.now
        story.history = [_renamed(recorded, name) for recorded in source.history]
        story.ledger = self.ledger_at(project, len(source.history), name)
        self._add(story, 0)
        self._tell(name)

    def last(self, project: str) -> int:
        return len(self.stories[project].history)

    def command_ends(self, project: str, sequence: int) -> int:
        """The last event of the command that this event belongs to."""
        history = self.stories[project].history
        while sequence < len(history) and _command(history[sequence]) == _command(history[sequence - 1]):
            sequence += 1
        return sequence

    def lineage(self, project: str) -> Lineage:
        return trace(project, self._turns_of)

    def ledger_at(self, project: str, sequence: int, name: str | None = None) -> Ledger:
        """What a project's ledger was right after an event."""
        ledger = Ledger(name or project)
        counted = self.lineage(project).effective(sequence)
        for recorded in self.stories[project].history[:sequence]:
            if includes(counted, recorded.sequence):
                evolve(ledger, recorded.event, recorded.sequence, recorded.at)
        return ledger

    def append(self, log: EventLog, events: int | None = None) -> int:
        """Store so many more events of what happened, or all that is left; returns how many are left."""
        count = len(self.happened) if events is None else events
        log.append(stored(self.happened[:count]))
        del self.happened[:count]
        return len(self.happened)

    def _add(self, story: Story, inherited: int) -> None:
        self.stories[story.project] = story
        self._began[story.project] = self._told[story.project] = inherited

    def _turn(self, story: Story, command: ProjectCommand, source: str) -> None:
        context = Context(
            project=story.project, actor="op", at=story.now, command_id=f"turn-{len(self.happened)}"
        )
        bounds = Bounds(last=self.last(source), command_ends=self.command_ends(source, command.sequence))
        check_turn(story.ledger, command, context, bounds)
        then = self.ledger_at(source, command.sequence)
        events = turn(story.ledger, command, context, then)
        story.ledger = then
        story._record(events, "op", context.command_id)

    def _tell(self, project: str) -> int:
        history = self.stories[project].history
        self.happened += history[self._told[project] :]
        self._told[project] = len(history)
        return len(history)

    def _turns_of(self, stream: str) -> list[Turn]:
        """Those in a project's own stream, which a fork begins, but an imported one does not."""
        turns: list[Turn] = []
        began = self._began[stream]
        for recorded in self.stories[stream].history[began:]:
            match recorded.event:
                case ProjectForked(origin=origin, sequence=sequence) if recorded.sequence == began + 1:
                    turns.append(Fork(origin, sequence))
                case ProjectRestored(sequence=sequence):
                    turns.append(Restore(at=recorded.sequence, to=sequence))
                case _:
                    pass
        return turns


def random_saga(random: Random, length: int, values: Sequence[Any], texts: Sequence[str]) -> Saga:
    """So many things asked in several projects by turns, some of them forks and restores to any point."""
    saga = Saga()
    for project in ("main", "other"):
        saga.begin(project)
        saga.staff(project)
    for _ in range(length):
        project = random.choice([*saga.stories])
        sequence = saga.command_ends(project, random.randint(1, saga.last(project)))
        deed = random.random()
        name = f"p{len(saga.stories)}"
        if deed < 0.04 and len(saga.stories) < MAX_PROJECTS:
            saga.fork(project, sequence, name)
            saga.staff(name)
        elif deed < 0.05 and len(saga.stories) < MAX_PROJECTS:
            saga.copy(project, name)
        elif deed < 0.1:
            saga.restore(project, sequence)
            saga.staff(project)
        else:
            _work(saga, project, Chance(saga.stories[project].ledger, random, values, texts))
    return saga


def emptied(url: str) -> None:
    """Make a database, which may be without tables yet, as if nothing had ever happened."""
    with connected(url) as connection:
        set_up(connection, PROJECTIONS)
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'coord'").fetchall()
        names = [Identifier("coord", name) for (name,) in found if name != "projections"]
        connection.execute(SQL("TRUNCATE {} RESTART IDENTITY").format(SQL(", ").join(names)))
        connection.execute("UPDATE coord.projections SET position = 0")


def _work(saga: Saga, project: str, chance: Chance) -> None:
    actor, command = chance.one(again, *DEEDS)(chance)
    with suppress(Rejection):
        saga.do(project, actor, command)
    saga.tick(project, chance.one(*PAUSES_S))


def again(chance: Chance) -> tuple[str, Command]:
    """A few names for tasks: what a restore took back is often made once more, and otherwise."""
    task, *needed = (f"t{number}" for number in chance.random.sample(range(1, 7), 3))
    known = chance.ledger.tasks
    depends_on = tuple(name for name in needed if name in known.live or name in known.completed)
    return "op", EnqueueTask(id=task, title=chance.text, depends_on=depends_on, priority=chance.number(5))


def _renamed(recorded: Recorded, project: str) -> Recorded:
    return replace(recorded, project=project)


def _command(recorded: Recorded) -> tuple[str, str]:
    return recorded.actor, recorded.command_id
