"""The story of one task, agent, handoff, lesson or event at a moment: what it is, and what happened to it.

It asks a look and a history, and holds no connection itself.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from domain.errors import NotFound
from domain.messages import Recorded
from projections.causes import causes, origin
from projections.words import words
from services.log.history import History
from services.reading.reads import Item
from services.top.looks import Look

MAX_EVENTS = 500
"""How many events a story tells, the latest."""

MAX_BESIDE_ROWS = 100
MAX_CAUSES = 12

Kind = Literal[
    "task",
    "agent",
    "handoff",
    "failure",
    "estimate",
    "retro",
    "event",
    "memory",
    "decision",
    "spike",
    "pattern",
]

VIEWS: dict[str, str] = {
    "task": "queue", "agent": "agents", "handoff": "handoffs",
    "failure": "failures", "estimate": "estimates", "retro": "retros", "memory": "memories",
    "decision": "decisions", "spike": "spikes", "pattern": "patterns",
}  # fmt: skip
"""Where the row of a thing is found."""


class Subject(Struct, frozen=True):
    """What a story is of; an event is named by its sequence."""

    kind: Kind
    id: str


class Cause(Struct, frozen=True, kw_only=True):
    """An event that brought about the one before it, and how."""

    sequence: int
    why: str
    words: str


class Story(Struct, frozen=True, kw_only=True):
    """What there is to tell: the row or the event itself, rows that belong to it, and its events.

    `about` is what an event is about. The first cause is that of the event; `asked` says who asked for the
    last one, if so far was looked. Events come the oldest first.
    """

    subject: Subject
    row: Item
    tasks: list[Item] = []
    handoffs: list[Item] = []
    events: list[Item] = []
    about: Subject | None = None
    causes: list[Cause] = []
    asked: str | None = None


def subject_of(event: str, entity: str) -> Subject | None:
    """What an event is about, if that has a story."""
    kind = event.partition(".")[0]
    return Subject(kind, entity) if kind in VIEWS else None  # type: ignore[arg-type]  # they are kinds


def tell(subject: Subject, look: Look, history: History) -> Story:
    """The story of a thing as of the look's moment. Raises NotFound."""
    if subject.kind == "event":
        return _of_event(subject, history)
    found = look.read(VIEWS[subject.kind], entity=subject.id)
    if not found:
        raise NotFound(kind=subject.kind, id=f"{subject.id} at this moment")
    row = found[0]
    match subject.kind:
        case "task":
            handoffs = look.read("handoffs", task=subject.id, limit=MAX_BESIDE_ROWS)
            about = (subject.id, *(each["handoff"] for each in handoffs))
            return Story(subject=subject, row=row, handoffs=handoffs, events=_events(look, entity=about))
        case "agent":
            tasks = look.read("queue", agent=subject.id, limit=MAX_BESIDE_ROWS)
            handoffs = look.read(
                "handoffs", agent=subject.id, status="initiated,accepted", limit=MAX_BESIDE_ROWS
            )
            events = _events(look, agent=subject.id)
            return Story(subject=subject, row=row, tasks=tasks, handoffs=handoffs, events=events)
        case _:
            return Story(subject=subject, row=row, events=_events(look, entity=(subject.id,)))


def _events(look: Look, **params: Any) -> list[Item]:
    return look.read("activity", limit=MAX_EVENTS, **params)[::-1]


def _of_event(subject: Subject, history: History) -> Story:
    """An event as it was recorded, with what brought it about."""
    recorded = history.event(int(subject.id))
    chain = causes(recorded, history, MAX_CAUSES)
    last = chain[-1].recorded if chain else recorded
    return Story(
        subject=subject,
        row=_document(recorded),
        about=subject_of(recorded.event.name, recorded.event.entity),
        causes=[
            Cause(sequence=each.recorded.sequence, why=each.why, words=words(each.recorded)) for each in chain
        ],
        asked=origin(last, history) if len(chain) < MAX_CAUSES else None,
    )


def _document(recorded: Recorded) -> Item:
    """The envelope, and the event's own data."""
    envelope = {name: getattr(recorded, name) for name in recorded.__struct_fields__ if name != "event"}
    event = recorded.event
    told = {"event": event.name, "entity": event.entity, "words": words(recorded)}
    return {**envelope, **told, "data": msgspec.to_builtins(event)}
