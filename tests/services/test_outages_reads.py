"""However large events are, a read of the log holds a bounded number of bytes, and nobody misses an event."""

from collections.abc import Callable

import pytest
from eventsourcing.persistence import StoredEvent

from domain.lineage import Segment
from services.audit.verify import verify
from services.log.codec import Row
from services.log.event_log import MAX_READ_BYTES, EventLog
from services.log.read_ahead import ReadAhead
from services.projector.projector import Projector
from services.projector.rebuild import rebuild
from tests.services.sample import CODEC, HISTORY, ITEMS, Stored, append

EVENTS = 20
EVENT_BYTES = 2**20
LIMIT_EVENTS = 1_000


@pytest.fixture
def large(log: EventLog) -> EventLog:
    """A log of more events than one read may hold: the first half of p, the rest of q."""
    for project, first in (("p", 0), ("q", EVENTS // 2)):
        for n in range(first, first + EVENTS // 2):
            append(log, project, [Stored(item=f"item-{n}", shelf="s", label="x" * EVENT_BYTES)])
    return log


def read_on(read: Callable[[int], list[Row]], place: int) -> list[Row]:
    """All the rows, read after read, each told where the one before it ended; none may be too large."""
    rows: list[Row] = []
    while found := read(rows[-1][place] if rows else 0):
        assert sum(len(row[4]) for row in found) < MAX_READ_BYTES + 2 * EVENT_BYTES
        rows += found
    return rows


def test_a_read_ends_when_it_holds_enough_and_the_next_goes_on(large: EventLog) -> None:
    rows = read_on(lambda after: large.read(after, LIMIT_EVENTS), 0)
    assert [row[0] for row in rows] == [*range(1, EVENTS + 1)]


def test_a_read_that_is_full_within_one_stream_leaves_the_next_streams_alone(large: EventLog) -> None:
    for n in range(EVENTS // 2, EVENTS):
        append(large, "p", [Stored(item=f"more-{n}", shelf="s", label="x" * EVENT_BYTES)])
    segments = (Segment("p", 1, EVENTS), Segment("r", EVENTS + 1, EVENTS + 5))
    large.append([StoredEvent("r", n, "item.taken@1", b"{}") for n in range(EVENTS + 1, EVENTS + 6)])
    rows = read_on(lambda after: large.read_segments("r", segments, after, LIMIT_EVENTS), 2)
    assert [row[2] for row in rows] == [*range(1, EVENTS + 6)]


def test_reading_ahead_holds_two_batches_and_gives_every_event(large: EventLog) -> None:
    with ReadAhead(large, CODEC, LIMIT_EVENTS) as reader:
        batches = [*reader.read_all(0)]
    assert [recorded.position for batch in batches for recorded in batch] == [*range(1, EVENTS + 1)]
    assert len(batches) > 1


def test_a_projection_that_is_behind_misses_none_of_what_one_read_cannot_hold(
    large: EventLog, database_url: str
) -> None:
    Projector(large, CODEC, database_url, [ITEMS], batch_events=LIMIT_EVENTS).catch_up()
    Projector(large, CODEC, database_url, [ITEMS, HISTORY], batch_events=LIMIT_EVENTS).catch_up()
    assert rebuild(large, CODEC, database_url, [ITEMS], batch_events=LIMIT_EVENTS)
    assert verify(large, CODEC, database_url, [ITEMS, HISTORY]) == []
