"""What may be asked of a read model: its parameters, and which rows they choose in which order.

Declared once and used twice: the services turn a view into SQL over the live table, `View.select` applies it
to the rows of a replay, so that the past is listed as the present is. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from projections.framework import Key, Projection

R = TypeVar("R", bound=Struct)

MAX_ROWS = 10_000
MAX_OFFSET_ROWS = 1_000_000
MAX_WAIT_S = 30.0
MAX_POINT_CHARS = 200

Search = Annotated[str, Meta(min_length=1, max_length=500)]


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every view takes; each adds its filters, and a filter left out lets all rows pass.

    `min_position` asks for rows that include the event there; the reader waits `wait_s` for them at most.
    `as_of` asks for the rows as they were at a point: a position, `#sequence`, a time, a bookmark.
    """

    limit: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = 100
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET_ROWS)] = 0
    min_position: Annotated[int, Meta(ge=0)] = 0
    wait_s: Annotated[float, Meta(ge=0, le=MAX_WAIT_S)] = 2.0
    as_of: Annotated[str, Meta(max_length=MAX_POINT_CHARS)] | None = None


class Filter(Struct, frozen=True):
    """A row passes if any of these columns holds any of these values; or, in a search, contains the value.

    Of columns that hold `several` texts, one has to be among the values; with `least`, the value or more.
    """

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    search: bool = False
    several: bool = False
    least: bool = False

    def passes(self, row: Struct) -> bool:
        found = (getattr(row, column) for column in self.columns)
        held = [value for value in found if value is not None]
        if self.search:
            return any(small(self.values[0]) in small(text) for text in held)
        if self.least:
            return any(value >= self.values[0] for value in held)
        if self.several:
            return any(value in self.values for values in held for value in values)
        return any(value in self.values for value in held)


def small(text: str) -> str:
    """In small letters, each character for itself, as Postgres' collation `pg_c_utf8` has it."""
    return text.lower() if text.isascii() else "".join(each.lower()[0] for each in text)


@dataclass(frozen=True, kw_only=True)
class View(Generic[R]):
    """A list of rows that can be asked for by name.

    `compares` says with which columns a parameter is compared, if not with the column of its own name;
    the parameter `text` is looked for in the columns `searches`. Parameters of `holds` ask for one of the
    texts that a column has, those of `least` for so much or more. `order` names columns, `-` before one that
    goes down. A view that `merges` adds rows that no event made (defaults), and so is filtered after that;
    one that `inherits` merges the system project's rows too.
    """

    projection: Projection[R]
    params: type[Page]
    order: tuple[str, ...]
    compares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    holds: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, str] = field(default_factory=dict)
    searches: tuple[str, ...] = ()
    merges: Callable[[Sequence[R], Any], Sequence[Struct]] | None = None
    inherits: bool = False

    @property
    def name(self) -> str:
        return self.projection.name

    def filters(self, page: Page) -> Iterator[Filter]:
        """Those of the parameters that choose rows."""
        for name in page.__struct_fields__:
            value = getattr(page, name)
            if name in Page.__struct_fields__ or value is None or value == ():
                continue
            if name == "text":
                yield Filter(self.searches, (value,), search=True)
                continue
            values = value if isinstance(value, tuple) else (value,)
            if name in self.holds:
                yield Filter((self.holds[name],), values, several=True)
            elif name in self.least:
                yield Filter((self.least[name],), values, least=True)
            else:
                yield Filter(self.compares.get(name, (name,)), values)

    def keys(self, project: str, page: Page) -> list[Key] | None:
        """The keys of all rows that can pass, if the parameters say so much."""
        for each in self.filters(page):
            if each.columns == self.projection.key and not (each.search or each.several or each.least):
                return [(project, value) for value in each.values]
        return None

    def select(self, rows: Iterable[R], page: Page) -> list[Struct]:
        """The rows that the parameters choose among these, in order."""
        candidates: Iterable[Struct] = self.merges(tuple(rows), page) if self.merges else rows
        filters = tuple(self.filters(page))
        chosen = [row for row in candidates if all(each.passes(row) for each in filters)]
        for column in reversed(self.order):
            name = column.removeprefix("-")
            chosen.sort(key=attrgetter(name), reverse=name != column)
        return chosen[page.offset : page.offset + page.limit]
