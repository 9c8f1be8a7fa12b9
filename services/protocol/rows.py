"""What each view answers with, as types: rows of the read models, and of views that join several. Pure."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from domain.messages import Data
from projections.activity import ActivityRow
from projections.catalog import VIEWS
from projections.handoffs import HandoffRow
from projections.personas import AvailablePersona
from projections.queue import TaskRow
from projections.settings import EffectiveSetting
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
    "projects": ProjectName,
    "recall": RecallHit,
}
"""By view, what its rows are."""
