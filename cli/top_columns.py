"""The columns of the lists of `coordctl top`: what they say of a row, how wide they are, when they show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.text import Text

from cli.output import Item
from cli.top_text import NOTHING, clock, fit, since, span, status_style
from projections.outcomes import OUTCOMES

WIDE = 120
"""From how many cells on there is room for all that a row says."""

LEAST_SHARE = 8
"""Cells that a column needs which shares what is left; for them others are left out."""

_OUTCOME_STYLES = {"done": "green", "failed": "red", "undone": "yellow", "other": ""}
_MARKS = {"active": "●", "stale": "▲", "terminated": "○"}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What rows are told against: the time it is, the tasks in work, and whether there is much room."""

    now: datetime
    tasks: Mapping[str, Item] = field(default_factory=dict)
    wide: bool = False


Told = str | Text
Cell = Callable[[Any, Scene], Told]


@dataclass(frozen=True)
class Column:
    """A column of `width` cells, or one that shares what is left in proportion to `share`.

    One for a `wide` screen is left out when there is little room, one for a `narrow` screen when there is
    much; then it may be `broad`, too. One that is `right` ends at its right edge.
    """

    name: str
    cell: Cell
    width: int = 0
    share: int = 0
    wide: bool = False
    narrow: bool = False
    broad: int = 0
    right: bool = False


def heading(columns: Sequence[Column], width: int, *, wide: bool) -> Text:
    """The names of the columns, over them."""
    shown, widths = _layout(columns, width, wide=wide)
    cells = [_cell(column.name, size, column.right) for column, size in zip(shown, widths, strict=True)]
    return Text(_gap(wide).join(cells), style="bold", no_wrap=True)


def line(columns: Sequence[Column], row: Item, scene: Scene, width: int) -> Text:
    """A row, in exactly this width if the columns fill it."""
    shown, widths = _layout(columns, width, wide=scene.wide)
    text = Text(no_wrap=True)
    for column, size in zip(shown, widths, strict=True):
        told = column.cell(row, scene)
        style = told.style if isinstance(told, Text) else ""
        plain = told.plain if isinstance(told, Text) else told
        text.append(_gap(scene.wide) if text else "")
        text.append(_cell(plain, size, column.right), style=style)
    text.stylize_before(_row_style(row))
    return text


def _layout(columns: Sequence[Column], width: int, *, wide: bool) -> tuple[list[Column], list[int]]:
    """Which columns there is room for, and how wide each is."""
    shown = [each for each in columns if not (each.narrow if wide else each.wide)]
    while _least(shown, wide=wide) > width and any(not each.share for each in shown):
        shown.remove(next(each for each in reversed(shown) if not each.share))
    fixed = [(wide and each.broad) or each.width for each in shown]
    left = max(width - sum(fixed) - len(_gap(wide)) * (len(shown) - 1), 0)
    shares, widths = sum(each.share for each in shown), []
    for column, size in zip(shown, fixed, strict=True):
        part = left * column.share // shares if column.share else 0  # so that nothing is left in the end
        left, shares = left - part, shares - column.share
        widths.append(size + part)
    return shown, widths


def _least(columns: Sequence[Column], *, wide: bool) -> int:
    """The cells that columns need at least."""
    gaps = len(_gap(wide)) * (len(columns) - 1)
    return gaps + sum((wide and each.broad) or each.width or LEAST_SHARE for each in columns)


def _gap(wide: bool) -> str:
    return "  " if wide else " "


def _cell(text: str, width: int, right: bool) -> str:
    return fit(text.rjust(width) if right and len(text) <= width else text, width)


def _row_style(row: Item) -> str:
    """What must not be overlooked, and what is over."""
    status = row.get("status")
    if status in ("stale", "dead"):
        return "bold red"
    return "dim" if status in ("terminated", "completed", "cancelled", "rejected", "expired") else ""


def _field(name: str) -> Cell:
    return lambda row, _: _shown(row[name])


def _yes(name: str) -> Cell:
    return lambda row, _: NOTHING if row[name] is None else "yes" if row[name] else "no"


def _shown(value: Any) -> str:
    match value:
        case None | "" | [] | ():
            return NOTHING
        case list() | tuple():
            return " ".join(map(str, value))
        case float():
            return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
        case _:
            return str(value)


def _status(row: Item, _: Scene) -> Told:
    return Text(row["status"].replace("_", " "), style=status_style(row["status"]))


def _age(name: str) -> Cell:
    return lambda row, scene: since(row[name], scene.now)


def _name(row: Item, _: Scene) -> Told:
    return Text(f"{_MARKS.get(row['status'], ' ')} {row['agent']}", style=status_style(row["status"]))


