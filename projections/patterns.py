"""Patterns: how things are done here, and how well each file keeps to them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from domain.knowledge.patterns import PatternDefined, PatternUsed
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class PatternRow(Row, frozen=True, kw_only=True):
    """A pattern; `average_compliance`, from 0 to 100, is that of all its uses, None while there is none.

    `sequence` is that of the event that defined it last.
    """

    pattern: str
    sequence: int
    description: str
    example: str
    defined_by: str
    defined_at: datetime
    uses: int = 0
    average_compliance: float | None = None


class PatternUseRow(Row, frozen=True, kw_only=True):
    """How well a file kept to a pattern when it was looked at last, from 0 to 100, and how often that was."""

    pattern: str
    file: str
    compliance: int
    note: str
    task: str | None
    agent: str
    used_at: datetime
    uses: int = 1


class PatternParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    agent: str | None = None
    text: Search | None = None


class PatternUseParams(Page, frozen=True, kw_only=True):
    """`compliance` is the least that a row has."""

    entity: str | None = None
    pattern: str | None = None
    file: str | None = None
    task: str | None = None
    agent: str | None = None
    compliance: Annotated[int, Meta(ge=0, le=100)] | None = None


def defined(row: PatternRow | None, event: PatternDefined, recorded: Recorded) -> PatternRow:
    """Said anew, it keeps what is known of its uses."""
    return PatternRow(
        project=recorded.project,
        pattern=event.pattern,
        sequence=recorded.sequence,
        description=event.description,
        example=event.example,
        defined_by=recorded.actor,
        defined_at=recorded.at,
        uses=row.uses if row else 0,
        average_compliance=row.average_compliance if row else None,
    )


@known
def counted(row: PatternRow, event: PatternUsed, _: Recorded) -> PatternRow:
    uses = row.uses + 1
    average = row.average_compliance or 0.0
    return replace(row, uses=uses, average_compliance=average + (event.compliance - average) / uses)


def used(row: PatternUseRow | None, event: PatternUsed, recorded: Recorded) -> PatternUseRow:
    return PatternUseRow(
        project=recorded.project,
        pattern=event.pattern,
        file=event.file,
        compliance=event.compliance,
        note=event.note,
        task=event.task,
        agent=recorded.actor,
        used_at=recorded.at,
        uses=row.uses + 1 if row else 1,
    )


PATTERNS = Projection(
    name="patterns",
    version=2,
    row=PatternRow,
    key=("pattern",),
    folds=(on(PatternDefined, defined), on(PatternUsed, counted)),
)

PATTERN_USES = Projection(
    name="pattern_uses",
    version=1,
    row=PatternUseRow,
    key=("pattern", "file"),
    folds=(on(PatternUsed, used, key=lambda event, _: (event.pattern, event.file)),),
)

PATTERNS_VIEW = View(
    projection=PATTERNS,
    params=PatternParams,
    order=("pattern",),
    compares={"entity": ("pattern",), "agent": ("defined_by",)},
    searches=("pattern", "description", "example"),
)

PATTERN_USES_VIEW = View(
    projection=PATTERN_USES,
    params=PatternUseParams,
    order=("compliance", "pattern", "file"),
    compares={"entity": ("pattern",)},
    least={"compliance": "compliance"},
)
