"""Where a landing context is read: the read models of now, or as they were at a position."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from domain.correction import Closed, factors
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.reading.reads import Item, Reads
from services.reading.travel import Travel

Asked = Mapping[str, tuple[str, Mapping[str, Any]]]
"""By the name of an answer, the view and its parameters."""

MAX_ESTIMATES = 1_000
MAX_DOCUMENTS = 1_000


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
    """What they had at a position. What only a query tells now is reckoned from rows here."""

    def __init__(self, travel: Travel, log: EventLog, codec: Codec, position: int) -> None:
        self._travel = travel
        self._log = log
        self._codec = codec
        self._position = position

    def read(self, project: str, asked: Asked) -> tuple[int, datetime, dict[str, list[Item]]]:
        at = self._at()
        rows = {name: self._rows(project, at, *question) for name, question in asked.items()}
        return self._position, at, rows

    def _at(self) -> datetime:
        """When the event at the position was recorded, or the last before it."""
        rows = self._log.read(self._position - 1, 1, until=self._position)
        return self._codec.decode(rows[0]).at if rows else datetime.now(UTC)

    def _rows(self, project: str, at: datetime, view: str, params: Mapping[str, Any]) -> list[Item]:
        def then(name: str, **more: Any) -> list[Item]:
            return self._travel.view(project, name, self._position, more)

        match view:
            case "counts":
                counted: dict[str, int] = {}
                for row in then("queue", limit=10_000):
                    counted[row["status"]] = counted.get(row["status"], 0) + 1
                return [{"tasks": counted}]
            case "factors":
                rows = then("estimates", limit=MAX_ESTIMATES)
                closed = [
                    Closed(row["ratio"], row["persona"], row["complexity"], row["closed_at"])
                    for row in rows
                    if row["ratio"] is not None
                ]
                return [msgspec.to_builtins(each) for each in factors(closed, at)]
            case "stale_documentation":
                stale = [row for row in then("documentation", limit=MAX_DOCUMENTS) if row["expires_at"] <= at]
                return sorted(stale, key=lambda row: row["expires_at"])[: params.get("limit", MAX_DOCUMENTS)]
            case _:
                return then(view, **params)
