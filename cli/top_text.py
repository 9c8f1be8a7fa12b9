"""How `coordctl top` words figures: spans of time, moments, and texts that must fit. Pure."""

from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from cli.output import STYLES, clean

NOTHING = "-"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def span(seconds: float) -> str:
    """A length of time in the one or two units that matter, in six characters at most."""
    whole = max(int(seconds), 0)
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02}m"
    days = whole // _DAY_S
    return f"{days}d{whole % _DAY_S // _HOUR_S:02}h" if days < 100 else f"{days}d"


def since(moment: datetime | None, now: datetime) -> str:
    """How long ago that was."""
    return NOTHING if moment is None else span((now - moment).total_seconds())


def stamp(moment: datetime | None) -> str:
    """A moment in full, to the second, in UTC."""
    return NOTHING if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def clock(moment: datetime, now: datetime, *, wide: bool) -> str:
    """The time of day, if it is now's day; else the day, and the time if there is room."""
    there = moment.astimezone(UTC)
    if there.date() == now.astimezone(UTC).date():
        return f"{there:%H:%M:%S}"
    return f"{there:%m-%d %H:%M:%S}" if wide else f"{there:%m-%d}"


def fit(text: str, width: int) -> str:
    """The text in exactly so many cells, cut with an ellipsis if it is longer."""
    plain = clean(text)
    if cell_len(plain) <= width:
        return set_cell_size(plain, width)
    return set_cell_size(plain, width - 1) + "…" if width > 0 else ""


def joined(parts: list[Text], between: str, width: int) -> Text:
    """As many of the parts, from the first on, as fit into a width."""
    line = Text(no_wrap=True)
    for part in parts:
        gap = between if line else ""
        if line.cell_len + len(gap) + part.cell_len > width:
            break
        line.append(gap, style="dim")
        line.append_text(part)
    return line


def status_style(status: str) -> str:
    """The colour of a status; what is over is dim."""
    style = STYLES.get(status, "")
    return "dim" if style == "bright_black" else style
