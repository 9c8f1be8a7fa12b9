"""What is so of records that were found: their rows in the read models, now or at a position."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from domain.messages import SYSTEM_PROJECT
from domain.settings import PROJECT_SETTINGS
from projections.framework import Key, Projection
from projections.settings import SETTINGS
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.layers import Layers, parts_of, read_layers, union
from services.projector.tables import Connection, connected
from services.projector.tracking import tracked
from services.reading.listing import served
from services.reading.travel import Travel
from services.recall.sources import BY_NAME

Name = tuple[str, str, str]
"""Of a record: its project, its source and its id."""


class States:
    """Rows of one moment: those of the connection's snapshot, or of a position in the past."""

    def __init__(
        self, connection: Connection, log: EventLog, codec: Codec, url: str, position: int | None
    ) -> None:
        self._connection = connection
        self._log = log
        self._codec = codec
        self._url = url
        self._position = position
        self._half_lives: dict[str, float] = {}

    @cached_property
    def now(self) -> datetime:
        """The time of the moment."""
        if self._position is None:
            return datetime.now(UTC)
        rows = self._log.read(self._position - 1, 1, until=self._position)
        return self._codec.decode(rows[0]).at if rows else datetime.now(UTC)

    @cached_property
    def _layers(self) -> Layers:
        return read_layers(self._connection)

    def rows(self, names: Iterable[Name]) -> dict[Name, Any]:
        """The rows of these records; one that the read models do not have (yet) is left out."""
        wanted: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
        for project, source, entity in names:
            wanted[project, source].append((project, entity))
        return {
            (project, source, key[1]): row
            for (project, source), keys in wanted.items()
            for key, row in self._rows(project, BY_NAME[source].projection, keys).items()
        }

    def half_life_days(self, project: str) -> float:
        """After how long half of a memory's strength is gone, by the settings that hold in the project."""
        if project not in self._half_lives:
            self._half_lives[project] = self._setting(project, "memory_half_life_days")
        return self._half_lives[project]

    def _setting(self, project: str, key: str) -> float:
        """The project's value, else the system's, else the built-in default."""
        own, system = (project, "project", "", key), (SYSTEM_PROJECT, "system", "", key)
        if self._position is None and self._layers.under(project) is None:
            rows = served(SETTINGS).load(self._connection, [own, system])
        else:
            rows = self._rows(project, SETTINGS, [own]) | self._rows(SYSTEM_PROJECT, SETTINGS, [system])
        held = (rows[name] for name in (own, system) if name in rows and not rows[name].unset)
        return float(next((row.value for row in held), PROJECT_SETTINGS[key].default))

    def _rows(self, project: str, projection: Projection[Any], keys: list[Key]) -> dict[Key, Any]:
        if self._position is None:
            return self._rows_now(project, projection, keys)
        with connected(self._url) as connection:
            travel = Travel(self._log, self._codec, connection)
            return travel.rows(projection, project, self._position, keys)

    def _rows_now(self, project: str, projection: Projection[Any], keys: list[Key]) -> dict[Key, Any]:
        table, layers, source = served(projection), self._layers, None
        if layers.under(project, record=projection.record) is not None:
            standing = tracked(self._connection, [projection.name])[projection.name]
            parts = parts_of(table, layers.until(standing.position), project, by_key=True)
            source = union(parts)
        return table.load(self._connection, keys, source)
