"""Complexity: how large and tangled files are, measured from time to time."""

from typing import Annotated, ClassVar

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.knowledge.patterns import File
from domain.messages import Command, Event

MAX_FILES = 1_000

Count = Annotated[int, Constraint(ge=0, le=100_000_000)]
Score = Annotated[float, Constraint(ge=0, le=1e9)]


class Measured(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A file as it was measured. `score` is on the measurer's own scale, the same from time to time."""

    file: File
    score: Score
    lines: Count = 0
    functions: Count = 0
    dependencies: Count = 0


class SnapshotComplexity(Command, frozen=True, kw_only=True):
    """Record how complex files are now."""

    name: ClassVar[str] = "complexity.snapshot"

    files: Annotated[tuple[Measured, ...], Constraint(min_length=1, max_length=MAX_FILES)]


class ComplexityMeasured(Event, frozen=True, kw_only=True):
    """Each file once."""

    name: ClassVar[str] = "complexity.measured"

    files: tuple[Measured, ...]

    @property
    def entity(self) -> str:
        return self.files[0].file


def decide(command: SnapshotComplexity) -> tuple[Event, ...]:
    """Of a file that is named twice the last measurement counts."""
    files = {each.file: each for each in command.files}
    return (ComplexityMeasured(files=tuple(files.values())),)
