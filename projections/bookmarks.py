"""Bookmarks: the names that points of the project have, and those they once had."""

from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from domain.bookmarks import BookmarkPlaced, BookmarkRemoved
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View

Status = Literal["placed", "removed"]


class BookmarkRow(Row, frozen=True, kw_only=True):
    """A name and the sequence it stands at; of a removed one, where it stood last."""

    bookmark: str
    sequence: int
    note: str
    status: Status
    set_by: str
    set_at: datetime
    removed_by: str | None = None
    removed_at: datetime | None = None


class BookmarkParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    status: tuple[Status, ...] = ()
    agent: str | None = None
    text: Search | None = None


def placed(_: BookmarkRow | None, event: BookmarkPlaced, recorded: Recorded) -> BookmarkRow:
    return BookmarkRow(
        project=recorded.project,
        bookmark=event.bookmark,
        sequence=event.sequence,
        note=event.note,
        status="placed",
        set_by=recorded.actor,
        set_at=recorded.at,
    )


@known
def removed(row: BookmarkRow, _: BookmarkRemoved, recorded: Recorded) -> BookmarkRow:
    return replace(row, status="removed", removed_by=recorded.actor, removed_at=recorded.at)


BOOKMARKS = Projection(
    name="bookmarks",
    version=1,
    row=BookmarkRow,
    key=("bookmark",),
    folds=(on(BookmarkPlaced, placed), on(BookmarkRemoved, removed)),
)

BOOKMARKS_VIEW = View(
    projection=BOOKMARKS,
    params=BookmarkParams,
    order=("sequence", "bookmark"),
    compares={"entity": ("bookmark",), "agent": ("set_by", "removed_by")},
    searches=("bookmark", "note"),
)
