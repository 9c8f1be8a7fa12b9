"""POINTs of the command line: every command that takes one has it understood here."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.session import new_codec

if TYPE_CHECKING:
    from services.log.event_log import EventLog


def resolved(log: "EventLog", project: str, text: str) -> int:
    """The position of the project's last event that a POINT includes; 0 if it is before them all.

    Raises BadPoint, PointNotReached or UnknownBookmark.
    """
    from services.projector.tables import connected
    from services.reading.points import parse_point, resolve
    from services.reading.travel import Travel

    with connected(log.url) as connection:
        travel = Travel(log, new_codec(), connection)
        return resolve(parse_point(text), log, travel, project, datetime.now(UTC))


def named_time(text: str) -> datetime | None:
    """The time that a POINT names, if it names one. Raises BadPoint."""
    from services.reading.points import parse_point, time_of

    return time_of(parse_point(text), datetime.now(UTC))
