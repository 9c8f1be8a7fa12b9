"""The declaration of a read model, and how an event finds the rows it changes. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, Generic, LiteralString, TypeVar

from msgspec import Struct

from domain.errors import CoordError
from domain.messages import Event, Recorded
from projections.framework.columns import Column, columns

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=Struct)

Key = tuple[Any, ...]
"""A row's primary key: the project, then the projection's key fields."""

_NAME = re.compile(r"[a-z]+(_[a-z]+)*")

_KeyReader = Callable[[Recorded], Iterable[Key]]
_Apply = Callable[[Any, Recorded, Key], Any]
_Route = tuple[_KeyReader, _Apply]

Touch = tuple[Recorded, Key, _Apply]
"""An event, a row that it changes, and how."""


class FoldFailed(CoordError):
    """A fold raised or broke its contract: a fault in the code."""

    code = "fold_failed"
    says = "Projection {projection} cannot fold event {event} at position {position}: {why}."


@dataclass(frozen=True)
class Fold(Generic[R]):
    """What one event type does to the rows of a projection; made by `on` and `on_each`."""

    event: type[Event]
    key_fields: tuple[str, ...] | None
    read_keys: _KeyReader | None
    apply: _Apply


def on(
    event: type[E],
    fold: Callable[[R | None, E, Recorded], R | None],
    *,
    key: str | Callable[[E, Recorded], Any] | None = None,
) -> Fold[R]:
    """An event that changes one row: `fold(row, event, recorded) -> row`.

    The row is the one that the event's fields named like the projection's key name; or the one that another
    field names (`key="agent"`); or whose key a function of the event and its envelope returns (a tuple if it
    has several parts). A key of None touches no row. An event type stands for all its subclasses too.
    """

    def apply(row: R | None, recorded: Recorded, _: Key) -> R | None:
        return fold(row, recorded.event, recorded)  # type: ignore[arg-type]  # routed here by its type

    if key is None or isinstance(key, str):
        return Fold(event, None if key is None else (key,), None, apply)

    def read_keys(recorded: Recorded) -> tuple[Key, ...]:
        value = key(recorded.event, recorded)  # type: ignore[arg-type]  # routed here by its type
        return () if value is None else (_primary(recorded, value),)

    return Fold(event, None, read_keys, apply)


def on_each(
    event: type[E],
    fold: Callable[[R | None, E, Recorded, Key], R | None],
    *,
    keys: Callable[[E, Recorded], Iterable[Any]],
) -> Fold[R]:
    """An event that changes several rows: `fold(row, event, recorded, key) -> row`, once for each key."""

    def read_keys(recorded: Recorded) -> list[Key]:
        values = keys(recorded.event, recorded)  # type: ignore[arg-type]  # routed here by its type
        return [_primary(recorded, value) for value in values]

    def apply(row: R | None, recorded: Recorded, key: Key) -> R | None:
        return fold(row, recorded.event, recorded, key)  # type: ignore[arg-type]  # routed here by its type

    return Fold(event, None, read_keys, apply)


@dataclass(frozen=True, kw_only=True)
class Projection(Generic[R]):
    """A read model, declared once.

    `row` is a frozen Struct whose first field is `project`; `key` names the fields that, with the project,
    tell its rows apart. `indexes` are further column lists to index, `-` before a column that goes down.
    `queries` are named SELECTs over `{table}` with %(name)s parameters. `append_only` promises that each row
    is made by one event and never touched again: such rows are written without looking for older ones. A
    `record` tells what happened, and so a restore, which undoes what was done, does not change it.

    A fold may not take a row away: a table shares rows with those of forks, and a row that is missing could
    not hide the one it shares. Say in the row that it is over.

    Raise `version` whenever a row or a fold changes: the table is then built anew from the log.
    """

    name: str
    version: int
    row: type[R]
    key: tuple[str, ...]
    folds: tuple[Fold[R], ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    queries: Mapping[str, LiteralString] = field(default_factory=dict)
    append_only: bool = False
    record: bool = False

    def __post_init__(self) -> None:
        for holds, rule in self._rules():
            if not holds:
                raise TypeError(f"projection {self.name}: {rule}")
        for fold in self.folds:
            if missing := [name for name in self._key_fields(fold) if not hasattr(fold.event, name)]:
                raise TypeError(f"projection {self.name}: {fold.event.__name__} has no field {missing[0]}")

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its table."""
        return columns(self.row)

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of its table's primary key."""
        return ("project", *self.key)

    @cached_property
    def key_of(self) -> Callable[[R], Key]:
        """Reads the primary key of a row."""
        return attrgetter(*self.primary_key)

    @cached_property
    def touches(self) -> Callable[[Iterable[Recorded]], list[Touch]]:
        """What events do to its rows, in order."""
        alone = Folds([self])
        return lambda events: alone.touches(events)[0]

    def routes(self, kind: type[Event]) -> tuple[_Route, ...]:
        """The folds of an event type in the order they are declared, each with what reads its keys."""
        return tuple(
            (fold.read_keys or _field_reader(self._key_fields(fold)), fold.apply)
            for fold in self.folds
            if issubclass(kind, fold.event)
        )

    def fold_into(self, rows: MutableMapping[Key, R], touches: Iterable[Touch]) -> None:
        """Apply what events do to rows, which are held by their primary keys."""
        append_only = self.append_only
        for recorded, key, apply in touches:
            row = rows.get(key)
            try:
                changed = apply(row, recorded, key)
            except Exception as error:
                raise self._failed(recorded, f"{type(error).__name__}: {error}") from error
            if changed is row:
                continue
            if changed is None:
                raise self._failed(recorded, f"it takes away the row {key}; mark it instead")
            if row is not None and append_only:
                raise self._failed(recorded, f"it is append-only and has a row {key} already")
            if self.key_of(changed) != key:
                raise self._failed(recorded, f"the row of {key} became that of {self.key_of(changed)}")
            rows[key] = changed

    def _rules(self) -> Iterator[tuple[object, str]]:
        fields, config = self.row.__struct_fields__, self.row.__struct_config__
        plain = not (config.omit_defaults or config.array_like or config.tag)
        keys = [column for column in self.columns if column.name in self.key]
        indexed = {name.removeprefix("-") for index in self.indexes for name in index}
        yield _NAME.fullmatch(self.name), "a name is lower-case words joined by underscores"
        yield self.version > 0, "versions begin at 1"
        yield config.frozen and plain, "a row is a plain frozen Struct"
        yield fields == self.row.__struct_encode_fields__, "a row's fields keep their names"
        yield fields[:1] == ("project",), "a row's first field is its project"
        yield self.key and len(keys) == len(self.key), "a key names fields of the row"
        yield not any(column.nullable or "json" in column.type for column in keys), "keys are plain values"
        yield indexed <= {*fields}, "indexes name fields of the row"

    def _key_fields(self, fold: Fold[R]) -> tuple[str, ...]:
        """The event fields that hold its key; none if it is computed."""
        if fold.read_keys is not None:
            return ()
        return fold.key_fields or self.key

    def _failed(self, recorded: Recorded, why: str) -> FoldFailed:
        event = type(recorded.event).__name__
        return FoldFailed(projection=self.name, event=event, position=recorded.position, why=why)


