"""Read models as they were: the log folded up to a position, in memory. It reads, and fires nothing."""

from collections.abc import Sequence
from typing import Any

from projections.framework import Folds, Key, Projection
from services.codec import Codec
from services.log import EventLog
from services.read_ahead import ReadAhead

REPLAY_BATCH_EVENTS = 5_000

Rows = dict[Key, Any]
"""The rows of a projection by their primary keys, which begin with the project."""


def replay(
    log: EventLog,
    codec: Codec,
    projections: Sequence[Projection[Any]],
    project: str | None,
    until_position: int,
) -> dict[str, Rows]:
    """The rows of each projection, by its name, right after the event at this position.

    A project of None replays all projects.
    """
    states: dict[str, Rows] = {projection.name: {} for projection in projections}
    folds, rows = Folds(projections), list(states.values())
    with ReadAhead(log, codec, REPLAY_BATCH_EVENTS, project) as reader:
        for batch in reader.read_all(0, until_position):
            folds.fold_into(rows, batch)
    return states
