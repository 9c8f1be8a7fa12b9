"""Patterns: how things are done here, and how well files keep to it."""

from typing import TYPE_CHECKING, Annotated, ClassVar, assert_never

from msgspec import Meta as Constraint

from domain.errors import UnknownPattern
from domain.messages import Command, Event, Key, TaskId, Text

if TYPE_CHECKING:
    from domain.ledger import Ledger

File = Annotated[str, Constraint(min_length=1, max_length=400)]
Percent = Annotated[int, Constraint(ge=0, le=100)]


class DefinePattern(Command, frozen=True, kw_only=True):
    """Say how a thing is done here; the same name again says it anew."""

    name: ClassVar[str] = "pattern.define"

    pattern: Key
    description: Annotated[Text, Constraint(min_length=1)]
    example: Text = ""


class UsePattern(Command, frozen=True, kw_only=True):
    """Say how well a file keeps to a pattern, from 0 to 100."""

    name: ClassVar[str] = "pattern.use"

    pattern: Key
    file: File
    compliance: Percent
    note: Text = ""
    task: TaskId | None = None


class PatternDefined(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "pattern.defined"

    pattern: str
    description: str
    example: str = ""

    @property
    def entity(self) -> str:
        return self.pattern


class PatternUsed(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "pattern.used"

    pattern: str
    file: str
    compliance: int
    note: str = ""
    task: str | None = None

    @property
    def entity(self) -> str:
        return self.pattern


PatternCommand = DefinePattern | UsePattern
AnyPatternEvent = PatternDefined | PatternUsed


def decide(ledger: "Ledger", command: PatternCommand) -> tuple[Event, ...]:
    match command:
        case DefinePattern():
            return (
                PatternDefined(
                    pattern=command.pattern, description=command.description, example=command.example
                ),
            )
        case UsePattern():
            if command.pattern not in ledger.knowledge.patterns:
                raise UnknownPattern(pattern=command.pattern)
            return (
                PatternUsed(
                    pattern=command.pattern,
                    file=command.file,
                    compliance=command.compliance,
                    note=command.note,
                    task=command.task,
                ),
            )
        case _:
            assert_never(command)


def evolve(ledger: "Ledger", event: AnyPatternEvent) -> None:
    match event:
        case PatternDefined():
            ledger.knowledge.patterns.add(event.pattern)
        case PatternUsed():
            pass  # nothing that a decision would ask for
        case _:
            assert_never(event)
