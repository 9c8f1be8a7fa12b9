"""The project as it was, for those at the MCP door: replays and diffs, in short. It reads only.

It needs the log, so it is there only where the database is: in the gateway, and on the machine of `up`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from domain.catalog import EVENTS, upcast
from projections.words import words
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.diff import USUAL, Diff, Place, diff
from services.reading.past import Measured
from services.reading.points import parse_point, resolve
from services.reading.travel import Travel

Item = dict[str, Any]


class Past:
    """Answers about one database; each call opens and closes what it needs, and blocks."""

    def __init__(self, database_url: str, measured: Measured = nullcontext) -> None:
        self._url = database_url
        self._measured = measured

    def replay(self, project: str, view: str, until: str, params: Item) -> tuple[int, list[Item]]:
        """The position that `until` means, and the view's rows there. Raises BadPoint, UnknownView, …"""
        with self._opened() as (log, travel):
            position = _position(log, travel, project, until)
            return position, travel.view(project, view, position, params)

    def diff(self, project: str, left: str, right: str, entity: str | None, limit_rows: int) -> Item:
        """What differs between two points of a project, with the events that made it so."""
        with self._opened() as (log, travel), connected(self._url) as connection:
            places = [Place(project, _position(log, travel, project, point)) for point in (left, right)]
            found = diff(
                log, _codec(), connection, places[0], places[1], USUAL, entity=entity, limit_rows=limit_rows
            )
        return {"left": places[0].position, "right": places[1].position, "differences": _told(found)}

    @contextmanager
    def _opened(self) -> Iterator[tuple[EventLog, Travel]]:
        log = EventLog(self._url)
        try:
            with self._measured(), connected(self._url) as connection:
                yield log, Travel(log, _codec(), connection)
        finally:
            log.close()


def _codec() -> Codec:
    return Codec(EVENTS, upcast)


def _position(log: EventLog, travel: Travel, project: str, point: str) -> int:
    return resolve(parse_point(point), log, travel, project, datetime.now(UTC))


def _told(found: Diff) -> list[Item]:
    """Each row that differs, by what it is, with its changed fields and the last event that touched it."""
    return [
        {
            "view": view.view,
            "key": " ".join(map(str, row.change.key)),
            "what": row.change.what,
            "fields": {
                each.field: [each.old, each.new] for each in row.change.fields if row.change.what == "changed"
            },
            "because": words(row.events[-1].recorded) if row.events else "",
        }
        for view in found.views
        for row in view.rows
    ]
