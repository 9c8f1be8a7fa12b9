"""A story as lines on the screen: what the thing is, what belongs to it, what happened. Some lead on."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from rich.text import Text

from cli.output import UNSEEN, Item, cell, clean
from cli.top_columns import COLUMNS, Scene
from cli.top_columns import line as row_line
from cli.top_head import HELP
from cli.top_text import fit, stamp, status_style
from services.top.stories import MAX_EVENTS, Story, Subject

_LEADS = {
    "holder": "agent", "agent": "agent", "from_agent": "agent", "to_agent": "agent", "answered_by": "agent",
    "completed_by": "agent", "task": "task", "doing": "task", "parent": "task", "handoff": "handoff",
}  # fmt: skip
"""Fields that name something with a story of its own."""

_MANY = {"depends_on": "task", "blocked_by": "task", "tasks": "task"}
_INDENT = 2


@dataclass(frozen=True, kw_only=True)
class PageLine:
    """A line of a page; `leads` to another story, if it does."""

    number: int
    text: Text
    leads: Subject | None = None


def draw(line: PageLine, width: int) -> Text:
    """The line in a width; one that leads on is marked."""
    text = Text("▸ " if line.leads else "  ", style="cyan" if line.leads else "", no_wrap=True)
    text.append_text(line.text)
    text.truncate(width, overflow="ellipsis")
    return text


def page(story: Story, scene: Scene, width: int) -> list[PageLine]:
    """All lines of a story."""
    wide = max(width - _INDENT, 20)
    told = _event(story, wide) if story.subject.kind == "event" else _thing(story, scene, wide)
    return [PageLine(number=number, text=text, leads=leads) for number, (text, leads) in enumerate(told)]


def help_lines() -> list[PageLine]:
    """What all keys do."""
    width = max(len(name) for name, what in HELP if what)
    texts = [
        Text.assemble((f"{name:<{width}}", "bold"), "  ", what) if what else Text(name, style="bold")
        for name, what in HELP
    ]
    return [PageLine(number=number, text=text) for number, text in enumerate(texts)]


_Told = Iterator[tuple[Text, Subject | None]]


def _thing(story: Story, scene: Scene, width: int) -> _Told:
    yield from _fields(story.row, story.subject, width)
    if story.tasks:
        yield from _title("Tasks it holds")
    for row in story.tasks:
        yield row_line(COLUMNS["queue"], row, scene, width), Subject("task", row["task"])
    if story.handoffs:
        yield from _title("Handoffs")
    for row in story.handoffs:
        yield row_line(COLUMNS["handoffs"], row, scene, width), Subject("handoff", row["handoff"])
    many = f", the last {MAX_EVENTS}" if len(story.events) >= MAX_EVENTS else ""
    yield from _title(f"Story{many}")
    for row in story.events:
        yield row_line(COLUMNS["activity"], row, scene, width), Subject("event", str(row["sequence"]))


def _event(story: Story, width: int) -> _Told:
    row = story.row
    yield from _wrapped(row["words"], width, "bold")
    yield Text(), None
    named = {name: row[name] for name in row if name not in ("words", "data")}
    yield from _fields(named, story.subject, width, entity=story.about)
    yield from _title("Why")
    for cause in story.causes:
        yield (
            Text.assemble((f"because {cause.why}: ", "dim"), f"#{cause.sequence} {clean(cause.words)}"),
            Subject("event", str(cause.sequence)),
        )
    if story.asked:
        yield Text(f"because {clean(story.asked)}", style="dim"), None
    yield from _title("As it was recorded")
    yield from _fields(row["data"], story.subject, width)


def _title(text: str) -> _Told:
    yield Text(), None
    yield Text(text, style="bold"), None


def _fields(row: Item, subject: Subject, width: int, entity: Subject | None = None) -> _Told:
    """Names and values, one a line and long ones on several; what is empty is left out."""
    empty: tuple[Any, ...] = (None, "", [], (), {})
    shown = {name: value for name, value in row.items() if name not in UNSEEN and value not in empty}
    longest = max(map(len, shown), default=0)
    for name, value in shown.items():
        if name in _MANY and isinstance(value, list | tuple):
            for place, each in enumerate(value):
                yield _field("" if place else name, each, longest), Subject("task", each)
            continue
        kind: Any = _LEADS.get(name)  # one of the kinds that have a page
        leads = Subject(kind, value) if kind and isinstance(value, str) else None
        leads = entity if name == "entity" else None if leads == subject else leads
        for place, part in enumerate(_parts(value, max(width - longest - 2, 20))):
            yield _field("" if place else name, part, longest), None if place else leads


def _field(name: str, value: str, longest: int) -> Text:
    text = Text(fit(name.replace("_", " "), longest), style="dim").append("  ")
    if name == "status":
        return Text.assemble(text, (value.replace("_", " "), status_style(value)))
    return Text.assemble(text, value)


def _parts(value: Any, width: int) -> Sequence[str]:
    """A value on as many lines as it needs."""
    match value:
        case datetime():
            return [stamp(value)]
        case str():
            lines = value.splitlines()
        case dict():
            lines = _json(value, width)
        case list() | tuple() if not all(isinstance(each, str) for each in value):
            lines = _json(value, width)
        case _:
            lines = [cell(value)]
    return [part for line in lines for part in textwrap.wrap(clean(line), width) or [""]]


def _json(value: Any, width: int) -> list[str]:
    """On one line if there is room."""
    text = msgspec.json.encode(value)
    short = msgspec.json.format(text, indent=0).decode()
    return [short] if len(short) <= width else msgspec.json.format(text).decode().splitlines()


def _wrapped(text: str, width: int, style: str) -> _Told:
    for part in textwrap.wrap(clean(text), width):
        yield Text(part, style=style), None
