"""Decisions: what was chosen and why, and which of them hold."""

from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from domain.knowledge.decisions import DecisionRecorded, DecisionSuperseded
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View

Status = Literal["holds", "superseded"]


class DecisionRow(Row, frozen=True, kw_only=True):
    """A decision, and which one took its place."""

    decision: str
    title: str
    choice: str
    context: str
    alternatives: tuple[str, ...]
    consequences: str
    status: Status
    task: str | None
    supersedes: str | None
    decided_by: str
    decided_at: datetime
    superseded_by: str | None = None
    superseded_at: datetime | None = None
    session: str | None = None


class DecisionParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    task: str | None = None
    agent: str | None = None
    session: str | None = None
    status: tuple[Status, ...] = ()
    text: Search | None = None


def recorded_decision(_: DecisionRow | None, event: DecisionRecorded, recorded: Recorded) -> DecisionRow:
    return DecisionRow(
        project=recorded.project,
        decision=event.decision,
        title=event.title,
        choice=event.choice,
        context=event.context,
        alternatives=event.alternatives,
        consequences=event.consequences,
        status="holds",
        task=event.task,
        supersedes=event.supersedes,
        decided_by=recorded.actor,
        decided_at=recorded.at,
        session=event.session,
    )


@known
def superseded(row: DecisionRow, event: DecisionSuperseded, recorded: Recorded) -> DecisionRow:
    return replace(row, status="superseded", superseded_by=event.by, superseded_at=recorded.at)


DECISIONS = Projection(
    name="decisions",
    version=2,
    row=DecisionRow,
    key=("decision",),
    folds=(on(DecisionRecorded, recorded_decision), on(DecisionSuperseded, superseded)),
)

DECISIONS_VIEW = View(
    projection=DECISIONS,
    params=DecisionParams,
    order=("-decided_at", "decision"),
    compares={"entity": ("decision",), "agent": ("decided_by",)},
    searches=("title", "choice", "context", "consequences"),
)
