"""Where a landing context is read: the read models of now, or as they were at a position."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from projections.queue import QUEUE
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.reading.reads import Item, Reads
from services.reading.travel import Travel

Asked = Mapping[str, tuple[str, Mapping[str, Any]]]
"""By the name of an answer, the view and its parameters."""


class Source(Protocol):
    """Answers several questions about a project from one moment."""

    def read(self, project: str, asked: Asked) -> tuple[int, datetime, dict[str, list[Item]]]:
        """The position and the time that the rows are of, and the rows. Raises what the views do."""


class Present:
    """What the read models have now."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def read(self, project: str, asked: Asked) -> tuple[int, datetime, dict[str, list[Item]]]:
        now = datetime.now(UTC)
        position, rows = self._reads.several(project, asked)
        return position, now, rows


class Past:
    """What they had at a position. Of each status, tasks are counted there one by one."""

    def __init__(self, travel: Travel, log: EventLog, codec: Codec, position: int) -> None:
        self._travel = travel
        self._log = log
        self._codec = codec
        self._position = position

    def read(self, project: str, asked: Asked) -> tuple[int, datetime, dict[str, list[Item]]]:
        at = self._at()
        rows = {name: self._rows(project, *question) for name, question in asked.items()}
        return self._position, at, rows

    def _at(self) -> datetime:
        """When the event at the position was recorded, or the last before it."""
        rows = self._log.read(self._position - 1, 1, until=self._position)
        return self._codec.decode(rows[0]).at if rows else datetime.now(UTC)

    def _rows(self, project: str, view: str, params: Mapping[str, Any]) -> list[Item]:
        if view != "counts":
            return self._travel.view(project, view, self._position, params)
        rows = self._travel.rows(QUEUE, project, self._position)
        return [{"tasks": dict(Counter(row.status for row in rows.values()))}]
