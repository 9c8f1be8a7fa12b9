"""Folding batches of events into a projection's table, with the rows it touched lately kept in memory."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from projections.framework import Folds, Key, Touch
from services.projector.layers import NO_LAYERS, Layers, rows_of
from services.projector.stride import Stride
from services.projector.tables import Connection, Packed, Table

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


class Changes(Struct, frozen=True):
    """What folding changed in a table, ready to be written: the rows, and the keys of those to be kept."""

    rows: Packed
    kept: Sequence[Key]
    mark: int


class Folder(Generic[R]):
    """Folds what happens into a table. Use it only while nobody else writes the table.

    What is prepared first must be written first, and before more than one other is prepared: the rows of the
    one before are remembered, older ones are read again. If something was not written, `forget`.
    """

    def __init__(self, table: Table[R], cache: RowCache[R] | None = None) -> None:
        self.table = table
        self._cache = cache or RowCache()
        self._mark = 0
        self._changed_since_mark: set[Key] = set()

    def prepare(
        self,
        connection: Connection,
        touches: Sequence[Touch],
        mark: int = 0,
        layers: Layers = NO_LAYERS,
    ) -> Changes:
        """Fold; reads from the table what is not remembered. Rows that were so at the mark are to be kept."""
        projection = self.table.projection
        if self._only_adds(touches, layers):
            added: dict[Key, R] = {}
            projection.fold_into(added, touches)
            return Changes(self.table.pack([*added.values()]), (), mark)
        before = self._find(connection, {key for _, key, _ in touches}, layers)
        rows = dict(before)
        projection.fold_into(rows, touches)
        changed = {key: row for key, row in rows.items() if row is not before.get(key)}
        packed = self._pack(changed, before, layers)
        self._cache.keep(rows, packed.bytes)
        return Changes(packed, self._to_keep(changed.keys(), before, mark, layers), mark)

    def write(self, connection: Connection, changes: Changes, end: int) -> None:
        """Write what was prepared; the rows are as they are at the end. Needs a transaction around it."""
        self.table.keep(connection, changes.kept, changes.mark, end)
        self.table.write(connection, changes.rows, end)

    def forget(self) -> None:
        """Read rows from the table again, and keep what is to be kept."""
        self._cache.clear()
        self._changed_since_mark.clear()

    def _only_adds(self, touches: Sequence[Touch], layers: Layers) -> bool:
        """Whether no row can be there yet: after a restore even one may be that is made once only."""
        projection = self.table.projection
        if not projection.append_only or projection.record:
            return projection.append_only
        return not any(layers.restored(project) for project in {key[0] for _, key, _ in touches})

    def _find(self, connection: Connection, keys: Collection[Key], layers: Layers) -> dict[Key, R]:
        """Rows that are remembered, or from the table, or from what their project stands on."""
        rows = self._cache.find(keys)
        plain: list[Key] = []
        layered: defaultdict[str, list[Key]] = defaultdict(list)
        for key in keys:
            if key not in rows:
                (
                    layered[key[0]] if layers.under(key[0], record=self.table.projection.record) else plain
                ).append(key)
        rows |= self.table.load(connection, plain)
        for project, some in layered.items():
            rows |= self.table.load(connection, some, rows_of(self.table, layers, project, by_key=True))
        return rows

    def _pack(self, changed: Mapping[Key, R], before: Mapping[Key, R], layers: Layers) -> Packed:
        """What a project stands on is not in the table yet when it changes: such rows are sent whole."""
        elsewhere = frozenset(layers.projects())
        whole: list[R] = []
        changes: list[tuple[R, R]] = []
        for key, row in changed.items():
            if key in before and key[0] not in elsewhere:
                changes.append((before[key], row))
            else:
                whole.append(row)
        return self.table.pack(whole, changes, replacing=True)

    def _to_keep(
        self, changed: Collection[Key], before: Collection[Key], mark: int, layers: Layers
    ) -> list[Key]:
        """Rows that change for the first time after the mark; also those that a restore took out of sight."""
        if mark != self._mark:
            self._mark = mark
            self._changed_since_mark.clear()
        if not mark:
            return []
        known = self._changed_since_mark
        kept = [key for key in changed if key not in known and (key in before or layers.restored(key[0]))]
        known.update(changed)
        return kept


def fold_stride(
    connection: Connection, folders: Sequence[Folder[Any]], done: Stride
) -> list[tuple[Folder[Any], Changes]]:
    """What a stride changes in each of these tables."""
    if done.layer is not None:  # nothing is as it was in a project that was restored
        for folder in folders:
            folder.forget()
    records = [folder for folder in folders if folder.table.projection.record]
    others = [folder for folder in folders if not folder.table.projection.record]
    work = []
    for some, events in ((others, [*done.again, *done.batch]), (records, [*done.told_again, *done.batch])):
        touches = Folds(folder.table.projection for folder in some).touches(events)
        work += [
            (folder, folder.prepare(connection, each, done.mark, done.layers))
            for folder, each in zip(some, touches, strict=True)
        ]
    return work
