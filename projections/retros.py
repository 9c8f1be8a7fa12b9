"""Retrospectives: what surprised, what one would do otherwise, which patterns are new."""

from datetime import datetime

from domain.learning import RetrospectiveRecorded
from domain.messages import Recorded
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class RetroRow(Row, frozen=True, kw_only=True):
    """A look back on a finished piece of work."""

    retro: str
    feature: str
    surprises: str
    would_change: str
    new_patterns: str
    spike_accuracy: int | None
    recorded_by: str
    recorded_at: datetime


class RetroParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    feature: str | None = None
    agent: str | None = None
    text: Search | None = None


def recorded_retro(_: RetroRow | None, event: RetrospectiveRecorded, recorded: Recorded) -> RetroRow:
    return RetroRow(
        project=recorded.project,
        retro=event.retro,
        feature=event.feature,
        surprises=event.surprises,
        would_change=event.would_change,
        new_patterns=event.new_patterns,
        spike_accuracy=event.spike_accuracy,
        recorded_by=recorded.actor,
        recorded_at=recorded.at,
    )


RETROS = Projection(
    name="retros",
    version=1,
    row=RetroRow,
    key=("retro",),
    folds=(on(RetrospectiveRecorded, recorded_retro),),
)

RETROS_VIEW = View(
    projection=RETROS,
    params=RetroParams,
    order=("-recorded_at", "retro"),
    compares={"entity": ("retro",), "agent": ("recorded_by",)},
    searches=("feature", "surprises", "would_change", "new_patterns"),
)
