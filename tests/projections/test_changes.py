"""What an event changed is told row by row and field by field, and is all that it changed."""

from typing import Any

from domain.agents import SpawnAgent
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueueTask, FailTask, StartTask
from projections.catalog import PROJECTIONS
from projections.changes import FieldChange, RowChange, event_changes, row_changes
from projections.queue import QUEUE
from tests.projections.stories import Story, folded


def told() -> Story:
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="One"), EnqueueTask(id="t2", title="Two", depends_on=("t1",)))
    story.do("a1", ClaimTask(task="t1"))
    story.tick(2)
    story.do("a1", StartTask(task="t1", fence=1), FailTask(task="t1", fence=1, error="no ink"))
    story.tick(20)
    story.do("a1", ClaimTask(task="t1"), CompleteTask(task="t1", fence=2))
    return story


def walked(story: Story) -> list[list[RowChange]]:
    rows: dict[str, dict[Any, Any]] = {projection.name: {} for projection in PROJECTIONS}
    return [event_changes(PROJECTIONS, recorded, rows) for recorded in story.history]


def test_a_claim_changes_the_task_and_the_agent() -> None:
    story = told()
    claimed = next(number for number, each in enumerate(story.history) if each.event.name == "task.claimed")
    changes = {change.view: change for change in walked(story)[claimed]}
    assert (changes["queue"].key, changes["queue"].what) == (("t1",), "changed")
    fields = {each.field: (each.old, each.new) for each in changes["queue"].fields}
    assert fields["status"] == ("queued", "claimed")
    assert fields["holder"] == (None, "a1")
    assert "title" not in fields
    assert {each.field for each in changes["agents"].fields} >= {"tasks", "doing", "claimed"}


def test_the_changes_of_all_events_lead_from_nothing_to_the_rows_there_are() -> None:
    story = told()
    replayed: dict[tuple[str, Any], dict[str, Any]] = {}
    for changes in walked(story):
        for change in changes:
            row = replayed.setdefault((change.view, change.key), {})
            for each in change.fields:
                assert row.get(each.field) == each.old
                row[each.field] = each.new
    for projection in PROJECTIONS:
        for key, row in folded(projection, story.history).items():
            for name in row.__struct_fields__:
                assert replayed[projection.name, key[1:]].get(name) == getattr(row, name)


def test_a_row_that_is_not_there_differs_in_all_that_the_other_holds() -> None:
    story = told()
    row = story.rows(QUEUE)["t1"]
    assert row_changes(row, row) == []
    assert row_changes(None, None) == []
    assert FieldChange("title", None, "One") in row_changes(None, row)
    assert FieldChange("title", "One", None) in row_changes(row, None)
    assert not [each for each in row_changes(None, row) if each.field == "holder"]
