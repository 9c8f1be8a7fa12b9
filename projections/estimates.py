"""Estimates against what the work took in truth, and the factor by which to correct the next one."""

from datetime import datetime
from math import isfinite

from msgspec.structs import replace

from domain.learning import EstimateClosed, EstimateRecorded
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class EstimateRow(Row, frozen=True, kw_only=True):
    """An estimate in sessions. Once closed, `ratio` is actual by estimated sessions."""

    estimate: str
    feature: str
    persona: str | None
    complexity: int
    estimated_sessions: float
    recorded_by: str
    recorded_at: datetime
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
    )


@known
def closed(row: EstimateRow, event: EstimateClosed, recorded: Recorded) -> EstimateRow:
    ratio = event.sessions / event.estimated
    return replace(
        row,
        actual_sessions=event.sessions,
        ratio=ratio if isfinite(ratio) else None,  # an estimate of next to nothing says nothing
        files_created=event.files_created,
        files_modified=event.files_modified,
        notes=event.notes,
        closed_by=recorded.actor,
        closed_at=recorded.at,
    )


ESTIMATES = Projection(
    name="estimates",
    version=1,
    row=EstimateRow,
    key=("estimate",),
    folds=(on(EstimateRecorded, recorded_estimate), on(EstimateClosed, closed)),
    queries={
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
