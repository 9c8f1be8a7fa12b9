"""Activity: every event as a line that a person can read, by what it is about and by whom it concerns."""

from datetime import datetime

from domain.handoffs import HandoffEvent, HandoffInitiated
from domain.messages import Event, Recorded
from projections.folds import position
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View
from projections.words import words


class ActivityRow(Row, frozen=True, kw_only=True):
    """An event. `agent` is whom it concerns beside the actor, or as the actor, if anybody."""

    position: int
    sequence: int
    at: datetime
    actor: str
    event: str
    entity: str
    agent: str | None
    words: str


class ActivityParams(Page, frozen=True, kw_only=True):
    """`agent` finds what an agent did and what befell it, `actor` only the former."""

    entity: tuple[str, ...] = ()
    agent: str | None = None
    actor: str | None = None
    event: tuple[str, ...] = ()
    text: Search | None = None


def told(_: ActivityRow | None, event: Event, recorded: Recorded) -> ActivityRow:
    return ActivityRow(
        project=recorded.project,
        position=recorded.position,
        sequence=recorded.sequence,
        at=recorded.at,
        actor=recorded.actor,
        event=event.name,
        entity=event.entity,
        agent=_concerned(event),
        words=words(recorded),
    )


def _concerned(event: Event) -> str | None:
    """For a handoff, the side that did not act."""
    if isinstance(event, HandoffEvent):
        return event.to_agent if isinstance(event, HandoffInitiated) else event.from_agent
    agent: str | None = getattr(event, "agent", None)
    return agent


ACTIVITY = Projection(
    name="activity",
    version=1,
    row=ActivityRow,
    key=("position",),
    folds=(on(Event, told, key=position),),
    indexes=(("project", "entity"),),
    queries={
        "projects": "WITH RECURSIVE found (name) AS ("
        "(SELECT project FROM {table} ORDER BY project LIMIT 1) UNION ALL SELECT"
        " (SELECT project FROM {table} WHERE project > name ORDER BY project LIMIT 1)"
        " FROM found WHERE name IS NOT NULL"
        ") SELECT name AS project FROM found WHERE name IS NOT NULL",
    },
    append_only=True,
    record=True,
)

ACTIVITY_VIEW = View(
    projection=ACTIVITY,
    params=ActivityParams,
    order=("-position",),
    compares={"agent": ("agent", "actor")},
    searches=("words",),
)
