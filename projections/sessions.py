"""Sessions: who works or worked, on what, sent by whom; and which tasks each session delegated."""

from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from domain.messages import Recorded
from domain.sessions import SessionEnded, SessionRole, SessionStarted
from domain.tasks.events import TaskEnqueued
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View

SessionStatus = Literal["open", "ended"]


class SessionRow(Row, frozen=True, kw_only=True):
    """A session; `sequence` is that of the event that began it, `delegated` how many tasks it enqueued."""

    session: str
    agent: str
    role: SessionRole
    platform: str
    focus: str
    status: SessionStatus
    sequence: int
    started_at: datetime
    task: str | None = None
    parent: str | None = None
    delegated: int = 0
    ended_at: datetime | None = None
    ended_sequence: int | None = None
    reason: str = ""


class DelegationRow(Row, frozen=True, kw_only=True):
    """A task that a session delegated; `sequence` is that of its brief."""

    session: str
    task: str
    sequence: int


class SessionParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    agent: str | None = None
    role: tuple[SessionRole, ...] = ()
    status: tuple[SessionStatus, ...] = ()
    parent: str | None = None
    task: str | None = None
    text: Search | None = None


class DelegationParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    session: str | None = None
    task: str | None = None


def started(_: SessionRow | None, event: SessionStarted, recorded: Recorded) -> SessionRow:
    return SessionRow(
        project=recorded.project,
        session=event.session,
        agent=event.agent,
        role=event.role,
        platform=event.platform,
        focus=event.focus,
        status="open",
        sequence=recorded.sequence,
        started_at=recorded.at,
        task=event.task,
        parent=event.parent,
    )


@known
def ended(row: SessionRow, event: SessionEnded, recorded: Recorded) -> SessionRow:
    return replace(
        row,
        status="ended",
        ended_at=recorded.at,
        ended_sequence=recorded.sequence,
        reason=event.reason,
    )


@known
def counted(row: SessionRow, _: TaskEnqueued, __: Recorded) -> SessionRow:
    return replace(row, delegated=row.delegated + 1)


def delegated(_: DelegationRow | None, event: TaskEnqueued, recorded: Recorded) -> DelegationRow:
    return DelegationRow(
        project=recorded.project,
        session=event.session or "",
        task=event.task,
        sequence=recorded.sequence,
    )


SESSIONS = Projection(
    name="sessions",
    version=1,
    row=SessionRow,
    key=("session",),
    folds=(on(SessionStarted, started), on(SessionEnded, ended), on(TaskEnqueued, counted)),
    indexes=(("project", "agent"),),
)

DELEGATIONS = Projection(
    name="delegations",
    version=1,
    row=DelegationRow,
    key=("session", "task"),
    folds=(on(TaskEnqueued, delegated),),
    append_only=True,
)

SESSIONS_VIEW = View(
    projection=SESSIONS,
    params=SessionParams,
    order=("-sequence", "session"),
    compares={"entity": ("session",)},
    searches=("focus", "task"),
)

DELEGATIONS_VIEW = View(
    projection=DELEGATIONS,
    params=DelegationParams,
    order=("sequence", "task"),
    compares={"entity": ("task",)},
)
