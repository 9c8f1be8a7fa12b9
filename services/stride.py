"""Strides: how much of the log is folded at once. No stride crosses a mark."""

from collections.abc import Sequence

from msgspec import Struct

from domain.messages import Recorded
from services.layers import Layers, read_layers
from services.marks import marks_around
from services.tables import Connection


class Stride(Struct, frozen=True, kw_only=True):
    """Events to be folded in one transaction, and the positions before and after them.

    `mark` is the last mark before them.
    """

    batch: Sequence[Recorded]
    start: int
    end: int
    mark: int
    layers: Layers


def stride(
    connection: Connection, batch: Sequence[Recorded], position: int, end: int, *, made: int = 0
) -> Stride:
    """How far the batch that leads from a position to the end may be folded at once.

    `made` is a mark before it that may not be written yet.
    """
    marks = marks_around(connection, position)
    if marks.next is not None and marks.next < end:
        end = marks.next
        batch = [recorded for recorded in batch if recorded.position <= end]
    return Stride(
        batch=batch, start=position, end=end, mark=max(marks.last, made), layers=read_layers(connection)
    )
