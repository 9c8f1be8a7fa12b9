"""Handoffs: what was offered to whom, with which context, and what became of it."""

from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from domain.handoffs import (
    Baggage,
    HandoffAccepted,
    HandoffCompleted,
    HandoffExpired,
    HandoffInitiated,
    HandoffRejected,
)
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, View

HandoffStatus = Literal["initiated", "accepted", "rejected", "completed", "expired"]


class HandoffRow(Row, frozen=True, kw_only=True):
    """A handoff.

    `sequence` is that of the offer, `reason` why it was made, `note` what its last event said. `fence` is the
    receiver's, once there is one.
    """

    handoff: str
    task: str
    from_agent: str
    to_agent: str | None
    to_persona: str | None
    status: HandoffStatus
    sequence: int
    reason: str
    context: Baggage
    initiated_at: datetime
    expires_at: datetime
    updated_at: datetime
    answered_by: str | None = None
    answered_at: datetime | None = None
    fence: int | None = None
    note: str = ""
    finished_at: datetime | None = None


class HandoffParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    status: tuple[HandoffStatus, ...] = ()
    agent: str | None = None
    task: str | None = None
    persona: str | None = None


def initiated(_: HandoffRow | None, event: HandoffInitiated, recorded: Recorded) -> HandoffRow:
    return HandoffRow(
        project=recorded.project,
        handoff=event.handoff,
        task=event.task,
        from_agent=event.from_agent,
        to_agent=event.to_agent,
        to_persona=event.to_persona,
        status="initiated",
        sequence=recorded.sequence,
        reason=event.reason,
        context=event.context,
        initiated_at=recorded.at,
        expires_at=event.expires_at,
        updated_at=recorded.at,
    )


@known
def accepted(row: HandoffRow, event: HandoffAccepted, recorded: Recorded) -> HandoffRow:
    return replace(
        row,
        status="accepted",
        to_agent=event.to_agent,
        fence=event.fence,
        answered_by=event.to_agent,
        answered_at=recorded.at,
        updated_at=recorded.at,
    )


@known
def rejected(row: HandoffRow, event: HandoffRejected, recorded: Recorded) -> HandoffRow:
    return replace(
        row,
        status="rejected",
        answered_by=event.by,
        answered_at=recorded.at,
        note=event.reason,
        finished_at=recorded.at,
        updated_at=recorded.at,
    )


@known
def completed(row: HandoffRow, event: HandoffCompleted, recorded: Recorded) -> HandoffRow:
    return replace(row, status="completed", note=event.note, finished_at=recorded.at, updated_at=recorded.at)


@known
def expired(row: HandoffRow, event: HandoffExpired, recorded: Recorded) -> HandoffRow:
    return replace(row, status="expired", note=event.reason, finished_at=recorded.at, updated_at=recorded.at)


HANDOFFS = Projection(
    name="handoffs",
    version=2,
    row=HandoffRow,
    key=("handoff",),
    folds=(
        on(HandoffInitiated, initiated),
        on(HandoffAccepted, accepted),
        on(HandoffRejected, rejected),
        on(HandoffCompleted, completed),
        on(HandoffExpired, expired),
    ),
    indexes=(("project", "task"),),
    queries={
        "counts": "SELECT project, status, count(*) AS count FROM {table}"
        " WHERE %(project)s::text IS NULL OR project = %(project)s GROUP BY project, status",
    },
)

HANDOFFS_VIEW = View(
    projection=HANDOFFS,
    params=HandoffParams,
    order=("-initiated_at", "handoff"),
    compares={"entity": ("handoff",), "agent": ("from_agent", "to_agent"), "persona": ("to_persona",)},
)
