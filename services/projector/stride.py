"""Strides: how much of the log is folded at once. None crosses a mark, or leads into a fork or a restore.

At a fork or a restore the project gets a layer to stand on, and what happened between that layer's mark and
the point that the project went back to is folded again, as the first of its own rows.
"""

from collections.abc import Sequence

from msgspec import Struct

from domain.messages import Recorded
from domain.project import ProjectForked, ProjectRestored
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.bases import events_after, nearest_base
from services.projector.layers import Layer, Layers, read_layers
from services.projector.marks import marks_around
from services.projector.tables import Connection

_TURNS = (ProjectForked, ProjectRestored)


class Stride(Struct, frozen=True, kw_only=True):
    """Events to be folded in one transaction, and the positions before and after them.

    `mark` is the last mark before them, `layers` are those of then. If they begin with a fork or a restore,
    `layer` is what the project stands on from there, and what is to be folded before them is `again`, for
    records `told_again`.
    """

    batch: Sequence[Recorded]
    start: int
    end: int
    mark: int
    layers: Layers
    layer: Layer | None = None
    again: Sequence[Recorded] = ()
    told_again: Sequence[Recorded] = ()


class Pacer:
    """Measures strides."""

    def __init__(self, log: EventLog, codec: Codec, connection: Connection) -> None:
        self._log = log
        self._codec = codec
        self._connection = connection

    def stride(self, batch: Sequence[Recorded], position: int, end: int, *, made: int = 0) -> Stride:
        """How far the batch that leads from a position to the end may be folded at once.

        `made` is a mark that may not be written yet.
        """
        marks = marks_around(self._connection, position)
        if marks.next is not None and marks.next < end:
            end = marks.next
            batch = [recorded for recorded in batch if recorded.position <= end]
        for place, recorded in enumerate(batch):
            if place and isinstance(recorded.event, _TURNS):
                batch, end = batch[:place], batch[place - 1].position
                break
        layers = read_layers(self._connection)
        plain = Stride(
            batch=batch,
            start=position,
            end=end,
            mark=max(marks.last, made if made <= position else 0),
            layers=layers.until(position),
        )
        return self._turned(plain, layers) if begins_with_turn(batch) else plain

    def _turned(self, plain: Stride, layers: Layers) -> Stride:
        """The stride from a fork or a restore on; other projections may have met it, and noted its layer."""
        turn = plain.batch[0]
        event, project, log = turn.event, turn.project, self._log
        assert isinstance(event, ProjectForked | ProjectRestored)  # the caller has looked
        lineage = log.lineage(project)
        if isinstance(event, ProjectForked) and lineage.own.first != turn.sequence:
            return plain  # its past was imported into its own stream
        segments = lineage.effective(event.sequence)
        point = log.at_sequence(project, event.sequence)
        layer = layers.begun(project, turn.position)
        if layer is None:
            base = nearest_base(log, self._connection, segments, point, reached=plain.start)
            layer = Layer(
                project=project,
                position=turn.position,
                source=base.stream,
                mark=base.mark,
                restored=isinstance(event, ProjectRestored),
            )
        after = log.sequence_at(layer.source, layer.mark) if layer.mark else 0
        again = events_after(log, self._codec, project, segments, after, point)
        told_again: Sequence[Recorded] = ()
        if not layer.restored:
            raw = lineage.raw(event.sequence)
            told_again = events_after(log, self._codec, project, raw, after, point)
        return Stride(
            batch=plain.batch,
            start=plain.start,
            end=plain.end,
            mark=plain.mark,
            layers=plain.layers.with_one(layer),
            layer=layer,
            again=again,
            told_again=told_again,
        )


def begins_with_turn(batch: Sequence[Recorded]) -> bool:
    """Whether the first event may be a fork or a restore."""
    return bool(batch) and isinstance(batch[0].event, _TURNS)