class Folds:
    """Projections that are folded together: an event costs nothing in those that it does not concern."""

    def __init__(self, projections: Iterable[Projection[Any]]) -> None:
        self.projections = tuple(projections)
        self._routes: dict[type[Event], tuple[tuple[int, _KeyReader, _Apply], ...]] = {}

    def touches(self, events: Iterable[Recorded]) -> list[list[Touch]]:
        """What the events do, in order, for each of the projections."""
        found: list[list[Touch]] = [[] for _ in self.projections]
        routes = self._routes
        for recorded in events:
            kind = type(recorded.event)
            known = routes.get(kind)
            for index, read_keys, apply in self._learn(kind) if known is None else known:
                for key in read_keys(recorded):
                    found[index].append((recorded, key, apply))
        return found

    def fold_into(self, states: Sequence[MutableMapping[Key, Any]], events: Iterable[Recorded]) -> None:
        """Apply events to the rows of each projection."""
        for projection, rows, touches in zip(self.projections, states, self.touches(events), strict=True):
            projection.fold_into(rows, touches)

    def _learn(self, kind: type[Event]) -> tuple[tuple[int, _KeyReader, _Apply], ...]:
        self._routes[kind] = tuple(
            (index, *route)
            for index, projection in enumerate(self.projections)
            for route in projection.routes(kind)
        )
        return self._routes[kind]


def _primary(recorded: Recorded, value: Any) -> Key:
    return (recorded.project, *value) if isinstance(value, tuple) else (recorded.project, value)


def _field_reader(names: tuple[str, ...]) -> _KeyReader:
    """Reads a key from an event's fields; one that lacks a part touches no row."""
    read = attrgetter(*names)
    if len(names) == 1:

        def read_one(recorded: Recorded) -> tuple[Key, ...]:
            value = read(recorded.event)
            return () if value is None else ((recorded.project, value),)

        return read_one

    def read_several(recorded: Recorded) -> tuple[Key, ...]:
        values = read(recorded.event)
        return () if None in values else ((recorded.project, *values),)

    return read_several
