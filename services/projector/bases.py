"""Bases: the mark from which a project's state at a point is nearest, whichever stream it lies in.

The events that make a state may stand in several streams, and marks between them may hold what was taken back
later, or what an origin did after it was forked. It reads the log and the marks.
"""

from typing import Final

from msgspec import Struct

from domain.lineage import Segment, Segments
from domain.messages import Recorded
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.marks import marks_around
from services.projector.tables import Connection

_CHUNK_EVENTS = 5_000


class Base(Struct, frozen=True):
    """The rows that a stream had at a mark, `sequence` being their last event's. At mark 0 there are none."""

    stream: str
    mark: int
    sequence: int


NOTHING: Final = Base("", 0, 0)


def nearest_base(
    log: EventLog, connection: Connection, segments: Segments, position: int, *, reached: int
) -> Base:
    """The last mark that holds a state on the way of these segments to the position.

    `reached` is how far the tables have come that are to be read there.
    """
    for place, segment in reversed([*enumerate(segments)]):
        last = position
        if segment is not segments[-1] or log.sequence_at(segment.stream, position) > segment.last:
            last = log.at_sequence(segment.stream, segment.last)  # the stream went on without the project
        mark = marks_around(connection, min(last, reached)).last
        if place == 0 or (mark and mark >= log.at_sequence(segment.stream, segment.first)):
            return Base(segment.stream, mark, _sequence_at(log, segment, mark))
    return NOTHING


def events_after(
    log: EventLog, codec: Codec, project: str, segments: Segments, sequence: int, position: int
) -> list[Recorded]:
    """The events of these segments that follow a sequence, none past the position."""
    found: list[Recorded] = []
    while rows := log.read_segments(project, segments, sequence, _CHUNK_EVENTS, position):
        found += map(codec.decode, rows)
        sequence = found[-1].sequence
    return found


def _sequence_at(log: EventLog, segment: Segment, mark: int) -> int:
    return min(log.sequence_at(segment.stream, mark), segment.last) if mark else 0