def _doing(row: Item, scene: Scene) -> str:
    """The task, how far it is and what it is called; how many others it holds."""
    if row["status"] == "terminated":
        return row["reason"] or "terminated"
    if row["doing"] is None:
        return "idle"
    task = scene.tasks.get(row["doing"], {})
    done = f" {task['percent']}%" if task.get("percent") is not None else ""
    more = f" +{len(row['tasks']) - 1}" if len(row["tasks"]) > 1 else ""
    title = f" {task['title']}" if task.get("title") else ""
    return f"{row['doing']}{more}{done}{title}"


def _agents_lease(row: Item, scene: Scene) -> Told:
    if row["status"] == "stale":
        return "STALE"
    task = scene.tasks.get(row["doing"])
    return NOTHING if task is None else _lease(task, scene)


def _lease(task: Item, scene: Scene) -> Told:
    """How long the lease holds as it was given; heartbeats, of which the log does not tell, lengthen it."""
    if task["lease_until"] is None:
        return NOTHING
    if task["lease_until"] <= scene.now:
        return Text("renewed", style="dim")
    return _left(task["lease_until"], scene, soon_s=30)


def _left(until: datetime, scene: Scene, soon_s: int) -> Told:
    left_s = (until - scene.now).total_seconds()
    return Text(span(left_s), style="yellow" if left_s < soon_s else "")


def _rate(row: Item, _: Scene) -> Told:
    rate = row["success_rate"]
    if rate is None:
        return NOTHING
    return Text(f"{rate:.0%}", style="red" if rate < 0.5 else "")


def _average(row: Item, _: Scene) -> str:
    seconds = row["average_s"]
    if seconds is None:
        return NOTHING
    return f"{seconds:.1f}s" if seconds < 60 else span(seconds)


def _title(row: Item, _: Scene) -> str:
    done = f"{row['percent']}% " if row["percent"] is not None and row["holder"] else ""
    return f"{done}{row['title']}"


def _attempts(row: Item, _: Scene) -> Told:
    """How often it was begun, and how often that failed."""
    failed = f"/{row['failures']}" if row["failures"] else ""
    return Text(f"{row['attempt'] or NOTHING}{failed}", style="red" if failed else "")


def _blockers(row: Item, _: Scene) -> str:
    """What it waits for: the first, and how many more."""
    first, *more = row["blocked_by"] or [NOTHING]
    return f"{first} +{len(more)}" if more else str(first)


def _held_or_blocked(row: Item, scene: Scene) -> Told:
    if row["holder"]:
        lease = _lease(row, scene)
        return Text(row["holder"], style=status_style("active")).append(f" {lease}")
    return _blockers(row, scene)


def _from_to(row: Item, _: Scene) -> str:
    return f"{row['from_agent']} → {row['to_agent'] or 'any ' + row['to_persona']}"


def _expires(row: Item, scene: Scene) -> Told:
    return _left(row["expires_at"], scene, soon_s=60) if row["status"] == "initiated" else NOTHING


def _number(row: Item, _: Scene) -> Told:
    return Text(f"#{row['sequence']}", style="dim")


def _time(row: Item, scene: Scene) -> str:
    return clock(row["at"], scene.now, wide=scene.wide)


def _words(row: Item, _: Scene) -> Told:
    return Text(row["words"], style=_OUTCOME_STYLES[OUTCOMES[row["event"]]])


def _ratio(row: Item, _: Scene) -> Told:
    if row["ratio"] is None:
        return NOTHING
    return Text(f"{row['ratio']:.2f}x", style="red" if row["ratio"] >= 2 else "")


def _by(name: str) -> Column:
    return Column("by", _field(name), width=10)


def _aged(name: str) -> Column:
    return Column("age", _age(name), width=6, right=True)


