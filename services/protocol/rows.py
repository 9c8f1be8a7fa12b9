"""What each view answers with, as types: rows of the read models, and of views that join several. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from domain.correction import Basis
from domain.messages import Data
from projections.activity import ActivityRow
from projections.catalog import VIEWS
from projections.handoffs import HandoffRow
from projections.personas import AvailablePersona
from projections.queue import TaskRow
from projections.settings import EffectiveSetting
from services.landing.params import AUDIT, HISTORY, LANDING, Delegated, Entry, Landing
from services.log.codec import Body
from services.recall.params import RecallHit


class QueuedTask(TaskRow, frozen=True, kw_only=True):
    """A task, with those of its dependencies that are not completed yet."""

    blocked_by: tuple[str, ...]


class TaskDetail(QueuedTask, frozen=True, kw_only=True):
    """A task with all that belongs to it."""

    dependents: tuple[str, ...]
    handoffs: tuple[HandoffRow, ...]
    activity: tuple[ActivityRow, ...]


class Counts(Struct, frozen=True, kw_only=True):
    """How many there are by status; what does not occur is left out."""

    agents: dict[str, int]
    tasks: dict[str, int]
    handoffs: dict[str, int]
    handoffs_open: int


class LoggedEvent(Body[dict[str, Data]], frozen=True, kw_only=True):
    """An event as the log holds it; `data` are the fields of the event that `event` and `version` name."""

    position: int
    sequence: int
    event: str
    version: int


class Factor(Struct, frozen=True, kw_only=True):
    """By how much estimates were wrong of late, and of how many that is the mean."""

    factor: float | None
    estimates: int


class Correction(Struct, frozen=True, kw_only=True):
    """By how much estimates of a persona, of a band of complexity, or all, were wrong of late."""

    basis: Basis
    of: str
    factor: float
    spread: float | None
    estimates: int


class Plan(Struct, frozen=True, kw_only=True):
    """How many steps were planned together, were added below them, are completed, are not over."""

    plan: str
    made_at: datetime
    planned: int
    added: int
    completed: int
    unfinished: int
    scope_creep: bool


class StaleDocumentation(Struct, frozen=True, kw_only=True):
    """Documentation that can no longer be relied on."""

    library: str
    release: str
    topic: str
    source: str
    expires_at: datetime
    cached_by: str
    cached_at: datetime


class ActionStats(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of an agent, or of an action in a phase: how many, how many failed, and how long they took."""

    actions: int
    errors: int
    error_rate: float
    average_s: float | None
    p95_s: float | None
    slowest_s: float | None
    agent: str | None = None
    action: str | None = None
    phase: str | None = None


class ProjectName(Struct, frozen=True, kw_only=True):
    """A project that has a history."""

    project: str


ROWS: Mapping[str, type[Any]] = {
    **{name: view.projection.row for name, view in VIEWS.items()},
    "queue": QueuedTask,
    "personas": AvailablePersona,
    "settings": EffectiveSetting,
    "task": TaskDetail,
    "counts": Counts,
    "events": LoggedEvent,
    "factor": Factor,
    "factors": Correction,
    "plans": Plan,
    "stale_documentation": StaleDocumentation,
    "action_stats": ActionStats,
    "projects": ProjectName,
    "recall": RecallHit,
    LANDING: Landing,
    AUDIT: Delegated,
    HISTORY: Entry,
}
"""By view, what its rows are."""
