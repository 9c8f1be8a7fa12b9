"""Failures: what was tried, why it failed and what to do instead, so that nobody repeats it."""

from datetime import datetime

from domain.learning import FailureRecorded
from domain.messages import Recorded
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class FailureRow(Row, frozen=True, kw_only=True):
    """A failure and its lesson."""

    failure: str
    feature: str
    approach: str
    why: str
    lesson: str
    task: str | None
    recorded_by: str
    recorded_at: datetime
    session: str | None = None


class FailureParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    feature: str | None = None
    task: str | None = None
    agent: str | None = None
    session: str | None = None
    text: Search | None = None


def recorded_failure(_: FailureRow | None, event: FailureRecorded, recorded: Recorded) -> FailureRow:
    return FailureRow(
        project=recorded.project,
        failure=event.failure,
        feature=event.feature,
        approach=event.approach,
        why=event.why,
        lesson=event.lesson,
        task=event.task,
        recorded_by=recorded.actor,
        recorded_at=recorded.at,
        session=event.session,
    )


FAILURES = Projection(
    name="failures",
    version=2,
    row=FailureRow,
    key=("failure",),
    folds=(on(FailureRecorded, recorded_failure),),
)

FAILURES_VIEW = View(
    projection=FAILURES,
    params=FailureParams,
    order=("-recorded_at", "failure"),
    compares={"entity": ("failure",), "agent": ("recorded_by",)},
    searches=("feature", "approach", "why", "lesson"),
)
