"""What differs between two moments of a project: in words, and field by field. Reads only."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from domain.errors import UnknownSequence
from domain.messages import Recorded
from projections.changes import RowChange
from projections.words import words
from services.console.detail_seen import Seen
from services.console.detail_words import DETAILED, Changed, fields_of, kind_of
from services.errors import BadInput
from services.reading.diff import Happened, Place, RowDiff, ViewDiff, diff
from services.reading.reads import Item

SHOWN_ROWS = 50
"""How many rows of each view; all are counted."""

_FIRST = {"queue": 0, "handoffs": 1, "agents": 2}
"""What people look for before all else."""

_TOLD_FIELDS = 3
"""How many fields a sentence names."""


class Mark(Struct, frozen=True, kw_only=True):
    """One of the two moments: right after the event of a sequence; 0 is the beginning."""

    name: str
    sequence: int
    at: datetime | None
    words: str


class Row(Struct, frozen=True, kw_only=True):
    """A thing that differs: `said` in a sentence, `fields` one by one, and the events that made it so."""

    kind: str
    name: str
    about: str
    what: str
    said: str
    fields: Sequence[Changed]
    events: Sequence[tuple[int, str, str]]
    more: bool


class Section(Struct, frozen=True, kw_only=True):
    """A view in which something differs: how much, and the first rows."""

    view: str
    counts: str
    rows: Sequence[Row]
    more: int


def compared(seen: Seen, params: Mapping[str, str]) -> Item:
    """What is different at the sequence `b` from what it was at `a`. Raises BadInput or UnknownSequence."""
    one, other = (_place(seen, params, name) for name in ("a", "b"))
    left, right = (Place(seen.project, seen.log.at_sequence(seen.project, each)) for each in (one, other))
    found = diff(seen.log, seen.codec, seen.connection, left, right, limit_rows=SHOWN_ROWS)
    views = sorted(found.views, key=lambda view: _FIRST.get(view.view, len(_FIRST)))
    sections = [_section(view) for view in views if view.added or view.removed or view.changed]
    return {
        "a": _mark("A", one, found.last[0]),
        "b": _mark("B", other, found.last[1]),
        "events": abs(other - one),
        "forward": one <= other,
        "turned": [_event(each) for each in found.turns],
        "sections": sections,
        "said": _said(views),
    }


def _place(seen: Seen, params: Mapping[str, str], name: str) -> int:
    text = params.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadInput(verb="a comparison", why="`a` and `b` are sequences; set the marks A and B")
    if int(text) > seen.head:
        raise UnknownSequence(project=seen.project, sequence=int(text), last=seen.head)
    return int(text)


def _mark(name: str, sequence: int, last: Recorded | None) -> Mark:
    told = words(last) if last else "before the first event"
    return Mark(name=name, sequence=sequence, at=last.at if last else None, words=told)


def _said(views: Sequence[ViewDiff]) -> str:
    """The whole difference in a sentence."""
    told = [_counted(view) for view in views if view.added or view.removed or view.changed]
    return "; ".join(told) + "." if told else "Nothing differs."


def _counted(view: ViewDiff) -> str:
    counts = {"new": view.added, "changed": view.changed, "gone": view.removed}
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{_plural(view.view)}: {told}"


def _section(view: ViewDiff) -> Section:
    shown = [_row(each) for each in view.rows]
    more = view.added + view.removed + view.changed - len(shown)
    return Section(view=_plural(view.view), counts=_counted(view), rows=shown, more=more)


def _plural(view: str) -> str:
    return "tasks" if view == "queue" else view


def _row(row: RowDiff) -> Row:
    change = row.change
    kind, name = kind_of(change.view), " ".join(map(str, change.key))
    return Row(
        kind=kind,
        name=name,
        about=f"{kind}:{name}" if kind in DETAILED else "",
        what=change.what,
        said=_sentence(change, name),
        fields=fields_of(change),
        events=[_event(each) for each in row.events],
        more=row.more,
    )


def _sentence(change: RowChange, name: str) -> str:
    """What became of a row: its status if that is what changed, else which fields."""
    values = {each.field: (each.old, each.new) for each in change.fields}
    if change.what != "changed":
        place = 1 if change.what == "added" else 0
        status, title = (values.get(each, ("", ""))[place] for each in ("status", "title"))
        about = (f"“{title}”" if title else "", f"({status})" if status else "")
        told = " ".join(filter(None, about))
        return f"{name} {'is new' if place else 'is gone'}{': ' + told if told else ''}"
    if "status" in values:
        before, after = (status.replace("_", " ") for status in values["status"])
        return f"{name} went from {before} to {after}"
    fields = fields_of(change)
    told = "; ".join(f"{each.field} {each.old} → {each.new}" for each in fields[:_TOLD_FIELDS])
    more = len(fields) - _TOLD_FIELDS
    return f"{name}: {told or 'touched'}" + (f"; and {more} more" if more > 0 else "")


def _event(each: Happened) -> tuple[int, str, str]:
    """Its sequence, the mark whose side it is of, and what happened."""
    return each.recorded.sequence, "A" if each.side == "left" else "B", words(each.recorded)
