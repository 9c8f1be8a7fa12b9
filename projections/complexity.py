"""Complexity: each file as it was measured last, where it is going, and a warning when it grows too fast."""

from datetime import datetime

from domain.knowledge.complexity import ComplexityMeasured
from domain.messages import Recorded
from projections.framework import Key, Projection, Row, on_each
from projections.views import Page, Search, View

REMEMBERED_SCORES = 5
WARNING_GROWTH = 0.5
"""Grown by more than this part of itself within the remembered scores, a file is warned of."""


class ComplexityRow(Row, frozen=True, kw_only=True):
    """A file; `scores` are the last five, the latest last.

    `growth` is the last by the first of them, less 1; None until there are two, and where the first is 0.
    """

    file: str
    score: float
    lines: int
    functions: int
    dependencies: int
    scores: tuple[float, ...]
    growth: float | None
    warning: bool
    measured_by: str
    measured_at: datetime


class ComplexityParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    file: tuple[str, ...] = ()
    warning: bool | None = None
    text: Search | None = None


def measured(
    row: ComplexityRow | None, event: ComplexityMeasured, recorded: Recorded, key: Key
) -> ComplexityRow:
    found = next(each for each in event.files if each.file == key[1])
    scores = (*(row.scores if row else ()), found.score)[-REMEMBERED_SCORES:]
    growth = _growth(scores)
    return ComplexityRow(
        project=recorded.project,
        file=found.file,
        score=found.score,
        lines=found.lines,
        functions=found.functions,
        dependencies=found.dependencies,
        scores=scores,
        growth=growth,
        warning=growth is not None and growth > WARNING_GROWTH,
        measured_by=recorded.actor,
        measured_at=recorded.at,
    )


def _growth(scores: tuple[float, ...]) -> float | None:
    if len(scores) < 2 or not scores[0]:
        return None
    growth = scores[-1] / scores[0] - 1
    return growth if abs(growth) < _BEYOND else None


_BEYOND = 1e15
"""A growth from next to nothing says nothing."""

COMPLEXITY = Projection(
    name="complexity",
    version=1,
    row=ComplexityRow,
    key=("file",),
    folds=(on_each(ComplexityMeasured, measured, keys=lambda event, _: [each.file for each in event.files]),),
)

COMPLEXITY_VIEW = View(
    projection=COMPLEXITY,
    params=ComplexityParams,
    order=("-score", "file"),
    compares={"entity": ("file",)},
    searches=("file",),
)
