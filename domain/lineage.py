"""Lineage: in which streams a project's events stand, and which of them still count. Pure.

A project's events are numbered by their sequences alone. A fork goes on with its origin's numbers: what it
has up to the fork is read in the origin's stream. A restore takes back what lies between the event that it
goes back to and itself; what it took back keeps its numbers and counts no more, unless a later restore goes
back into it. So a lineage is two short lists, whatever the length of the log.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable

from msgspec import Struct

END = 2**63 - 1
"""A sequence that no project comes to."""


class Fork(Struct, frozen=True):
    """A project begins as `origin` was right after the event `sequence`."""

    origin: str
    sequence: int


class Restore(Struct, frozen=True):
    """The event `at` made the project what it was right after the event `to`."""

    at: int
    to: int


Turn = Fork | Restore


class Segment(Struct, frozen=True):
    """Events of one stream, the first and the last included."""

    stream: str
    first: int
    last: int


Segments = tuple[Segment, ...]
"""Events in order: no two segments overlap, and sequences only grow."""


class Lineage(Struct, frozen=True):
    """`streams` hold every event the project ever had, its own stream last; `restores` are in order."""

    streams: Segments
    restores: tuple[Restore, ...] = ()

    @property
    def own(self) -> Segment:
        """The events that stand in the project's own stream."""
        return self.streams[-1]

    @property
    def last_turn(self) -> Restore:
        """The project's last restore, or else its fork; one that never turned began with its first event."""
        if self.restores and self.restores[-1].at >= self.own.first:
            return self.restores[-1]
        return Restore(at=self.own.first, to=self.own.first - 1)

    def raw(self, last: int = END) -> Segments:
        """Every event up to this sequence, also what a restore took back."""
        return _cut(self.streams, 1, last)

    def effective(self, last: int = END) -> Segments:
        """The events that made the state right after this sequence."""
        segments: list[Segment] = []
        for restore in reversed(self.restores):
            if restore.at <= last:  # else it had not happened yet, or was itself taken back
                segments[:0] = _cut(self.streams, restore.at, last)
                last = restore.to
        return (*_cut(self.streams, 1, last), *segments)

    def stream_of(self, sequence: int) -> str:
        """Where the event of this sequence stands, if there is one."""
        place = bisect_right(self.streams, sequence, key=_first)
        return self.streams[max(place - 1, 0)].stream


def trace(project: str, turns_of: Callable[[str], Iterable[Turn]]) -> Lineage:
    """The lineage of a project, given the turns that stand in each stream, in order."""
    streams: list[Segment] = []
    restores: list[Restore] = []
    stream, last = project, END
    while True:
        turns = [*turns_of(stream)]
        fork = next((turn for turn in turns if isinstance(turn, Fork)), None)
        first = 1 if fork is None else fork.sequence + 1
        if first <= last:
            streams.append(Segment(stream, first, last))
        restores += [turn for turn in turns if isinstance(turn, Restore) and turn.at <= last]
        if fork is None:
            break
        stream, last = fork.origin, min(fork.sequence, last)
    return Lineage(tuple(reversed(streams)), tuple(sorted(restores, key=_at)))


def includes(segments: Segments, sequence: int) -> bool:
    """Is the event of this sequence one of these?"""
    place = bisect_right(segments, sequence, key=_first) - 1
    return place >= 0 and sequence <= segments[place].last


def _cut(segments: Segments, first: int, last: int) -> Segments:
    return tuple(
        Segment(each.stream, max(each.first, first), min(each.last, last))
        for each in segments
        if each.first <= last and first <= each.last
    )


def _first(segment: Segment) -> int:
    return segment.first


def _at(restore: Restore) -> int:
    return restore.at
