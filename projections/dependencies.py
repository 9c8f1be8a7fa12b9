"""Which task waits for which: the edges of the graph, to be followed in either direction."""

from domain.messages import Recorded
from domain.tasks.events import TaskEnqueued, TaskImported
from projections.framework import Key, Projection, Row, on_each


class DependencyRow(Row, frozen=True, kw_only=True):
    """`task` can only start when `depends_on` is completed."""

    task: str
    depends_on: str


def _edges(event: TaskEnqueued | TaskImported, _: Recorded) -> list[tuple[str, str]]:
    return [(event.task, dependency) for dependency in dict.fromkeys(event.depends_on)]


def _edge(
    _: DependencyRow | None, event: TaskEnqueued | TaskImported, recorded: Recorded, key: Key
) -> DependencyRow:
    return DependencyRow(project=recorded.project, task=event.task, depends_on=key[-1])


DEPENDENCIES = Projection(
    name="dependencies",
    version=1,
    row=DependencyRow,
    key=("task", "depends_on"),
    folds=(on_each(TaskEnqueued, _edge, keys=_edges), on_each(TaskImported, _edge, keys=_edges)),
    indexes=(("project", "depends_on"),),
    queries={
        "dependents": "SELECT task FROM {table}"
        ' WHERE project = %(project)s AND depends_on = %(task)s ORDER BY task COLLATE "C"',
    },
    append_only=True,
)
