"""Pages of a project's events as the log holds them, for those who listen and must fill what they missed.

A page goes on after a sequence, through forks, and holds also what a restore took back: all that was ever
published, in that order. It reads `coord.events`, and writes nothing.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from psycopg.rows import tuple_row

from projections.views import Page
from services.log.lineage import READ_MARKS, Marks, read_lineage
from services.projector.tables import Connection

MAX_PAGE_EVENTS = 1_000
MAX_PAGE_BYTES = 512 * 1024
"""Of bodies, in one page: it ends before the event that would go beyond, but is never empty for it."""

Place = Annotated[int, Meta(ge=0, le=2**63 - 1)]

_PAGE = f"""
SELECT notification_id, originator_version, topic, state FROM (
    SELECT *, sum(octet_length(state)) OVER (ORDER BY originator_version ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT notification_id, originator_version, topic, state FROM coord.events
        WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s
        AND notification_id > %s ORDER BY originator_version LIMIT %s
    ) AS found
) AS measured WHERE bytes <= {MAX_PAGE_BYTES} OR bytes = octet_length(state) ORDER BY originator_version
"""


class EventParams(Page, frozen=True, kw_only=True):
    """The events after a sequence of the project and after a position of the log, oldest first."""

    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_EVENTS)] = 200
    offset: Annotated[int, Meta(ge=0, le=0)] = 0
    after: Place = 0
    after_position: Place = 0


def read_events(connection: Connection, project: str, params: EventParams) -> list[dict[str, Any]]:
    """Each with its place, its name and its body; an empty list is the end.

    A page ends where a fork left its origin's stream, too: only an empty one says that there is no more.
    """
    with connection.cursor(row_factory=tuple_row, binary=True) as cursor:

        def marks(stream: str) -> Marks:
            return cursor.execute(READ_MARKS, {"stream": stream}).fetchall()

        for segment in read_lineage(project, marks).raw():
            after = max(segment.first - 1, params.after)
            if after < segment.last:
                bounds = (segment.stream, after, segment.last, params.after_position, params.limit)
                if rows := cursor.execute(_PAGE, bounds).fetchall():
                    return [told(*row) for row in rows]
    return []


def told(position: int, sequence: int, topic: str, body: bytes) -> dict[str, Any]:
    """An event as the log holds it: its place and its name beside what its body says."""
    event, _, version = topic.rpartition("@")
    place = {"position": position, "sequence": sequence, "event": event, "version": int(version)}
    return {**place, **msgspec.json.decode(body)}
