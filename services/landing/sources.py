"""Where a landing context is read: the read models of now, or as they were at a position."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

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
    """What they had at a position."""

    def __init__(self, travel: Travel, position: int) -> None:
        self._travel = travel
        self._position = position

    def read(self, project: str, asked: Asked) -> tuple[int, datetime, dict[str, list[Item]]]:
        rows = {
            name: self._travel.view(project, view, self._position, params)
            for name, (view, params) in asked.items()
        }
        return self._position, self._travel.time_at(project, self._position), rows
