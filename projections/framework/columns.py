"""Which table column holds each field of a row: derived from the Struct's annotations, in one place.

A row travels to and from its table as JSON, so a column needs no encoder of its own; what matters is that
each value comes back as it went, which the choice of types below ensures.
"""

from msgspec import Struct, inspect

_SCALARS: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "bigint",
    inspect.FloatType: "float8",
    inspect.BoolType: "bool",
    inspect.DateTimeType: "timestamptz",
}


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """What rows derive from. They form no cycles, so the garbage collector need not look at so many."""

    project: str


class Column(Struct, frozen=True):
    """A column as CREATE TABLE spells it."""

    name: str
    type: str
    nullable: bool


def columns(row: type[Struct]) -> tuple[Column, ...]:
    """The columns of a row, in the order of its fields."""
    info = inspect.type_info(row)
    assert isinstance(info, inspect.StructType)  # narrows the type; a Struct has no other
    return tuple(_column(field.name, field.type) for field in info.fields)


def _column(name: str, annotation: inspect.Type) -> Column:
    annotation = _bare(annotation)
    members = [_bare(member) for member in _members(annotation)]
    present = [member for member in members if not isinstance(member, inspect.NoneType)]
    nullable = len(present) < len(members) or any(isinstance(member, inspect.AnyType) for member in present)
    if len(present) == 1 and (scalar := _scalar(present[0])):
        return Column(name, scalar, nullable)
    return Column(name, "json" if _is_verbatim(annotation) else "jsonb", nullable)


def _scalar(annotation: inspect.Type) -> str | None:
    """The SQL type of a plain value; None for what only JSON can hold."""
    match annotation:
        case inspect.LiteralType(values):
            return _scalar_of_values(values)
        case inspect.EnumType(cls):
            return _scalar_of_values(tuple(member.value for member in cls))
        case inspect.DateTimeType(tz) if tz is False:
            raise TypeError("a row's times must have a time zone")
        case _:
            return _SCALARS.get(type(annotation))


def _scalar_of_values(values: tuple[object, ...]) -> str | None:
    if all(isinstance(value, str) for value in values):
        return "text"
    if all(isinstance(value, int) for value in values):
        return "bigint"
    return None


def _is_verbatim(annotation: inspect.Type) -> bool:
    """Whether values of the type come back as they went only from json, which keeps their text.

    jsonb sorts the keys of dicts, and keeps numbers as decimals: where the type leaves open if a number is an
    integer or a float, 1e300 would come back as an integer.
    """
    pending, seen = [annotation], set[type]()
    while pending:
        each = pending.pop()
        kinds = {type(member) for member in _members(each)}
        if kinds & {inspect.AnyType, inspect.DictType} or {inspect.IntType, inspect.FloatType} <= kinds:
            return True
        if isinstance(each, inspect.StructType):
            if each.cls in seen:
                continue
            seen.add(each.cls)
        pending += _inside(each)
    return False


def _inside(annotation: inspect.Type) -> tuple[inspect.Type, ...]:
    """The types a type is made of."""
    match annotation:
        case inspect.Metadata(type=inner):
            return (inner,)
        case inspect.UnionType(types):
            return types
        case inspect.StructType(fields=fields):
            return tuple(field.type for field in fields)
        case inspect.TupleType(items):
            return items
        case _:
            item = getattr(annotation, "item_type", None)  # lists, sets, tuples of any length
            return (item,) if isinstance(item, inspect.Type) else ()


def _members(annotation: inspect.Type) -> tuple[inspect.Type, ...]:
    return annotation.types if isinstance(annotation, inspect.UnionType) else (annotation,)


def _bare(annotation: inspect.Type) -> inspect.Type:
    """The type inside its documentation."""
    while isinstance(annotation, inspect.Metadata):
        annotation = annotation.type
    return annotation
