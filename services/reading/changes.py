"""Walking through a project's events, with the rows that each of them changed.

A step folds its event with the projections' own folds into the rows as they were before it. It reads the log
and the read models of the past, and changes nothing.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from domain.messages import Recorded
from domain.project import ProjectRestored
from projections.catalog import PROJECTIONS
from projections.changes import RowChange, change_of, event_changes
from projections.framework import Key, Projection
from services.log.history import History
from services.reading.replay import Rows
from services.reading.travel import Travel

BATCH_EVENTS = 500
"""How many events in a row are folded at once."""

STATE: tuple[Projection[Any], ...] = tuple(each for each in PROJECTIONS if not each.append_only)
"""The projections whose rows change; of the others an event only adds a line of its own."""


class Step(Struct, frozen=True):
    """An event and what it changed."""

    recorded: Recorded
    changes: list[RowChange]


class Walk:
    """The events of a project, or those about one thing, as steps that are counted from 0."""

    def __init__(
        self,
        history: History,
        travel: Travel,
        entity: str | None = None,
        projections: Sequence[Projection[Any]] = STATE,
    ) -> None:
        self.sequences: Sequence[int] = range(1, history.last + 1)
        if entity is not None:
            self.sequences = history.sequences(entity=(entity,))
        self._history = history
        self._travel = travel
        self._projections = projections

    def __len__(self) -> int:
        return len(self.sequences)

    def place(self, sequence: int) -> int:
        """The last step that is not after this sequence; the first if all are."""
        return max(bisect_right(self.sequences, sequence) - 1, 0)

    def steps(self, first: int, count: int = 1) -> Iterator[Step]:
        """So many steps, or as many as there are, from this one on."""
        for batch in _batches(self.sequences[first : first + count]):
            folded: list[Recorded] = []
            for recorded in self._history.read(batch):
                if isinstance(recorded.event, ProjectRestored):
                    yield from self._fold(folded)
                    folded = []
                    yield Step(recorded, list(self._restored(recorded)))
                else:
                    folded.append(recorded)
            yield from self._fold(folded)

    def _fold(self, events: Sequence[Recorded]) -> Iterator[Step]:
        """Steps of events that follow each other without a gap."""
        if not events:
            return
        before = events[0].position - 1
        rows = {each.name: self._rows(each, events, before) for each in self._projections}
        for recorded in events:
            yield Step(recorded, event_changes(self._projections, recorded, rows))

    def _restored(self, restored: Recorded) -> Iterator[RowChange]:
        """A restore folds nothing: it changes the rows of what it takes back, and of what it brings back."""
        projections = [each for each in self._projections if not each.append_only]
        keys: dict[str, set[Key]] = {each.name: set() for each in projections}
        for events in self._history.turned(restored):
            for each in projections:
                keys[each.name] |= {key for _, key, _ in each.touches(events)}
        for projection in projections:
            touched = keys[projection.name]
            before, after = (
                self._travel.rows(projection, self._history.project, position, touched)
                for position in (restored.position - 1, restored.position)
            )
            for key in sorted(touched):
                change = change_of(projection.name, key, before.get(key), after.get(key))
                if change is not None:
                    yield change

    def _rows(self, projection: Projection[Any], events: Sequence[Recorded], position: int) -> Rows:
        """Those of the rows that the events touch, as they were at a position."""
        keys = {key for _, key, _ in projection.touches(events)}
        if not keys or projection.append_only:
            return {}
        return self._travel.rows(projection, self._history.project, position, keys)


def _batches(sequences: Sequence[int]) -> Iterator[list[int]]:
    """The sequences in runs without a gap, none longer than a batch."""
    batch: list[int] = []
    for sequence in sequences:
        if batch and (sequence != batch[-1] + 1 or len(batch) == BATCH_EVENTS):
            yield batch
            batch = []
        batch.append(sequence)
    if batch:
        yield batch
