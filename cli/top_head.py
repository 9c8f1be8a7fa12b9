"""The lines around the list of `coordctl top`: which moment it is, how much there is of what, the keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.style import Style
from rich.text import Text

from cli.output import clean
from cli.top_text import fit, joined, since, stamp, status_style
from services.top.looks import Counts, Moment
from services.top.source import Frame, Standing
from services.top.tabs import TABS, Choice, Tab

_BETWEEN = "  "
_TOLD: Mapping[str, Mapping[str, Sequence[str]]] = {
    "agents": {"stale": ("stale",), "active": ("active",)},
    "tasks": {
        "failed": ("failed", "dead"),
        "in work": ("in_progress", "claimed"),
        "queued": ("queued",),
        "blocked": ("blocked",),
        "done": ("completed", "cancelled"),
    },
    "handoffs": {"open": ("initiated", "accepted")},
}
"""What of the counts is told, and of which statuses it is the sum; what needs somebody comes first."""


HELP = (
    ("Time", ""),
    ("← →", "one event back, one on; or , and ."),
    ("Shift+← Shift+→", "a hundred events; or < and >"),
    ("Home End", "to the first event; live, as things happen"),
    ("Space + -", "play from here, or stop; faster, slower"),
    ("g", "go to a point: #56, 1234, 5 minutes ago, a bookmark, …"),
    ("", ""),
    ("Lists", ""),
    ("1 … 6 Tab", "fleet, queue, handoffs, timeline, learned, known"),
    ("underlined letters", "choose which rows are shown"),
    ("/", "only rows that contain a text, as you type"),
    ("↑ ↓ PgUp PgDn", "move; Ctrl+Home and Ctrl+End to the ends"),
    ("Enter", "all about the row; from there on wherever ▸ leads"),
    ("Esc", "back; end the search"),
    ("q", "quit"),
    ("", ""),
    ("What you see", ""),
    ("lease", "what is left of it as it was given. Heartbeats, which"),
    ("", "are no events, lengthen it: then it is 'renewed'."),
    ("behind", "so many events are not in the lists yet"),
    ("ages", "are as of the moment you look at"),
    ("mouse", "works on all of it; hold Shift to select text"),
)


@dataclass(frozen=True, kw_only=True)
class State:
    """What the lines tell of; `sequence` is None when live, `speed` is events a second while playing."""

    project: str
    now: datetime
    moment: Moment
    sequence: int | None = None
    standing: Standing | None = None
    speed: float | None = None
    lost: str = ""


def title(state: State, width: int) -> Text:
    """The project, the moment, and how the connection is."""
    standing, moment = state.standing, state.moment
    head = standing.last.sequence if standing else 0
    parts = [Text(f" {state.project} ", style="bold")]
    if state.lost:
        parts.append(Text(" NO CONNECTION ", style="bold red reverse"))
        parts.append(Text(clean(state.lost), style="red"))
        line = joined(parts[:2], " ", width)
        return line.append(" ").append(fit(clean(state.lost), max(width - line.cell_len - 1, 0)), "red")
    if standing is None:
        return joined([*parts, Text("connecting …", style="dim")], " ", width)
    if state.sequence is None:
        parts.append(Text(" LIVE ", style="bold green reverse"))
        parts.append(Text(f"#{moment.sequence:,}", style="bold"))
    else:
        mark = " ▶ PLAYING " if state.speed else " ❚❚ PAST "
        parts.append(Text(mark, style="bold yellow reverse"))
        parts.append(Text.assemble((f"#{state.sequence:,}", "bold"), (f" of {head:,}", "")))
    if state.speed:
        parts.append(Text(f"{state.speed:g} events/s", style="yellow"))
    if state.sequence not in (None, moment.sequence):
        parts.append(Text("reading …", style="dim"))
    elif moment.at is not None:
        parts.append(Text(stamp(moment.at)))
        parts.append(Text(f"{since(moment.at, state.now)} ago", style="dim"))
    if standing.behind:
        parts.append(Text(f"{standing.behind:,} behind", style="bold yellow"))
    return joined(parts, _BETWEEN, width)


def tallies(counts: Counts, width: int) -> Text:
    """How much there is of what."""
    parts: list[Text] = []
    for kind, told in _TOLD.items():
        held = counts.get(kind, {})
        sums = {name: sum(held.get(each, 0) for each in statuses) for name, statuses in told.items()}
        figures = [
            Text(f"{count:,} {name}", style=status_style(told[name][0]))
            for name, count in sums.items()
            if count
        ]
        if figures:
            parts.append(Text.assemble((f"{kind} ", "bold"), Text(" · ").join(figures)))
    return Text(" ").append_text(joined(parts, _BETWEEN, width - 1))


def slider(sequence: int, head: int, width: int) -> Text:
    """Where the moment is between the first event and the last."""
    cells = max(width - 2, 1)
    place = round((cells - 1) * sequence / head) if head else cells - 1
    line = Text(" ", no_wrap=True)
    line.append("━" * place, style="cyan")
    line.append("●", style="bold cyan")
    return line.append("─" * (cells - 1 - place), style="dim")


def tabs(chosen: Tab) -> Text:
    """The lists there are."""
    line = Text(" ", no_wrap=True, overflow="ellipsis")
    for number, tab in enumerate(TABS, 1):
        start = len(line)
        line.append(f" {number} {tab.title} ", style="bold reverse" if tab is chosen else "")
        line.stylize(Style(meta={"pick": str(number)}), start)
        line.append(" ")
    return line


def choices(tab: Tab, chosen: Choice, text: str, frame: Frame | None, width: int) -> Text:
    """What a list was searched for, what may be chosen of it, and how much there is of that."""
    line = Text(" ", no_wrap=True)
    if text:
        line.append(f"/{clean(text)}{_BETWEEN}", style="bold yellow")
    for choice in tab.choices:
        start = len(line)
        line.append(choice.name, style="bold" if choice == chosen else "dim")
        place = choice.name.find(choice.key)
        if place >= 0:
            line.stylize("underline", start + place, start + place + 1)
        else:
            line.append(" (").append(choice.key, style="underline").append(")")
        if frame is not None and choice.counted:
            held = frame.counts[choice.counted]
            line.append(f" {sum(held.get(each, 0) for each in choice.statuses):,}", style="dim")
        line.stylize(Style(meta={"pick": choice.key}), start)
        line.append(_BETWEEN)
    if not text and frame is not None and frame.factor is not None:
        line.append_text(_factor(frame.factor.get("factor"), int(frame.factor["estimates"])))
    line.truncate(width, overflow="ellipsis")
    return line


def page_title(names: Sequence[str], told: str, width: int) -> Text:
    """What page is open, and the way there."""
    line = Text(" ", no_wrap=True)
    line.append(" ▸ ".join(map(clean, names)), style="bold")
    line.append(f"  {clean(told)}" if told else "")
    line.truncate(width, overflow="ellipsis")
    return line


def keys(tab: Tab, *, deep: bool, live: bool) -> Text:
    """What keys do here, the most useful first."""
    told = [("←→", "step"), ("space", "play"), ("g", "go to")]
    if not live:
        told.append(("end", "live"))
    told += [("esc", "back")] if deep else [("/", "find")] if tab.searched else []
    told += [("enter", "open"), ("?", "help"), ("q", "quit")]
    line = Text(" ", no_wrap=True, overflow="ellipsis")
    for key, what in told:
        line.append(key, style="bold").append(f" {what}  ", style="dim")
    return line


def _factor(factor: float | None, estimates: int) -> Text:
    if factor is None:
        return Text("no correction factor: no estimate was closed in 90 days", style="dim")
    many = "estimate" if estimates == 1 else "estimates"
    return Text(f"correction factor {factor:.2f}x", style="bold").append(
        f" from {estimates} {many} closed in 90 days", style="dim"
    )
