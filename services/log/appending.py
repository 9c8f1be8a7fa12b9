"""One append to the log, on whichever connection it has to go through. Touches that connection alone."""

from collections.abc import Sequence
from typing import Any

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg.rows import tuple_row

_APPEND = "SELECT coord.append_events(%b, %b::bigint[], %b, %b)"


def append_events(connection: psycopg.Connection[Any], events: Sequence[StoredEvent]) -> list[int]:
    """Write all of the events or none, in one round trip; returns their positions, in the same order."""
    columns = (
        [event.originator_id for event in events],
        [event.originator_version for event in events],
        [event.topic for event in events],
        [event.state for event in events],
    )
    with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
        ((positions,),) = cursor.execute(_APPEND, columns, prepare=True).fetchall()
    return list(positions)
