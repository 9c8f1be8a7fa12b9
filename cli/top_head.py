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
_OVER = ("terminated", "completed", "cancelled", "rejected", "expired")
_ORDER: Mapping[str, Sequence[str]] = {
    "agents": ("stale", "active", "terminated"),
    "tasks": (
        "failed", "dead", "in_progress", "claimed", "queued", "blocked", "completed", "cancelled",
    ),
    "handoffs": ("initiated", "accepted", "rejected", "expired", "completed"),
}  # fmt: skip

HELP = (
    ("Time", ""),
    ("← →", "one event back, one on; also , and ."),
    ("Shift+← Shift+→", "a hundred events; also < and >"),
    ("Home End", "to the first event; live, as things happen"),
    ("Space", "play from here, and stop; + and - change the speed"),
    ("g", "go to a point: #56, 1234, 14:03 as an ISO time, '5 minutes ago', a bookmark, now"),
    ("", ""),
    ("Lists", ""),
    ("1 … 5, Tab", "fleet, queue, handoffs, timeline, learned"),
    ("underlined letters", "choose which rows are shown"),
    ("/", "only rows that contain a text, as you type (queue, timeline, learned)"),
    ("↑ ↓ j k", "one row; PgUp and PgDn a screen, Ctrl+Home and Ctrl+End to the ends"),
    ("Enter", "all about the row: its story, and from there on whatever is underlined"),
    ("Esc", "back; leave the search"),
    ("q", "quit"),
    ("", ""),
    ("What you see", ""),
    ("lease", "what is left of it as it was given. Heartbeats lengthen it, which the log does not tell:"),
    ("", "a lease beyond its first end is 'renewed'. In the past, times are as of that moment."),
    ("behind", "the read models have yet to take so many events; what you see is that much older"),
    ("mouse", "click on a row, a tab or the slider; hold Shift to select text"),
)  # fmt: skip


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
        parts.append(Text(f"#{head:,}", style="bold"))
    else:
        mark = " ▶ PLAYING " if state.speed else " ❚❚ PAST "
        parts.append(Text(mark, style="bold yellow reverse"))
        parts.append(Text.assemble((f"#{state.sequence:,}", "bold"), (f" of {head:,}", "")))
    if state.speed:
        parts.append(Text(f"{state.speed:g} events/s", style="yellow"))
    parts.append(Text(stamp(moment.at)))
    if moment.at is not None:
        parts.append(Text(f"{since(moment.at, state.now)} ago", style="dim"))
    if standing.behind:
        parts.append(Text(f"{standing.behind:,} behind", style="bold yellow"))
    return joined(parts, _BETWEEN, width)


def tallies(counts: Counts, width: int) -> Text:
    """How much there is of what; what needs somebody first, what is over last."""
    parts: list[Text] = []
    for kind, order in _ORDER.items():
        held = counts.get(kind, {})
        shown = [status for status in order if held.get(status) and status not in _OVER]
        told = Text(f"{kind} ", style="bold")
        figures = [Text(f"{held[each]:,} {_plain(each)}", style=status_style(each)) for each in shown]
        told.append_text(Text(" · ").join(figures) if figures else Text("none open", style="dim"))
        parts.append(told)
    over = [
        Text(f"{held[status]:,} {_plain(status)}", style="dim")
        for kind, order in _ORDER.items()
        for held in (counts.get(kind, {}),)
        for status in order
        if held.get(status) and status in _OVER and kind == "tasks"
    ]
    return Text(" ").append_text(joined([*parts, *over], "   ", width - 1))


def slider(sequence: int, head: int, width: int) -> Text:
    """Where the moment is between the first event and the last."""
    cells = max(width - 2, 1)
    place = round((cells - 1) * sequence / head) if head else cells - 1
    line = Text(" ", no_wrap=True)
    line.append("━" * place, style="cyan")
    line.append("●", style="bold cyan")
    return line.append("─" * (cells - 1 - place), style="dim")


def tabs(chosen: Tab, trail: Sequence[str]) -> Text:
    """The tabs; behind the chosen one, what was opened from there."""
    line = Text(" ", no_wrap=True, overflow="ellipsis")
    for number, tab in enumerate(TABS, 1):
        style = "bold reverse" if tab is chosen else ""
        link = Style(meta={"@click": f"app.tab({number - 1})"})
        line.append(Text(f" {number} {tab.title} ", style=style + " " if style else "", end=""))
        line.stylize(link, len(line) - len(tab.title) - 4)
        line.append(" ")
    for each in trail:
        line.append(" ▸ ", style="dim").append(clean(each), style="bold")
    return line


def choices(tab: Tab, chosen: Choice, text: str, frame: Frame | None, width: int) -> Text:
    """What may be chosen of a list, with how much there is of it, and what it was searched for."""
    line = Text(" ", no_wrap=True)
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
        line.stylize(Style(meta={"@click": f"app.choose('{choice.key}')"}), start)
        line.append(_BETWEEN)
    if text:
        line.append(f"/{clean(text)}", style="bold yellow")
    elif frame is not None and frame.factor is not None:
        line.append_text(_factor(frame.factor.get("factor"), int(frame.factor["estimates"])))
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


def _plain(status: str) -> str:
    return status.replace("_", " ")
