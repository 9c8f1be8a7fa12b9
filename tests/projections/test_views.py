"""A view chooses among rows in memory as its parameters say."""

from typing import Any

import pytest
from msgspec import Struct

from domain.agents import SpawnAgent
from domain.tasks.commands import ClaimTask, EnqueueTask
from projections.catalog import PROJECTIONS, VIEWS
from projections.queue import QUEUE, QUEUE_VIEW, QueueParams
from projections.views import Filter, Page, View
from tests.projections.stories import Story


@pytest.fixture
def story() -> Story:
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("op", EnqueueTask(id="t1", title="Low"), EnqueueTask(id="t2", title="High", priority=5))
    story.do("op", EnqueueTask(id="t3", title="Lower still", priority=-1, persona="map"))
    story.do("a1", ClaimTask(task="t1"))
    return story


def listed(story: Story, params: Page) -> list[str]:
    return [row.task for row in QUEUE_VIEW.select(story.rows(QUEUE).values(), params)]  # type: ignore[attr-defined]  # rows of the queue


def test_the_queue_is_listed_in_the_order_of_claims(story: Story) -> None:
    assert listed(story, QueueParams()) == ["t2", "t1", "t3"]


def test_filters_narrow_the_list_together(story: Story) -> None:
    assert listed(story, QueueParams(status=("queued", "claimed"))) == ["t2", "t1", "t3"]
    assert listed(story, QueueParams(status=("queued",), persona="map")) == ["t3"]
    assert listed(story, QueueParams(agent="a1")) == ["t1"]
    assert listed(story, QueueParams(entity="t2")) == ["t2"]
    assert listed(story, QueueParams(text="LOW")) == ["t1", "t3"]


def test_where_there_is_no_value_nothing_is_found() -> None:
    class Row(Struct):
        focus: str | None
        tags: list[str] | None = None
        weight: float | None = None

    assert Filter(("focus",), ("act",), search=True).passes(Row("Act two"))
    assert not Filter(("focus",), ("act",), search=True).passes(Row(None))
    assert not Filter(("tags",), ("act",), several=True).passes(Row(None))
    assert not Filter(("weight",), (0.5,), least=True).passes(Row(None))


def test_limit_and_offset_cut_a_page(story: Story) -> None:
    assert listed(story, QueueParams(limit=1, offset=1)) == ["t1"]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_parameter_is_compared_with_something_the_rows_have(view: View[Any]) -> None:
    merged = {"settings", "personas"}
    columns = {column.name for column in view.projection.columns}
    own = {name for name in view.params.__struct_fields__ if name not in Page.__struct_fields__}
    own_columns = {name: (name,) for name in own - {"text"}}
    others = {name: (column,) for name, column in (*view.holds.items(), *view.least.items())}
    compared = {column for each in {**own_columns, **others, **view.compares}.values() for column in each}
    ordered = {column.removeprefix("-") for column in view.order}
    assert compared | {*view.searches} | ordered <= columns
    assert ("text" in own) == bool(view.searches)
    assert (view.merges is not None) == (view.name in merged)


def test_a_projection_is_listed_once() -> None:
    names = [projection.name for projection in PROJECTIONS]
    assert len(names) == len(set(names))
