"""Times, spans and figures as people read them. Pure."""

from datetime import UTC, datetime
from typing import Any

import msgspec

NOTHING = "\u2013"

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def span(seconds: float | None) -> str:
    """How long: 12s, 4m 05s, 3h 12m, 2d 4h."""
    if seconds is None:
        return NOTHING
    whole = max(int(seconds), 0)
    if seconds < 10 and seconds != whole:
        return f"{max(seconds, 0.0):.1f}s"
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m {whole % _MINUTE_S:02}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h {whole % _HOUR_S // _MINUTE_S:02}m"
    return f"{whole // _DAY_S}d {whole % _DAY_S // _HOUR_S}h"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, seen from `now`."""
    return NOTHING if since is None else span((now - since).total_seconds())


def clock(at: datetime | None) -> str:
    """A time of day, in UTC; scripts make it local."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%H:%M:%S}"


def day(at: datetime | None) -> str:
    """A date and a time, in UTC."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def number(count: float) -> str:
    """With thin spaces between the thousands."""
    return f"{count:,}".replace(",", "\u202f")


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share * 100:.0f}%"


def status(name: str) -> str:
    """A status as it is shown: `in_progress` as "in progress"."""
    return name.replace("_", " ")


def as_json(value: Any, indent: int = 0) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()
