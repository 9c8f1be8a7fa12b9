"""Actions: what agents did, one row each, and who is slow or errs often."""

from datetime import datetime

from domain.knowledge.actions import ActionsRecorded
from domain.messages import Recorded
from projections.framework import Key, Projection, Row, on_each
from projections.views import Page, Search, View


class ActionRow(Row, frozen=True, kw_only=True):
    """An action; `place` is that in its batch, which the event at `position` told of, at `recorded_at`."""

    position: int
    place: int
    batch: str
    agent: str
    phase: str
    action: str
    input: str
    output: str
    seconds: float | None
    success: bool
    error: str
    task: str | None
    session: str | None
    recorded_at: datetime


class ActionParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    batch: str | None = None
    agent: str | None = None
    phase: tuple[str, ...] = ()
    action: str | None = None
    task: str | None = None
    session: str | None = None
    success: bool | None = None
    text: Search | None = None


def done(_: ActionRow | None, event: ActionsRecorded, recorded: Recorded, key: Key) -> ActionRow:
    place = key[2]
    action = event.actions[place]
    return ActionRow(
        project=recorded.project,
        position=recorded.position,
        place=place,
        batch=event.batch,
        agent=recorded.actor,
        phase=action.phase,
        action=action.action,
        input=action.input,
        output=action.output,
        seconds=action.seconds,
        success=action.success,
        error=action.error,
        task=action.task,
        session=action.session,
        recorded_at=recorded.at,
    )


_MEASURES = (
    "count(*) AS actions, count(*) FILTER (WHERE NOT success) AS errors,"
    " avg(CASE WHEN success THEN 0.0 ELSE 1.0 END)::float8 AS error_rate, avg(seconds) AS average_s,"
    " percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_s, max(seconds) AS slowest_s"
)
_CHOSEN = (
    " FROM {table} WHERE project = %(project)s AND recorded_at <= coalesce(%(at)s, now())"
    " AND recorded_at > coalesce(%(at)s, now()) - make_interval(secs => %(seconds)s)"
)

ACTIONS = Projection(
    name="actions",
    version=1,
    row=ActionRow,
    key=("position", "place"),
    folds=(
        on_each(
            ActionsRecorded,
            done,
            keys=lambda event, recorded: [(recorded.position, at) for at in range(len(event.actions))],
        ),
    ),
    indexes=(("project", "recorded_at"), ("project", "task"), ("project", "session")),
    queries={
        "by_agent": f"SELECT agent, {_MEASURES}{_CHOSEN}"
        " GROUP BY agent ORDER BY average_s DESC NULLS LAST, agent LIMIT %(limit)s OFFSET %(offset)s",
        "by_action": f"SELECT action, phase, {_MEASURES}{_CHOSEN}"
        " GROUP BY action, phase ORDER BY error_rate DESC, actions DESC, action, phase"
        " LIMIT %(limit)s OFFSET %(offset)s",
    },
    append_only=True,
    record=True,
)

ACTIONS_VIEW = View(
    projection=ACTIONS,
    params=ActionParams,
    order=("-position", "-place"),
    compares={"entity": ("batch",)},
    searches=("action", "input", "output", "error"),
)
