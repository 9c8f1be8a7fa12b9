"""What a migration is."""

from typing import LiteralString

from msgspec import Struct


class Migration(Struct, frozen=True, kw_only=True):
    """One step of the log's tables, from schema `number - 1` to schema `number`.

    Its statements run in one transaction, in order. Once it has been released it is never changed again.
    """

    number: int
    name: str
    statements: tuple[LiteralString, ...]
