"""The story of a thing: its events in words, the last ones first to be had, each with what brought it about.

It reads the log and the read models as they were at the page's moment, and changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from domain.messages import Recorded
from projections.causes import Cause, cause_of, causes, origin
from projections.outcomes import OUTCOMES
from projections.words import words
from services.console.detail_seen import Seen
from services.console.detail_words import Changed, fields_of, kind_of
from services.log.history import History
from services.reading.changes import Walk

STORY_EVENTS = 40
CHAIN_EVENTS = 20


class Line(Struct, frozen=True, kw_only=True):
    """An event as a page tells it; `raw` is its JSON, `cause` the sequence of what brought it about."""

    sequence: int
    at: datetime
    actor: str
    event: str
    words: str
    outcome: str
    raw: str
    why: str = ""
    cause: int | None = None


class Story(Struct, frozen=True):
    """Events, the oldest first; before `earlier` there are more, unless it is None."""

    lines: Sequence[Line]
    earlier: int | None


class Link(Struct, frozen=True):
    """An event that brought another about; `how`, as it follows "because"."""

    how: str
    line: Line


class Effect(Struct, frozen=True):
    """What an event changed in a row: of which kind it is, and which."""

    kind: str
    key: str
    what: str
    fields: Sequence[Changed]


class Explained(Struct, frozen=True):
    """An event, the chain of what brought it about, who asked for the first of it, and what it changed."""

    line: Line
    chain: Sequence[Link]
    origin: str
    changes: Sequence[Effect]


def story(seen: Seen, before: int | None, *, why: bool, **chosen: Any) -> Story:
    """The last events that the activity's parameters choose, those before a sequence if one is given.

    With `why`, each says what brought it about.
    """
    position = seen.position
    if before is not None and 0 < before <= seen.sequence:
        position = seen.log.at_sequence(seen.project, before - 1)
    rows = seen.travel.view(seen.project, "activity", position, {**chosen, "limit": STORY_EVENTS + 1})
    shown = sorted(row["sequence"] for row in rows[:STORY_EVENTS])
    history = seen.history()
    lines = [line(each, cause_of(each, history) if why else None) for each in seen.events(shown)]
    return Story(lines, shown[0] if len(rows) > STORY_EVENTS else None)


def explained(seen: Seen, sequence: int) -> Explained:
    """One event, back to who asked. Raises NotFound."""
    history = seen.history()
    recorded = history.event(sequence)
    chain = causes(recorded, history, CHAIN_EVENTS)
    last = chain[-1].recorded if chain else recorded
    asked = origin(last, history) if len(chain) < CHAIN_EVENTS else ""
    return Explained(
        line=line(recorded, chain[0] if chain else None),
        chain=[Link(each.why, line(each.recorded)) for each in chain],
        origin=asked,
        changes=_changes(seen, history, sequence),
    )


def line(recorded: Recorded, cause: Cause | None = None) -> Line:
    """An event as it is told."""
    return Line(
        sequence=recorded.sequence,
        at=recorded.at,
        actor=recorded.actor,
        event=recorded.event.name,
        words=words(recorded),
        outcome=OUTCOMES[recorded.event.name],
        raw=raw(recorded),
        why=cause.why if cause else "",
        cause=cause.recorded.sequence if cause else None,
    )


def raw(recorded: Recorded) -> str:
    """The event with its envelope, as indented JSON."""
    facts = {name: getattr(recorded, name) for name in recorded.__struct_fields__ if name != "event"}
    known = {name: value for name, value in facts.items() if value is not None}
    event = recorded.event
    told = {**known, "event": event.name, "entity": event.entity, "data": event}
    return msgspec.json.format(msgspec.json.encode(told)).decode()


def _changes(seen: Seen, history: History, sequence: int) -> list[Effect]:
    """What the event changed in the read models, as far as people see it."""
    found = []
    for step in Walk(history, seen.travel).steps(sequence - 1):
        for change in step.changes:
            if fields := fields_of(change):
                found.append(
                    Effect(kind_of(change.view), " ".join(map(str, change.key)), change.what, fields)
                )
    return found
