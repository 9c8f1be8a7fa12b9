"""What the folds of several read models share. Pure."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from msgspec import Struct

from domain.messages import Event, Recorded

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=Struct)


def known(fold: Callable[[R, E, Recorded], R | None]) -> Callable[[R | None, E, Recorded], R | None]:
    """A fold that changes a row: an event about something that has no row changes nothing."""

    @wraps(fold)
    def fold_known(row: R | None, event: E, recorded: Recorded) -> R | None:
        return None if row is None else fold(row, event, recorded)

    return fold_known


def position(_: Event, recorded: Recorded) -> int:
    """The key of a row that one event makes and none changes."""
    return recorded.position
