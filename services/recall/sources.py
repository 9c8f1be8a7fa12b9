"""Which events are searched, and what of each. One entry makes another kind of record findable. Pure."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec import Struct

from domain.knowledge.decisions import DecisionRecorded
from domain.knowledge.patterns import PatternDefined
from domain.knowledge.spikes import SpikeConcluded
from domain.learning import FailureRecorded
from domain.memory import MemoryStored
from domain.messages import Event, Recorded
from projections.decisions import DECISIONS
from projections.failures import FAILURES
from projections.framework import Projection
from projections.memory import MEMORIES
from projections.patterns import PATTERNS
from projections.spikes import SPIKES
from services.log.codec import Row

VERSION = 1
"""Raise it when what is searched of an event changes: the texts are then read from the log anew."""


class Source(Struct, frozen=True):
    """Records of one kind: the event that makes one, the read model that has its row, and what it says.

    The event's entity is the key of the row. `status` is that of a row, in the words of memories. `said` is
    the sequence of the event that said last what a row says, where it can be said anew.
    """

    name: str
    event: type[Event]
    projection: Projection[Any]
    text: Callable[[Any], str]
    kind: Callable[[Any], str] = lambda _: ""
    tags: Callable[[Any], tuple[str, ...]] = lambda _: ()
    status: Callable[[Any], str] = lambda _: "current"
    said: Callable[[Any], int] = lambda _: 0


SOURCES = (
    Source(
        "memory", MemoryStored, MEMORIES, lambda e: e.text, lambda e: e.kind, lambda e: e.tags,
        status=lambda row: row.status,
    ),
    Source("failure", FailureRecorded, FAILURES, lambda e: _joined(e.feature, e.approach, e.why, e.lesson)),
    Source(
        "decision", DecisionRecorded, DECISIONS,
        lambda e: _joined(e.title, e.choice, e.context, e.consequences),
        status=lambda row: "current" if row.status == "holds" else row.status,
    ),
    Source("spike", SpikeConcluded, SPIKES, lambda e: _joined(e.question, e.approach, e.result, e.lessons)),
    Source(
        "pattern", PatternDefined, PATTERNS, lambda e: _joined(e.pattern, e.description, e.example),
        said=lambda row: row.sequence,
    ),
)  # fmt: skip

BY_NAME = {source.name: source for source in SOURCES}
_BY_EVENT = {source.event: source for source in SOURCES}
_NAMES = frozenset(source.event.name for source in SOURCES)

CODE = f"{VERSION}:{','.join(source.name for source in SOURCES)}"
"""Texts that were made by other code are made anew."""


class Searched(Struct, frozen=True, kw_only=True):
    """What is known of a record for searching it; it stands at its event's place in its project's stream."""

    project: str
    sequence: int
    position: int
    source: str
    entity: str
    kind: str
    tags: tuple[str, ...]
    agent: str
    at: datetime
    text: str


def is_searched(row: Row) -> bool:
    """Whether a row of the log is an event that is searched; cheaper than to decode it."""
    return row[3].partition("@")[0] in _NAMES


def searched(recorded: Recorded) -> Searched | None:
    """The record that an event makes, if it says anything."""
    event = recorded.event
    source = _BY_EVENT.get(type(event))
    if source is None or not (text := source.text(event).strip()):
        return None
    return Searched(
        project=recorded.project,
        sequence=recorded.sequence,
        position=recorded.position,
        source=source.name,
        entity=event.entity,
        kind=source.kind(event),
        tags=source.tags(event),
        agent=recorded.actor,
        at=recorded.at,
        text=text,
    )


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
