"""Read models as they were: the log folded up to a position, in memory. It reads, and fires nothing.

A project's state is folded from the events that made it; records of what happened also from those that a
restore took back.
"""

from collections.abc import Sequence
from typing import Any

from domain.lineage import includes
from projections.framework import Folds, Key, Projection
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.log.read_ahead import ReadAhead

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

    A project of None replays all projects that there were. A fork that is named has its origin's past, even
    at positions before it was made.
    """
    states: dict[str, Rows] = {projection.name: {} for projection in projections}
    if project is not None:
        _replay_one(log, codec, projections, states, project, until_position)
        return states
    for name in log.projects():
        if log.began(name) <= until_position:
            _replay_one(log, codec, projections, states, name, until_position)
    return states


def _replay_one(
    log: EventLog,
    codec: Codec,
    projections: Sequence[Projection[Any]],
    states: dict[str, Rows],
    project: str,
    until_position: int,
) -> None:
    """Fold a project into the rows of each projection."""
    lineage, last = log.lineage(project), log.sequence_at(project, until_position)
    records = Folds(each for each in projections if each.record)
    others = Folds(each for each in projections if not each.record)
    kept = lineage.effective(last)
    read = lineage.raw(last) if records.projections else kept
    with ReadAhead(log, codec, REPLAY_BATCH_EVENTS, project, read) as reader:
        for batch in reader.read_all(0):
            records.fold_into(_rows(records, states), batch)
            counted = batch if read == kept else [each for each in batch if includes(kept, each.sequence)]
            others.fold_into(_rows(others, states), counted)


def _rows(folds: Folds, states: dict[str, Rows]) -> list[Rows]:
    return [states[projection.name] for projection in folds.projections]
