"""Folding batches of events into a projection's table, with the rows it touched lately kept in memory."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from projections.framework import Key, Touch
from services.layers import NO_LAYERS, Layers, rows_of
from services.tables import Connection, Table

R = TypeVar("R", bound=Struct)

_CACHE_ROWS = 50_000
_CACHE_BYTES = 64 * 2**20


class RowCache(Generic[R]):
    """The rows used last, within bounds.

    Two generations: a row in use moves to the young one, and when that is full, the old one is dropped. This
    forgets about the same rows as a strict order of use would, at none of its cost per row.
    """

    def __init__(self, limit_rows: int = _CACHE_ROWS, limit_bytes: int = _CACHE_BYTES) -> None:
        self._limit_rows = limit_rows // 2
        self._limit_bytes = limit_bytes // 2
        self._young: dict[Key, R] = {}
        self._old: dict[Key, R] = {}
        self._young_bytes = 0

    def find(self, keys: Collection[Key]) -> dict[Key, R]:
        """Those of the rows that are kept."""
        young, old = self._young, self._old
        found: dict[Key, R] = {}
        for key in keys:
            row = young.get(key) or old.get(key)
            if row is not None:
                found[key] = row
        return found

    def keep(self, rows: dict[Key, R], size_bytes: int) -> None:
        """Remember rows as they are now."""
        self._young.update(rows)
        self._young_bytes += size_bytes
        if len(self._young) > self._limit_rows or self._young_bytes > self._limit_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0

    def clear(self) -> None:
        self._young, self._old, self._young_bytes = {}, {}, 0


class Loaded(Struct, Generic[R], frozen=True):
    """What events do to rows, and those rows as they were before."""

    touches: Sequence[Touch]
    before: dict[Key, R]


class Folder(Generic[R]):
    """Applies events to a table. Use it only while nobody else writes the table, and within a transaction.

    If the transaction fails, or someone else wrote the table, `forget`.
    """

    def __init__(self, table: Table[R], cache: RowCache[R] | None = None) -> None:
        self.table = table
        self._cache = cache or RowCache()
        self._mark = 0
        self._changed_since_mark: set[Key] = set()

    def fold(
        self,
        connection: Connection,
        touches: Sequence[Touch],
        end: int,
        mark: int = 0,
        layers: Layers = NO_LAYERS,
    ) -> None:
        """Bring the table to the end of what is done to it; rows that were so at the mark are kept."""
        self.write(connection, self.load(connection, touches, layers), end, mark)

    def load(self, connection: Connection, touches: Sequence[Touch], layers: Layers = NO_LAYERS) -> Loaded[R]:
        """Read the rows that are touched."""
        if self.table.projection.append_only:
            return Loaded(touches, {})
        keys = {key for _, key, _ in touches}
        rows = self._cache.find(keys)
        rows |= self._read(connection, [key for key in keys if key not in rows], layers)
        return Loaded(touches, rows)

    def write(self, connection: Connection, loaded: Loaded[R], end: int, mark: int = 0) -> None:
        """Fold what was loaded and write what has changed; reads nothing, so it may stand in a pipeline."""
        before, rows = loaded.before, dict(loaded.before)
        self.table.projection.fold_into(rows, loaded.touches)
        changed = {key: row for key, row in rows.items() if row is not before.get(key)}
        if not self.table.projection.append_only:
            self._keep(connection, changed.keys(), before, mark, end)
        sent_bytes = self.table.write(connection, [*changed.values()], end)
        if not self.table.projection.append_only:
            self._cache.keep(rows, sent_bytes)

    def forget(self) -> None:
        """Read rows from the table again."""
        self._cache.clear()

    def _read(self, connection: Connection, keys: Sequence[Key], layers: Layers) -> dict[Key, R]:
        """Rows from the table; those of a project that stands on another's, from there."""
        plain: list[Key] = []
        layered: defaultdict[str, list[Key]] = defaultdict(list)
        for key in keys:
            (layered[key[0]] if layers.under(key[0]) else plain).append(key)
        rows = self.table.load(connection, plain)
        for project, some in layered.items():
            rows |= self.table.load(connection, some, rows_of(self.table, layers, project))
        return rows

    def _keep(
        self, connection: Connection, changed: Collection[Key], before: Collection[Key], mark: int, end: int
    ) -> None:
        """A row is kept when it changes for the first time after a mark."""
        if mark != self._mark:
            self._mark = mark
            self._changed_since_mark.clear()
        if mark:
            known = self._changed_since_mark
            self.table.keep(connection, [k for k in changed if k in before and k not in known], mark, end)
            known.update(changed)
