"""Bookmarks: names for points in a project's past, so that people need not remember numbers.

A bookmark stands at a sequence; placed again, it moves. Its name can be taken for no other way to write a
point, which is why it begins with a letter and is no word of time.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, ClassVar, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.errors import BookmarkLimitReached, InvalidBookmark, UnknownBookmark, UnknownSequence
from domain.messages import Command, Context, Event, Key

if TYPE_CHECKING:
    from domain.ledger import Ledger

MAX_BOOKMARKS = 1_000
MAX_NAMED_BOOKMARKS = 5

Note = Annotated[str, Constraint(max_length=500)]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_WORDS_OF_TIME = frozenset(
    ("now", "ago", "today", "yesterday", "tomorrow", "noon", "midnight", "head", "start", "end")
)


class SetBookmark(Command, frozen=True, kw_only=True):
    """Give a point a name, or move the name to another one. Sequence 0 is the beginning."""

    name: ClassVar[str] = "bookmark.set"

    bookmark: Key
    sequence: Annotated[int, Constraint(ge=0)]
    note: Note = ""


class RemoveBookmark(Command, frozen=True, kw_only=True):
    """Take a bookmark away."""

    name: ClassVar[str] = "bookmark.remove"

    bookmark: Key


class BookmarkEvent(Event, frozen=True, kw_only=True):
    bookmark: str
    sequence: int

    @property
    def entity(self) -> str:
        return self.bookmark


class BookmarkPlaced(BookmarkEvent, frozen=True, kw_only=True):
    """`before` is the sequence it stood at until now, if it stood anywhere."""

    name: ClassVar[str] = "bookmark.placed"

    note: str = ""
    before: int | None = None


class BookmarkRemoved(BookmarkEvent, frozen=True, kw_only=True):
    """`sequence` is where it stood."""

    name: ClassVar[str] = "bookmark.removed"


class Bookmark(Struct, frozen=True):
    sequence: int
    note: str = ""


BookmarkCommand = SetBookmark | RemoveBookmark
AnyBookmarkEvent = BookmarkPlaced | BookmarkRemoved


def is_bookmark(name: str) -> bool:
    """Whether a bookmark may have this name."""
    return _NAME.fullmatch(name) is not None and name.lower() not in _WORDS_OF_TIME


def unknown_bookmark(name: str, known: Iterable[str]) -> UnknownBookmark:
    """The refusal, with the names that come closest."""
    names = sorted(known)
    closest = get_close_matches(name, names, MAX_NAMED_BOOKMARKS, cutoff=0.5) or names[:MAX_NAMED_BOOKMARKS]
    if closest:
        hint = "; the closest are " if len(closest) > 1 else "; the closest is "
        hint += ", ".join(closest)
    else:
        hint = ", which has none; `bookmark set` makes one"
    return UnknownBookmark(bookmark=name, closest=closest, hint=hint)


def decide(ledger: "Ledger", command: BookmarkCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case SetBookmark():
            return _set(ledger, command)
        case RemoveBookmark():
            standing = ledger.bookmarks.get(command.bookmark)
            if standing is None:
                raise unknown_bookmark(command.bookmark, ledger.bookmarks)
            return (BookmarkRemoved(bookmark=command.bookmark, sequence=standing.sequence),)
        case _:
            assert_never(command)


def _set(ledger: "Ledger", command: SetBookmark) -> tuple[Event, ...]:
    name, sequence = command.bookmark, command.sequence
    if not is_bookmark(name):
        raise InvalidBookmark(bookmark=name)
    if sequence > ledger.sequence:
        raise UnknownSequence(project=ledger.project, sequence=sequence, last=ledger.sequence)
    standing = ledger.bookmarks.get(name)
    if standing == Bookmark(sequence, command.note):
        return ()
    if standing is None and len(ledger.bookmarks) >= MAX_BOOKMARKS:
        raise BookmarkLimitReached(limit=MAX_BOOKMARKS)
    before = _place(ledger, name)
    return (BookmarkPlaced(bookmark=name, sequence=sequence, note=command.note, before=before),)


def _place(ledger: "Ledger", name: str) -> int | None:
    mark = ledger.bookmarks.get(name)
    return None if mark is None else mark.sequence


def kept(ledger: "Ledger", then: "Ledger") -> tuple[Event, ...]:
    """What gives `then`, a project gone back in time, the bookmarks that it has now.

    They are notes about the past, and without them nobody would find the way to what was taken back.
    """
    placed = (
        BookmarkPlaced(bookmark=name, sequence=mark.sequence, note=mark.note, before=_place(then, name))
        for name, mark in ledger.bookmarks.items()
        if then.bookmarks.get(name) != mark
    )
    removed = (
        BookmarkRemoved(bookmark=name, sequence=mark.sequence)
        for name, mark in then.bookmarks.items()
        if name not in ledger.bookmarks
    )
    return (*placed, *removed)


def evolve(ledger: "Ledger", event: AnyBookmarkEvent) -> None:
    match event:
        case BookmarkPlaced():
            ledger.bookmarks[event.bookmark] = Bookmark(event.sequence, event.note)
        case BookmarkRemoved():
            ledger.bookmarks.pop(event.bookmark, None)
        case _:
            assert_never(event)
