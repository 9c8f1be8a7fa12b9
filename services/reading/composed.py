"""Views that are made of other views and of named queries, whichever moment those tell of."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from domain.errors import NotFound
from projections.activity import ACTIVITY_VIEW, ActivityParams
from projections.agents import AGENTS
from projections.dependencies import DEPENDENCIES
from projections.framework import Projection
from projections.handoffs import HANDOFFS, HANDOFFS_VIEW, HandoffParams
from projections.queue import QUEUE, QUEUE_VIEW, QueueParams
from projections.views import MAX_ROWS, Page, View
from services.reading.learned import LEARNED, Item, Learned

_HISTORY_ROWS = 200

COUNTED: Mapping[str, Projection[Any]] = {"agents": AGENTS, "tasks": QUEUE, "handoffs": HANDOFFS}


class Source(Protocol):
    """A project at one moment, now or in the past."""

    def listed(self, view: View[Any], page: Page) -> list[Item]:
        """The rows of a view."""

    def named(self, projection: Projection[Any], name: str, parameters: Mapping[str, Any], /) -> list[Item]:
        """The result of a projection's named query."""


class TaskParams(Page, frozen=True, kw_only=True):
    task: str


def task(source: Source, params: TaskParams) -> list[Item]:
    """One task with all that belongs to it. Raises NotFound."""
    found = source.listed(QUEUE_VIEW, QueueParams(entity=params.task))
    if not found:
        raise NotFound(kind="task", id=params.task)
    handoffs = source.listed(HANDOFFS_VIEW, HandoffParams(task=params.task, limit=MAX_ROWS))
    entities = (params.task, *(handoff["handoff"] for handoff in handoffs))
    dependents = source.named(DEPENDENCIES, "dependents", {"task": params.task})
    detail = {
        "dependents": [edge["task"] for edge in dependents],
        "handoffs": handoffs,
        "activity": source.listed(ACTIVITY_VIEW, ActivityParams(entity=entities, limit=_HISTORY_ROWS)),
    }
    return [found[0] | detail]


def counts(source: Source, _: Page) -> list[Item]:
    """By kind and status; what does not occur is left out."""
    counted = {
        kind: {row["status"]: row["count"] for row in source.named(projection, "counts", {})}
        for kind, projection in COUNTED.items()
    }
    handoffs = counted["handoffs"]
    return [{**counted, "handoffs_open": handoffs.get("initiated", 0) + handoffs.get("accepted", 0)}]


class Composed(Struct, frozen=True):
    """A view that is not just the list of a projection's rows."""

    params: type[Page]
    answer: Callable[[Source, Any], list[Item]]


def _learned(view: Learned) -> Composed:
    return Composed(view.params, lambda source, page: view.answer(source.named, page))


COMPOSED: Mapping[str, Composed] = {
    "task": Composed(TaskParams, task),
    "counts": Composed(Page, counts),
    **{name: _learned(view) for name, view in LEARNED.items()},
}
