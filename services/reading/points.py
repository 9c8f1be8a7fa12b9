"""Points in a project's past, as people write them, and the positions they mean.

1234                     a position in the log; digits alone are always one
#56                      the 56th event of the project
2026-11-21T14:03         a time; without a zone it is UTC, and a date alone is its midnight
5 minutes ago            also 90s ago, 1h30m ago, 3 days ago, -5m
before-merge             a bookmark; bookmark:before-merge as well
now                      after everything that has happened
"""

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from domain.bookmarks import is_bookmark, unknown_bookmark
from domain.errors import CoordError, UnknownSequence
from projections.bookmarks import BOOKMARKS
from services.log.event_log import EventLog
from services.reading.travel import Travel


class BadPoint(CoordError):
    code = "bad_point"
    says = (
        "{text!r} is not a point in time: write a position (1234), a sequence (#56), an ISO time"
        " (2026-11-21T14:03:00Z; without a zone it is UTC), '5 minutes ago', '1h30m ago', a bookmark's name"
        " or 'now'."
    )


class PointNotReached(CoordError):
    code = "point_not_reached"
    says = "{point} is not reached yet: {latest}. Choose an earlier point, or 'now'."


class AtPosition(Struct, frozen=True):
    position: int


class AtSequence(Struct, frozen=True):
    sequence: int


class AtTime(Struct, frozen=True):
    time: datetime


class AtBookmark(Struct, frozen=True):
    name: str


class Ago(Struct, frozen=True):
    seconds: int


class Now(Struct, frozen=True):
    pass


Point = AtPosition | AtSequence | AtTime | AtBookmark | Ago | Now

_SECONDS = {"S": 1, "M": 60, "H": 3_600, "D": 86_400, "W": 604_800}
_PART = r"[0-9]{1,12} *(?:S|SECS?|SECONDS?|M|MINS?|MINUTES?|H|HOURS?|D|DAYS?|W|WEEKS?)"
_SPAN = rf"({_PART}(?: *{_PART})*)"
_AGO = re.compile(rf"{_SPAN} +AGO|-{_SPAN}")
_AMOUNT = re.compile(r"([0-9]+) *([SMHDW])")
_NUMBER = re.compile(r"(#?)([0-9]{1,18})")
_TIME = re.compile(r"[0-9][0-9W-]*([T ][0-9:.,]+(Z|[+-][0-9:]+)?)?")
_BOOKMARK = "bookmark:"


def parse_point(text: str) -> Point:
    """What a person wrote, as a point. Raises BadPoint."""
    text = text.strip()
    if number := _NUMBER.fullmatch(text):
        return AtSequence(int(number[2])) if number[1] else AtPosition(int(number[2]))
    capitals = text.upper()
    if capitals == "NOW":
        return Now()
    if ago := _AGO.fullmatch(capitals):
        amounts = _AMOUNT.findall(ago[1] or ago[2])
        return Ago(sum(int(amount) * _SECONDS[unit] for amount, unit in amounts))
    if _TIME.fullmatch(capitals):
        return AtTime(_time(capitals, text))
    name = text.removeprefix(_BOOKMARK)
    if is_bookmark(name):
        return AtBookmark(name)
    raise BadPoint(text=text)


def resolve(point: Point, log: EventLog, travel: Travel, project: str, now: datetime) -> int:
    """The position of the project's last event that the point includes; 0 if it is before them all.

    A bare position is taken as it is, provided that the log has come so far. Raises PointNotReached or
    UnknownBookmark.
    """
    match point:
        case AtPosition(position):
            if position > (head := log.head()):
                raise PointNotReached(point=f"Position {position}", latest=f"the log ends at {head}")
            return position
        case AtSequence(sequence):
            try:
                return log.at_sequence(project, sequence)
            except UnknownSequence as error:
                latest = f"the last event of {project} is #{error.facts['last']}"
                raise PointNotReached(point=f"#{sequence}", latest=latest) from error
        case AtTime(time):
            if time > now:
                raise PointNotReached(point=time.isoformat(), latest=f"it is {now.isoformat()}")
            return log.at_time(project, time)
        case AtBookmark(name):
            return log.at_sequence(project, _marked(name, log, travel, project))
        case Ago(seconds):
            try:
                return log.at_time(project, now - timedelta(seconds=seconds))
            except OverflowError:  # before the first year there is
                return 0
        case Now():
            return log.project_head(project)[1]


def time_of(point: Point, now: datetime) -> datetime | None:
    """The time that a point names, whenever the last event before it was; None if it names no time."""
    match point:
        case AtTime(time):
            return time
        case Ago(seconds) if seconds < now.timestamp():
            return now - timedelta(seconds=seconds)
        case Now():
            return now
        case _:
            return None


def _time(capitals: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(capitals)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadPoint(text=text) from error


def _marked(name: str, log: EventLog, travel: Travel, project: str) -> int:
    """The sequence at which a bookmark stands now."""
    _, head = log.project_head(project)
    row = travel.rows(BOOKMARKS, project, head, [(project, name)]).get((project, name))
    if row is not None and row.status == "placed":
        return int(row.sequence)
    rows = travel.rows(BOOKMARKS, project, head).values()
    raise unknown_bookmark(name, [row.bookmark for row in rows if row.status == "placed"])
