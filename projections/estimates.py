"""Estimates against what the work took in truth, and the factor by which to correct the next one."""

from datetime import datetime

from msgspec.structs import replace

from domain.correction import Basis, ratio_of
from domain.learning import EstimateClosed, EstimateRecorded
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class EstimateRow(Row, frozen=True, kw_only=True):
    """An estimate in sessions, and what it was corrected to by the `factor` of its `basis`.

    Once closed, `ratio` is actual by estimated sessions.
    """

    estimate: str
    feature: str
    persona: str | None
    complexity: int
    estimated_sessions: float
    recorded_by: str
    recorded_at: datetime
    corrected_sessions: float | None = None
    factor: float | None = None
    basis: Basis | None = None
    actual_sessions: float | None = None
    ratio: float | None = None
    files_created: int = 0
    files_modified: int = 0
    notes: str = ""
    closed_by: str | None = None
    closed_at: datetime | None = None


class EstimateParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    feature: str | None = None
    persona: str | None = None
    agent: str | None = None
    text: Search | None = None


def recorded_estimate(_: EstimateRow | None, event: EstimateRecorded, recorded: Recorded) -> EstimateRow:
    return EstimateRow(
        project=recorded.project,
        estimate=event.estimate,
        feature=event.feature,
        persona=event.persona,
        complexity=event.complexity,
        estimated_sessions=event.sessions,
        recorded_by=recorded.actor,
        recorded_at=recorded.at,
        corrected_sessions=event.corrected,
        factor=event.factor,
        basis=event.basis,
    )


@known
def closed(row: EstimateRow, event: EstimateClosed, recorded: Recorded) -> EstimateRow:
    return replace(
        row,
        actual_sessions=event.sessions,
        ratio=ratio_of(event.sessions, event.estimated),
        files_created=event.files_created,
        files_modified=event.files_modified,
        notes=event.notes,
        closed_by=recorded.actor,
        closed_at=recorded.at,
    )


ESTIMATES = Projection(
    name="estimates",
    version=3,
    row=EstimateRow,
    key=("estimate",),
    folds=(on(EstimateRecorded, recorded_estimate), on(EstimateClosed, closed)),
    queries={
        "closed": "SELECT ratio, persona, complexity, closed_at FROM {table}"
        " WHERE project = %(project)s AND ratio IS NOT NULL AND closed_at <= coalesce(%(at)s, now())"
        " ORDER BY closed_at DESC LIMIT %(limit)s",
        "factor": "SELECT avg(ratio) AS factor, count(ratio) AS estimates FROM {table}"
        " WHERE project = %(project)s AND closed_at <= coalesce(%(at)s, now())"
        " AND closed_at > coalesce(%(at)s, now()) - interval '90 days'",
    },
)

ESTIMATES_VIEW = View(
    projection=ESTIMATES,
    params=EstimateParams,
    order=("-recorded_at", "estimate"),
    compares={"entity": ("estimate",), "agent": ("recorded_by", "closed_by")},
    searches=("feature", "notes"),
)
