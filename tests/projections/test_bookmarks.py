"""The list of bookmarks: where each stands now, and those that are gone."""

from datetime import timedelta

from domain.bookmarks import RemoveBookmark, SetBookmark
from projections.bookmarks import BOOKMARKS, BOOKMARKS_VIEW, BookmarkParams
from projections.words import words
from tests.projections.stories import START, Story


def told() -> Story:
    story = Story()
    story.do("ann", SetBookmark(bookmark="begin", sequence=0, note="nothing yet"))
    story.do("ann", SetBookmark(bookmark="good", sequence=1))
    story.tick(5)
    story.do("bob", SetBookmark(bookmark="good", sequence=2, note="better"))
    story.do("bob", RemoveBookmark(bookmark="begin"))
    return story


def test_a_bookmark_stands_where_it_was_set_last() -> None:
    rows = told().rows(BOOKMARKS)
    good, begin = rows["good"], rows["begin"]
    assert (good.sequence, good.note, good.status, good.set_by) == (2, "better", "placed", "bob")
    assert good.set_at == START + timedelta(seconds=5)
    assert (begin.sequence, begin.status, begin.set_by, begin.removed_by) == (0, "removed", "ann", "bob")


def test_one_set_again_after_its_removal_stands() -> None:
    story = told()
    story.do("ann", SetBookmark(bookmark="begin", sequence=3))
    row = story.rows(BOOKMARKS)["begin"]
    assert (row.sequence, row.status, row.removed_at) == (3, "placed", None)


def test_the_list_shows_those_that_stand_in_their_order() -> None:
    story = told()
    story.do("ann", SetBookmark(bookmark="early", sequence=0))
    rows = [*story.rows(BOOKMARKS).values()]
    placed = BOOKMARKS_VIEW.select(rows, BookmarkParams(status=("placed",)))
    assert [row.bookmark for row in placed] == ["early", "good"]  # type: ignore[attr-defined]  # rows of it
    (found,) = BOOKMARKS_VIEW.select(rows, BookmarkParams(text="BETTER"))
    assert found.bookmark == "good"  # type: ignore[attr-defined]  # rows of it


def test_words_say_from_where_it_moved() -> None:
    story = told()
    lines = [words(recorded) for recorded in story.history]
    assert lines == [
        "ann set bookmark begin at #0: nothing yet",
        "ann set bookmark good at #1",
        "bob set bookmark good at #2 (was #1): better",
        "bob removed bookmark begin (was #0)",
    ]
