"""Failures keep their lesson."""

from domain.learning import RecordFailure
from projections.failures import FAILURES
from tests.projections.stories import START, Story


def test_a_failure_tells_what_was_tried_by_whom_and_what_to_do_instead() -> None:
    story = Story()
    tried = RecordFailure(feature="maps", approach="tiles", why="too slow", lesson="vectors", task="t1")
    story.do("a1", tried)
    (row,) = story.rows(FAILURES).values()
    assert (row.feature, row.approach, row.why, row.lesson) == ("maps", "tiles", "too slow", "vectors")
    assert (row.task, row.recorded_by, row.recorded_at) == ("t1", "a1", START)


def test_the_same_failure_recorded_once_more_is_one_failure() -> None:
    story = Story()
    (event,) = story.do("a1", RecordFailure(feature="maps", approach="tiles", why="too slow"))
    story._record([event], "a1", "novel-1")  # a command id repeated after it was forgotten
    assert len(story.rows(FAILURES)) == 1
