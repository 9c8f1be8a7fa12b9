"""Retrospectives as they were recorded."""

from domain.learning import RecordRetrospective
from projections.retros import RETROS
from tests.projections.stories import START, Story


def test_a_retrospective_keeps_what_was_learned() -> None:
    story = Story()
    look_back = RecordRetrospective(
        feature="maps",
        surprises="rivers",
        would_change="start small",
        new_patterns="grids",
        spike_accuracy=80,
    )
    story.do("a1", look_back)
    (row,) = story.rows(RETROS).values()
    assert (row.feature, row.surprises, row.would_change) == ("maps", "rivers", "start small")
    assert (row.new_patterns, row.spike_accuracy) == ("grids", 80)
    assert (row.recorded_by, row.recorded_at) == ("a1", START)
