"""One side of a comparison: a project at a position, its rows and its events.

Rows come from the last mark before the position, where they are kept, and from the events since, the tail,
which are folded in memory. Several projections share a tail. It reads, and changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from domain.lineage import Segment, Segments
from domain.messages import Recorded
from projections.catalog import PROJECTIONS
from projections.framework import Folds, Key, Projection, Touch
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.bases import NOTHING, Base, events_after, nearest_base
from services.projector.tables import Connection
from services.reading.deltas import Deltas
from services.reading.listing import served
from services.reading.replay import Rows


class Side:
    """A project right after the event at a position, read once for all projections.

    Its rows are told under the name `named`. `standing` says how far the tables have come that may
    be read.
    """

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        connection: Connection,
        project: str,
        position: int,
        named: str,
        standing: Mapping[str, int],
        deltas: Deltas,
    ) -> None:
        self.project = project
        self.position = position
        self.named = named
        self.lineage = log.lineage(project)
        self.last = log.sequence_at(project, position)
        self._log = log
        self._codec = codec
        self._connection = connection
        self._standing = standing
        self._deltas = deltas
        self._bases: dict[tuple[bool, int], Base] = {}
        self._tails: dict[tuple[bool, Base], list[Recorded]] = {}
        self._touched: dict[str, list[Touch]] = {}

    def segments(self, *, record: bool = False) -> Segments:
        """Where the events stand that made the state; for records, all that happened."""
        return self.lineage.raw(self.last) if record else self.lineage.effective(self.last)

    def base(self, projection: Projection[Any]) -> Base:
        """The mark from which the rows are folded."""
        record, standing = projection.record, self._standing.get(projection.name)
        if standing is None:
            return NOTHING
        if (record, standing) not in self._bases:
            segments = self.segments(record=record)
            found = nearest_base(self._log, self._connection, segments, self.position, reached=standing)
            self._bases[record, standing] = found if found.mark else NOTHING
        return self._bases[record, standing]

    def tail(self, projection: Projection[Any]) -> list[Recorded]:
        """The events since then."""
        base = self.base(projection)
        if (projection.record, base) not in self._tails:
            segments = self.segments(record=projection.record)
            self._tails[projection.record, base] = events_after(
                self._log, self._codec, self.named, segments, base.sequence, self.position
            )
        return self._tails[projection.record, base]

    def touched(self, projection: Projection[Any]) -> set[Key]:
        """The keys of the rows that the tail touches."""
        return {key for _, key, _ in self._touches(projection)}

    def rows(self, projection: Projection[Any], keys: Collection[Key]) -> Rows:
        """The rows there are of these keys."""
        rows = self._deltas.load(served(projection), self.base(projection), keys)
        projection.fold_into(rows, (touch for touch in self._touches(projection) if touch[1] in keys))
        return rows

    def events(self, segments: Segments, after: int) -> list[Recorded]:
        """Its events that stand in these segments after a sequence."""
        return events_after(self._log, self._codec, self.project, segments, after, self.position)

    def last_event(self) -> Recorded | None:
        """The last event that its state includes."""
        found = self.read([self.last])
        return found[0] if found else None

    def read(self, sequences: Sequence[int]) -> list[Recorded]:
        """Its events of these sequences."""
        return [self._codec.decode(row) for row in self._log.read_at(self.project, sequences)]

    def _touches(self, projection: Projection[Any]) -> list[Touch]:
        """What the tail does to the rows of a projection; found for all that share it."""
        if projection.name not in self._touched:
            base, record = self.base(projection), projection.record
            sharing = [each for each in PROJECTIONS if each.record == record and self.base(each) == base]
            touches = Folds(sharing).touches(self.tail(projection))
            self._touched |= {each.name: some for each, some in zip(sharing, touches, strict=True)}
        return self._touched[projection.name]


def common(left: Segments, right: Segments) -> int:
    """The last sequence up to which both are made of the same events; 0 if of none."""
    last = 0
    for one, other in zip(left, right, strict=False):
        if (one.stream, one.first) != (other.stream, other.first):
            break
        last = min(one.last, other.last)
        if one.last != other.last:
            break
    return last


def following(segments: Segments, sequence: int) -> Segments:
    """What of these follows a sequence."""
    return tuple(
        Segment(each.stream, max(each.first, sequence + 1), each.last)
        for each in segments
        if each.last > sequence
    )
