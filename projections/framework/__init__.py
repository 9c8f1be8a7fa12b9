"""What a read model is: a row, a key, and one small pure function per event type, declared once as data.

    QUEUE = Projection(
        name="queue",
        version=1,
        row=QueueRow,
        key=("task",),
        folds=(
            on(TaskEnqueued, enqueued),  # the row that event.task names
            on(TaskClaimed, claimed),
            on_each(TaskCompleted, unblocked, keys=lambda event, _: event.unblocked),
        ),
        indexes=(("project", "status"),),
        queries={"open": "SELECT * FROM {table} WHERE project = %(project)s AND status <> 'completed'"},
    )

The same folds run in the projector (rows in Postgres) and in a replay (rows in memory), and the same queries
on both. Pure: no I/O in here.
"""

from projections.framework.columns import Column, Row, columns
from projections.framework.projection import Fold, FoldFailed, Folds, Key, Projection, Touch, on, on_each

__all__ = [
    "Column",
    "Fold",
    "FoldFailed",
    "Folds",
    "Key",
    "Projection",
    "Row",
    "Touch",
    "columns",
    "on",
    "on_each",
]
