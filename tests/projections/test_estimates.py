"""Estimates meet what the work took."""

from datetime import timedelta

from domain.learning import CloseEstimate, EstimateRecorded, RecordEstimate
from projections.estimates import ESTIMATES, EstimateRow
from tests.projections.stories import START, Story


def estimated(story: Story, sessions: float) -> str:
    (event,) = story.do("a1", RecordEstimate(feature="maps", sessions=sessions, complexity=3, persona="map"))
    assert isinstance(event, EstimateRecorded)
    return event.estimate


def only_row(story: Story) -> EstimateRow:
    (row,) = story.rows(ESTIMATES).values()
    assert isinstance(row, EstimateRow)
    return row


def test_an_open_estimate_has_no_ratio() -> None:
    story = Story()
    estimated(story, 4)
    row = only_row(story)
    assert (row.estimated_sessions, row.complexity, row.persona) == (4, 3, "map")
    assert (row.actual_sessions, row.ratio, row.closed_at) == (None, None, None)


def test_closing_it_tells_by_how_much_it_was_wrong() -> None:
    story = Story()
    name = estimated(story, 4)
    story.tick(60)
    closing = CloseEstimate(estimate=name, sessions=6, files_created=2, files_modified=3, notes="hard")
    story.do("a2", closing)
    row = only_row(story)
    assert (row.actual_sessions, row.ratio, row.notes) == (6, 1.5, "hard")
    assert (row.files_created, row.files_modified) == (2, 3)
    assert (row.closed_by, row.closed_at) == ("a2", START + timedelta(seconds=60))


def test_an_estimate_of_next_to_nothing_has_no_ratio_that_a_table_could_not_hold() -> None:
    story = Story()
    name = estimated(story, 5e-324)
    story.do("a1", CloseEstimate(estimate=name, sessions=10_000))
    assert only_row(story).ratio is None
