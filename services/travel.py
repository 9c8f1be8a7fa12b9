"""Time travel: the read models as they were at any position. It reads the log, and changes nothing."""

from collections.abc import Collection, Mapping
from typing import Any

from domain.messages import SYSTEM_PROJECT
from projections.catalog import VIEWS
from projections.framework import Key, Projection
from projections.settings import SETTINGS
from services.codec import Codec
from services.log import EventLog
from services.reads import Item, shape
from services.replay import Rows, replay


class Travel:
    """Rows and views at positions in the past."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec

    def view(
        self, project: str, view: str, position: int, params: Mapping[str, Any] | None = None
    ) -> list[Item]:
        """What `Reads.read` would have answered right after the event at this position.

        Raises UnknownView or BadInput.
        """
        projection = VIEWS[view].projection
        rows = [*self.rows(projection, project, position).values()]
        if projection is SETTINGS and project != SYSTEM_PROJECT:
            rows += self.rows(projection, SYSTEM_PROJECT, position).values()
        return shape(view, rows, params)

    def rows(
        self,
        projection: Projection[Any],
        project: str,
        position: int,
        keys: Collection[Key] | None = None,
    ) -> Rows:
        """A project's rows right after the event at this position, or those of these keys that there were."""
        rows = replay(self._log, self._codec, [projection], project, position)[projection.name]
        return rows if keys is None else {key: rows[key] for key in keys if key in rows}
