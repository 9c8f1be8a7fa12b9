"""Bookmarks: placed, moved and removed, and what they may be called."""

import pytest

from domain.bookmarks import (
    MAX_BOOKMARKS,
    BookmarkPlaced,
    BookmarkRemoved,
    RemoveBookmark,
    SetBookmark,
)
from domain.errors import BookmarkLimitReached, InvalidBookmark, UnknownBookmark, UnknownSequence
from tests.domain.given import agent, given, task


def test_a_bookmark_is_placed_at_any_event_there_was() -> None:
    scenario = given(agent("a1"), task("t1"))
    scenario.when("op", SetBookmark(bookmark="good", sequence=1, note="before the plan"))
    scenario.then(BookmarkPlaced(bookmark="good", sequence=1, note="before the plan"))
    scenario.when("op", SetBookmark(bookmark="latest.of-all", sequence=3)).then_kinds(BookmarkPlaced)


def test_the_beginning_can_be_marked_before_anything_happened() -> None:
    given().when("op", SetBookmark(bookmark="empty", sequence=0)).then_kinds(BookmarkPlaced)


def test_placed_again_it_moves_and_says_from_where() -> None:
    scenario = given(agent("a1"), task("t1"), ("op", SetBookmark(bookmark="good", sequence=1)))
    scenario.when("a1", SetBookmark(bookmark="good", sequence=2))
    scenario.then(BookmarkPlaced(bookmark="good", sequence=2, before=1))
    scenario.when("a1", SetBookmark(bookmark="good", sequence=2)).then()
    scenario.when("a1", SetBookmark(bookmark="good", sequence=2, note="so")).then(
        BookmarkPlaced(bookmark="good", sequence=2, note="so", before=2)
    )


def test_what_has_not_happened_cannot_be_marked() -> None:
    scenario = given(agent("a1"), task("t1"))
    scenario.when("op", SetBookmark(bookmark="good", sequence=3)).rejected(
        UnknownSequence, sequence=3, last=2
    )


@pytest.mark.parametrize(
    "name", ["123", "2026-11-21", "20261121T1403", "-5m", "5m", "now", "Yesterday", "_x"]
)
def test_a_name_that_would_read_as_another_point_is_refused(name: str) -> None:
    scenario = given(agent("a1")).when("op", SetBookmark(bookmark=name, sequence=1))
    scenario.rejected(InvalidBookmark, bookmark=name)
    assert "choose another name" in str(scenario.refusal)


def test_a_removed_bookmark_is_gone_and_its_name_free() -> None:
    scenario = given(agent("a1"), ("op", SetBookmark(bookmark="good", sequence=1)))
    scenario.when("op", RemoveBookmark(bookmark="good")).then(BookmarkRemoved(bookmark="good", sequence=1))
    scenario.when("op", RemoveBookmark(bookmark="good")).rejected(UnknownBookmark)
    scenario.when("op", SetBookmark(bookmark="good", sequence=0)).then(
        BookmarkPlaced(bookmark="good", sequence=0)
    )


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    scenario = given(agent("a1"))
    scenario.when("op", RemoveBookmark(bookmark="good"))
    assert "which has none" in str(scenario.refusal)
    for name in ("before-plan", "before-merge", "zebra"):
        scenario.when("op", SetBookmark(bookmark=name, sequence=1))
    scenario.when("op", RemoveBookmark(bookmark="before-pan"))
    scenario.rejected(UnknownBookmark, closest=["before-plan", "before-merge"])
    assert "the closest are before-plan, before-merge" in str(scenario.refusal)


def test_a_project_has_so_many_bookmarks_at_most() -> None:
    marks = [("op", SetBookmark(bookmark=f"b{n}", sequence=0)) for n in range(MAX_BOOKMARKS)]
    scenario = given(*marks)
    scenario.when("op", SetBookmark(bookmark="one-more", sequence=0)).rejected(BookmarkLimitReached)
    scenario.when("op", SetBookmark(bookmark="b7", sequence=1)).then_kinds(BookmarkPlaced)
