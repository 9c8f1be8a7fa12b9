"""Lineages as the log tells them: every fork and restore of a project stands in it as an event.

A small index holds these events alone, so that a project that never turned costs one look into nothing. A
fork that was imported has its origin's events in its own stream, from the first: there its fork is no turn.
Nothing is remembered: a turn is seen by the next read after its commit.
"""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from domain.lineage import Fork, Lineage, Restore, Turn, trace

Marks = Iterable[tuple[int, str, bytes]]
"""Sequence, topic and body of each turn in a stream, in order."""

READ_MARKS = """
SELECT originator_version, topic, state FROM coord.events
WHERE originator_id = %(stream)s AND topic IN ('project.forked@1', 'project.restored@1')
    AND NOT (topic = 'project.forked@1' AND EXISTS (
        SELECT FROM coord.events WHERE originator_id = %(stream)s AND originator_version = 1
    ))
ORDER BY originator_version
"""

_FORKED = "project.forked@1"


class _Data(Struct):
    """What both events have in common, and a fork's origin."""

    sequence: int
    origin: str = ""


class _Body(Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Body).decode


def read_lineage(project: str, read_marks: Callable[[str], Marks]) -> Lineage:
    """The lineage of a project as of now; reads one stream for each generation of forks."""
    return trace(project, lambda stream: map(_turn, read_marks(stream)))


def _turn(mark: tuple[int, str, bytes]) -> Turn:
    at, topic, state = mark
    data = _decode(state).data
    return Fork(data.origin, data.sequence) if topic == _FORKED else Restore(at=at, to=data.sequence)
