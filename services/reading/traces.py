"""The events that touched certain rows on one side of a comparison, since the sides parted.

Of each row the last few are found: among the latest events by what the folds say they touch, among those
before by the activity's index of what each event is about. It reads, and changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from domain.lineage import Segments, includes
from domain.messages import Recorded
from projections.activity import ACTIVITY
from projections.framework import Folds, Key, Projection
from services.projector.tables import Connection
from services.reading.sides import Side, common, following

EVENTS_A_ROW = 5

_LATEST_EVENTS = 2_000
_EVENTS_A_THING = 8

_ABOUT = """
SELECT sequence FROM (
    SELECT sequence, row_number() OVER (PARTITION BY entity ORDER BY sequence DESC) AS place
    FROM coord.activity WHERE project = %s AND entity = ANY(%s) AND sequence BETWEEN %s AND %s
) AS about WHERE place <= %s
"""
_HANDOFFS = "SELECT handoff FROM coord.handoffs WHERE project = %s AND task = ANY(%s)"

_Keys = Mapping[str, Collection[Key]]
"""The keys of rows by the names of their projections, without the project."""


class Trace(Struct, frozen=True):
    """The last events that touched a row, in order; `more` if others were found before them."""

    events: Sequence[Recorded]
    more: bool


class Tracer:
    """Finds the events of a side that the other side's state is not made of."""

    def __init__(self, connection: Connection, side: Side, other: Side) -> None:
        self._connection = connection
        self._side = side
        self._since = {
            record: common(side.segments(record=record), other.segments(record=record))
            for record in (False, True)
        }

    def trace(self, projections: Sequence[Projection[Any]], keys: _Keys) -> dict[tuple[str, Key], Trace]:
        """The last events that touched each of these rows."""
        found: dict[tuple[str, Key], dict[int, Recorded]] = {
            (name, key): {} for name, some in keys.items() for key in some
        }
        for record in (False, True):
            some = [each for each in projections if each.record == record]
            if some:
                self._look(some, found, record=record)
        return {row: _trace(events) for row, events in found.items()}

    def turns(self) -> list[Recorded]:
        """The forks and restores among the events."""
        side, counting = self._side, self._segments(record=False)
        turns = [turn.at for turn in side.lineage.restores]
        if len(side.lineage.streams) > 1:
            turns.append(side.lineage.own.first)
        return side.read(sorted(turn for turn in turns if includes(counting, turn)))

    def _look(
        self,
        projections: Sequence[Projection[Any]],
        found: Mapping[tuple[str, Key], dict[int, Recorded]],
        *,
        record: bool,
    ) -> None:
        """Look through the latest events, and for rows of which too few are among them, further back."""
        segments = self._segments(record=record)
        known = self._side.base(ACTIVITY).sequence  # the activity is searched up to there
        latest = max(self._since[record], min(known, self._side.last - _LATEST_EVENTS))
        _note(projections, self._side.events(segments, latest), found)
        if latest == self._since[record]:
            return
        names = {each.name for each in projections}
        few = {row for row, events in found.items() if row[0] in names and len(events) <= EVENTS_A_ROW}
        sequences = self._about({str(part) for _, key in few for part in key}, segments)
        _note(projections, self._side.read([each for each in sequences if each <= latest]), found)

    def _about(self, things: set[str], segments: Segments) -> list[int]:
        """The sequences of the last events about these things, and about their handoffs, as far as known."""
        fetch = self._connection.execute
        for stream in {each.stream for each in segments}:
            things |= {handoff for (handoff,) in fetch(_HANDOFFS, (stream, [*things])).fetchall()}
        return [
            sequence
            for each in segments
            for (sequence,) in fetch(
                _ABOUT, (each.stream, [*things], each.first, each.last, _EVENTS_A_THING)
            ).fetchall()
        ]

    def _segments(self, *, record: bool) -> Segments:
        return following(self._side.segments(record=record), self._since[record])


def _note(
    projections: Sequence[Projection[Any]],
    events: Iterable[Recorded],
    found: Mapping[tuple[str, Key], dict[int, Recorded]],
) -> None:
    """Note the events that touch one of the rows."""
    for projection, touches in zip(projections, Folds(projections).touches(events), strict=True):
        for recorded, key, _ in touches:
            noted = found.get((projection.name, key[1:]))
            if noted is not None:
                noted[recorded.sequence] = recorded


def _trace(events: Mapping[int, Recorded]) -> Trace:
    last = sorted(events)[-EVENTS_A_ROW:]
    return Trace([events[sequence] for sequence in last], more=len(events) > len(last))
