"""The graph of tasks as edges."""

from domain.tasks.commands import EnqueueTask, ImportedTask, ImportTasks
from projections.dependencies import DEPENDENCIES
from tests.projections.stories import Story, folded


def test_each_dependency_is_one_edge_however_often_it_is_named() -> None:
    story = Story()
    story.do("op", EnqueueTask(id="t1", title="x"), EnqueueTask(id="t2", title="x"))
    story.do("op", EnqueueTask(id="t3", title="x", depends_on=("t1", "t2", "t1")))
    done = ImportedTask(id="t4", title="x", status="completed", depends_on=("t1", "t1"))
    story.do("op", ImportTasks(tasks=(done,)))
    edges = {(row.task, row.depends_on) for row in folded(DEPENDENCIES, story.history).values()}
    assert edges == {("t3", "t1"), ("t3", "t2"), ("t4", "t1")}
