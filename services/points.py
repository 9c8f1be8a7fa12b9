"""Points in a project's past, as people write them, and the positions they mean.

1234               a position in the log
#56                the 56th event of the project
2026-11-21T14:03   a time; without a zone it is UTC
5 minutes ago      also 90s ago, 2h ago, 3 days ago
now
"""

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from domain.errors import CoordError
from services.log import EventLog, UnknownSequence


class BadPoint(CoordError):
    code = "bad_point"
    says = (
        "{text!r} is not a point in time: write a position (1234), a sequence (#56), an ISO time"
        " (2026-11-21T14:03:00Z; without a zone it is UTC), '5 minutes ago', '2h ago' or 'now'."
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


class Ago(Struct, frozen=True):
    seconds: int


Point = AtPosition | AtSequence | AtTime | Ago

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(
    r"([0-9]{1,12}) *(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?|w|weeks?) +ago", re.IGNORECASE
)
_NUMBER = re.compile(r"(#?)([0-9]{1,18})")


def parse_point(text: str) -> Point:
    """What a person wrote, as a point."""
    text = text.strip()
    if number := _NUMBER.fullmatch(text):
        return AtSequence(int(number[2])) if number[1] else AtPosition(int(number[2]))
    if ago := _AGO.fullmatch(text):
        return Ago(int(ago[1]) * _SECONDS[ago[2][0].lower()])
    if text.lower() == "now":
        return Ago(0)
    try:
        time = datetime.fromisoformat(text)
        return AtTime(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise BadPoint(text=text) from error


def resolve(point: Point, log: EventLog, project: str, now: datetime) -> int:
    """The position of the project's last event that the point includes; 0 if it is before them all.

    A bare position is taken as it is, provided that the log has come so far.
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
        case Ago(seconds):
            try:
                return log.at_time(project, now - timedelta(seconds=seconds))
            except OverflowError:  # before the first year there is
                return 0
