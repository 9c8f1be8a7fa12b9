"""Projects as a whole: forked from a point of another's history, restored to a point of their own.

Both make a project what one was at a moment. What was alive then is ended by events of its own: nobody works
in a fork before being spawned there, and after a restore no lease of before holds. `domain/lineage.py` says
which events make a project's state afterwards.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain import agents, bookmarks
from domain.agents import AgentTerminated
from domain.errors import InsideCommand, ProjectExists, ReservedProject, UnknownProject, UnknownSequence
from domain.messages import SYSTEM_PROJECT, Command, Event, Name, Text

if TYPE_CHECKING:
    from domain.ledger import Ledger

REASON_CHARS = 200
"""How much of a restore's reason everybody whom it ends is told."""

Sequence = Annotated[int, Constraint(ge=1)]


class ForkProject(Command, frozen=True, kw_only=True):
    """Let this project begin as `origin` was right after its event `sequence`."""

    name: ClassVar[str] = "project.fork"

    origin: Name
    sequence: Sequence
    reason: Text = ""


class RestoreProject(Command, frozen=True, kw_only=True):
    """Make the project what it was right after its event `sequence`."""

    name: ClassVar[str] = "project.restore"

    sequence: Sequence
    reason: Annotated[Text, Constraint(min_length=1)]


class ProjectEvent(Event, frozen=True, kw_only=True):
    project: str

    @property
    def entity(self) -> str:
        return self.project


class ProjectForked(ProjectEvent, frozen=True, kw_only=True):
    """The first event of a fork. Its own sequence follows the origin's, and so do all after it."""

    name: ClassVar[str] = "project.forked"

    origin: str
    sequence: int
    reason: str = ""


class ProjectRestored(ProjectEvent, frozen=True, kw_only=True):
    """`fence_floor` is the highest fence there ever was: every later one is higher."""

    name: ClassVar[str] = "project.restored"

    sequence: int
    reason: str
    fence_floor: int


class Bounds(Struct, frozen=True):
    """The last sequence of a project, and the last one of the command that a given sequence belongs to."""

    last: int
    command_ends: int


ProjectCommand = ForkProject | RestoreProject
AnyProjectEvent = ProjectForked | ProjectRestored


def check(ledger: "Ledger", command: ProjectCommand, bounds: Bounds) -> None:
    """May the project turn so? `bounds` are of the project gone back to.

    Raises ReservedProject, ProjectExists, UnknownProject, UnknownSequence or InsideCommand.
    """
    match command:
        case ForkProject(origin=source):
            if ledger.sequence:
                raise ProjectExists(project=ledger.project)
        case RestoreProject():
            source = ledger.project
        case _:
            assert_never(command)
    if SYSTEM_PROJECT in (source, ledger.project):
        raise ReservedProject(project=SYSTEM_PROJECT)
    if not bounds.last:
        raise UnknownProject(project=source)
    if command.sequence > bounds.last:
        raise UnknownSequence(project=source, sequence=command.sequence, last=bounds.last)
    if command.sequence != bounds.command_ends:
        raise InsideCommand(project=source, sequence=command.sequence, last=bounds.command_ends)


def decide(ledger: "Ledger", command: ProjectCommand, then: "Ledger") -> tuple[Event, ...]:
    """What a command that passed its checks brings about, `then` being the ledger of the moment gone back to.

    Every row that changes afterwards is named by an event.
    """
    match command:
        case ForkProject(origin=origin, sequence=sequence):
            forked = ProjectForked(
                project=ledger.project, origin=origin, sequence=sequence, reason=command.reason
            )
            return (forked, *agents.terminate_all(then, f"forked from {origin} at #{sequence}"))
        case RestoreProject(sequence=sequence):
            restored = ProjectRestored(
                project=ledger.project,
                sequence=sequence,
                reason=command.reason,
                fence_floor=ledger.highest_fence(),
            )
            reason = f"restored to #{sequence}: {command.reason[:REASON_CHARS]}"
            later = sorted(ledger.agents.keys() - then.agents.keys())
            ended = (AgentTerminated(agent=name, reason=reason) for name in later)
            ends = agents.terminate_all(then, reason)
            return (restored, *ends, *ended, *bookmarks.kept(ledger, then))
        case _:
            assert_never(command)


def evolve(ledger: "Ledger", event: AnyProjectEvent) -> None:
    match event:
        case ProjectForked():
            pass  # the ledger is already that of the origin
        case ProjectRestored():
            ledger.fence_floor = max(ledger.fence_floor, event.fence_floor)
        case _:
            assert_never(event)