COLUMNS: Mapping[str, Sequence[Column]] = {
    "agents": (
        Column("agent", _name, share=3),
        Column("persona", _field("persona"), width=10, broad=14),
        Column("doing", _doing, share=5),
        Column("lease", _agents_lease, width=7, right=True),
        Column("since", _age("since"), width=6, right=True),
        Column("dec", _field("decisions"), width=4, right=True, narrow=True),
        Column("decisions", _field("decisions"), width=9, right=True, wide=True),
        Column("completed", _field("completed"), width=9, right=True, wide=True),
        Column("failed", _field("failed"), width=6, right=True, wide=True),
        Column("ok", _rate, width=4, right=True),
        Column("average", _average, width=7, right=True),
    ),
    "queue": (
        Column("task", _field("task"), share=3),
        Column("status", _status, width=11),
        Column("prio", _field("priority"), width=4, right=True),
        Column("title", _title, share=4),
        Column("persona", _field("persona"), width=14, wide=True),
        Column("holder", _field("holder"), width=14, wide=True),
        Column("lease", _lease, width=7, right=True, wide=True),
        Column("blocked by", _blockers, share=2, wide=True),
        Column("held by, or waits for", _held_or_blocked, share=4, narrow=True),
        Column("try", _attempts, width=4, right=True),
        _aged("enqueued_at"),
    ),
    "handoffs": (
        Column("status", _status, width=9),
        Column("from → to", _from_to, share=3),
        Column("task", _field("task"), share=2),
        Column("reason", _field("reason"), share=3),
        Column("note", _field("note"), share=2, wide=True),
        _aged("initiated_at"),
        Column("expires", _expires, width=7, right=True),
    ),
    "activity": (
        Column("event", _number, width=8, right=True),
        Column("time", _time, width=8, broad=14),
        Column("actor", _field("actor"), width=16, wide=True),
        Column("what happened", _words, share=1),
    ),
    "failures": (
        Column("feature", _field("feature"), share=2),
        Column("tried", _field("approach"), share=3),
        Column("why it failed", _field("why"), share=3, wide=True),
        Column("lesson", _field("lesson"), share=4),
        _by("recorded_by"),
        _aged("recorded_at"),
    ),
    "estimates": (
        Column("feature", _field("feature"), share=1),
        Column("persona", _field("persona"), width=10, wide=True),
        Column("complexity", _field("complexity"), width=10, right=True, wide=True),
        Column("estimated", _field("estimated_sessions"), width=9, right=True),
        Column("actual", _field("actual_sessions"), width=6, right=True),
        Column("ratio", _ratio, width=6, right=True),
        _by("recorded_by"),
        _aged("recorded_at"),
    ),
    "retros": (
        Column("feature", _field("feature"), share=2),
        Column("surprises", _field("surprises"), share=3),
        Column("would change", _field("would_change"), share=3),
        Column("new patterns", _field("new_patterns"), share=3, wide=True),
        _by("recorded_by"),
        _aged("recorded_at"),
    ),
    "decisions": (
        Column("about", _field("title"), share=2),
        Column("choice", _field("choice"), share=3),
        Column("because", _field("context"), share=3, wide=True),
        _by("decided_by"),
        _aged("decided_at"),
    ),
    "memories": (
        Column("text", _field("text"), share=1),
        Column("kind", _field("kind"), width=8),
        Column("importance", _field("importance"), width=10, right=True, wide=True),
        _by("agent"),
        _aged("stored_at"),
    ),
    "spikes": (
        Column("question", _field("question"), share=2),
        Column("viable", _yes("viable"), width=6),
        Column("result", _field("result"), share=2),
        Column("lessons", _field("lessons"), share=2, wide=True),
        _by("initiated_by"),
        _aged("initiated_at"),
    ),
    "patterns": (
        Column("pattern", _field("pattern"), share=1),
        Column("how it is done", _field("description"), share=3),
        Column("kept to", _field("average_compliance"), width=8, right=True),
        Column("uses", _field("uses"), width=5, right=True),
    ),
    "complexity": (
        Column("file", _field("file"), share=1),
        Column("score", _field("score"), width=9, right=True),
        Column("growth", _field("growth"), width=9, right=True),
        Column("lines", _field("lines"), width=7, right=True, wide=True),
        _aged("measured_at"),
    ),
    "stale_documentation": (
        Column("library", _field("library"), share=1),
        Column("release", _field("release"), width=10),
        Column("about", _field("topic"), share=1),
        Column("stale for", _age("expires_at"), width=9, right=True),
    ),
    "factors": (
        Column("by", _field("basis"), width=10),
        Column("of", _field("of"), share=1),
        Column("factor", _field("factor"), width=9, right=True),
        Column("spread", _field("spread"), width=9, right=True),
        Column("estimates", _field("estimates"), width=9, right=True),
    ),
    "plans": (
        Column("plan", _field("plan"), share=1),
        Column("planned", _field("planned"), width=7, right=True),
        Column("added", _field("added"), width=5, right=True),
        Column("done", _field("completed"), width=5, right=True),
        Column("grew", _yes("scope_creep"), width=4),
        _aged("made_at"),
    ),
}  # fmt: skip

KEYS: Mapping[str, tuple[str, ...]] = {
    "agents": ("agent",), "queue": ("task",), "handoffs": ("handoff",), "activity": ("position",),
    "failures": ("failure",), "estimates": ("estimate",), "retros": ("retro",), "decisions": ("decision",),
    "memories": ("memory",), "spikes": ("spike",), "patterns": ("pattern",), "complexity": ("file",),
    "stale_documentation": ("library", "release", "topic"), "factors": ("basis", "of"), "plans": ("plan",),
}  # fmt: skip
"""What tells the rows of a view apart."""
