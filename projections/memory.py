"""Memories: what agents keep, what took its place, how often it was of use and whom it is shared with."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from domain.memory import (
    MemoriesArchived,
    MemoriesUsed,
    MemoryShared,
    MemoryStored,
    MemorySuperseded,
    Visibility,
)
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Key, Projection, Row, on, on_each
from projections.views import Page, Search, View

Status = Literal["current", "superseded", "archived"]


class MemoryRow(Row, frozen=True, kw_only=True):
    """A memory. `importance` is that of `touched_at`, when it was stored or used last; it fades from then on.

    `sequence` is that of the event that stored it. `shared_agents` may recall it though it is private,
    `shared_projects` though it is another's.
    """

    memory: str
    sequence: int
    kind: str
    text: str
    importance: float
    tags: tuple[str, ...]
    visibility: Visibility
    status: Status
    agent: str
    task: str | None
    session: str | None
    stored_at: datetime
    touched_at: datetime
    uses: int = 0
    supersedes: tuple[str, ...] = ()
    superseded_by: str | None = None
    over_at: datetime | None = None
    reason: str = ""
    shared_agents: tuple[str, ...] = ()
    shared_projects: tuple[str, ...] = ()


class MemoryParams(Page, frozen=True, kw_only=True):
    """`importance` is the least that a row has; a row passes that has any of the tags."""

    entity: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    agent: str | None = None
    task: str | None = None
    session: str | None = None
    visibility: tuple[Visibility, ...] = ()
    status: tuple[Status, ...] = ()
    importance: Annotated[float, Meta(ge=0, le=1)] | None = None
    text: Search | None = None


def stored(_: MemoryRow | None, event: MemoryStored, recorded: Recorded) -> MemoryRow:
    return MemoryRow(
        project=recorded.project,
        memory=event.memory,
        sequence=recorded.sequence,
        kind=event.kind,
        text=event.text,
        importance=event.importance,
        tags=event.tags,
        visibility=event.visibility,
        status="current",
        agent=event.agent,
        task=event.task,
        session=event.session,
        stored_at=recorded.at,
        touched_at=recorded.at,
        supersedes=event.supersedes,
    )


@known
def superseded(row: MemoryRow, event: MemorySuperseded, recorded: Recorded) -> MemoryRow:
    return replace(row, status="superseded", superseded_by=event.by, over_at=recorded.at)


def used(row: MemoryRow | None, event: MemoriesUsed, recorded: Recorded, key: Key) -> MemoryRow | None:
    if row is None:
        return None
    gain = next(each for each in event.gains if each.memory == key[1])
    return replace(row, uses=row.uses + gain.times, importance=gain.importance, touched_at=recorded.at)


def archived(row: MemoryRow | None, event: MemoriesArchived, recorded: Recorded, _: Key) -> MemoryRow | None:
    if row is None:
        return None
    return replace(row, status="archived", over_at=recorded.at, reason=event.reason)


@known
def shared(row: MemoryRow, event: MemoryShared, _: Recorded) -> MemoryRow:
    if event.to_agent is not None:
        return replace(row, shared_agents=(*row.shared_agents, event.to_agent))
    if event.to_project is not None:
        return replace(row, shared_projects=(*row.shared_projects, event.to_project))
    return row


MEMORIES = Projection(
    name="memories",
    version=1,
    row=MemoryRow,
    key=("memory",),
    folds=(
        on(MemoryStored, stored),
        on(MemorySuperseded, superseded),
        on_each(MemoriesUsed, used, keys=lambda event, _: [gain.memory for gain in event.gains]),
        on_each(MemoriesArchived, archived, keys=lambda event, _: event.memories),
        on(MemoryShared, shared),
    ),
    indexes=(("project", "status", "-stored_at"),),
)

MEMORIES_VIEW = View(
    projection=MEMORIES,
    params=MemoryParams,
    order=("-stored_at", "memory"),
    compares={"entity": ("memory",)},
    holds={"tag": "tags"},
    least={"importance": "importance"},
    searches=("text",),
)
