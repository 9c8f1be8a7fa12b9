"""The tabs of `coordctl top` and the choices of rows in each: declared as data, read by `source`. Pure."""

from typing import Any

from msgspec import Struct

from projections.outcomes import OUTCOMES, Outcome

COUNTED = {"agents": "agents", "queue": "tasks", "handoffs": "handoffs"}
"""Views whose rows are counted by status, and under which name."""


class Choice(Struct, frozen=True, kw_only=True):
    """Rows that a key chooses.

    Rows of the first of the `statuses` are listed before those of the second, and so on; `events` are names,
    `params` other parameters of the view. Without any, all are chosen. Not every one is `searched`.
    """

    key: str
    name: str
    view: str
    statuses: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    params: tuple[tuple[str, Any], ...] = ()
    searched: bool = True

    @property
    def counted(self) -> str | None:
        """Under which name its rows are counted by status, if they are."""
        return COUNTED.get(self.view)


class Tab(Struct, frozen=True, kw_only=True):
    """One of the lists that are shown. `newest_first` ones grow at their beginning."""

    name: str
    title: str
    choices: tuple[Choice, ...]
    searched: bool = False
    newest_first: bool = False


def _agents(key: str, name: str, *statuses: str) -> Choice:
    return Choice(key=key, name=name, view="agents", statuses=statuses)


def _tasks(key: str, name: str, *statuses: str) -> Choice:
    return Choice(key=key, name=name, view="queue", statuses=statuses)


def _handoffs(key: str, name: str, *statuses: str) -> Choice:
    return Choice(key=key, name=name, view="handoffs", statuses=statuses)


def _events(key: str, name: str, *outcomes: Outcome) -> Choice:
    events = tuple(event for event, outcome in OUTCOMES.items() if outcome in outcomes)
    return Choice(key=key, name=name, view="activity", events=events)


FLEET = Tab(
    name="fleet",
    title="Fleet",
    choices=(
        _agents("o", "on duty", "stale", "active"),
        _agents("x", "stale", "stale"),
        _agents("d", "terminated", "terminated"),
        _agents("a", "all", "stale", "active", "terminated"),
    ),
)

_OPEN = ("in_progress", "claimed", "queued", "blocked", "failed", "dead")

TASKS = Tab(
    name="queue",
    title="Queue",
    choices=(
        _tasks("o", "open", *_OPEN),
        _tasks("w", "in work", "in_progress", "claimed"),
        _tasks("u", "queued", "queued"),
        _tasks("b", "blocked", "blocked"),
        _tasks("x", "failed", "failed", "dead"),
        _tasks("d", "done", "completed", "cancelled"),
        _tasks("a", "all", *_OPEN, "completed", "cancelled"),
    ),
    searched=True,
)

HANDED = Tab(
    name="handoffs",
    title="Handoffs",
    choices=(
        _handoffs("a", "all", "initiated", "accepted", "rejected", "expired", "completed"),
        _handoffs("o", "open", "initiated", "accepted"),
        _handoffs("x", "failed", "rejected", "expired"),
        _handoffs("d", "done", "completed"),
    ),
)

TIMELINE = Tab(
    name="timeline",
    title="Timeline",
    choices=(
        _events("a", "all"),
        _events("d", "done", "done"),
        _events("x", "failed", "failed"),
        _events("u", "undone", "undone"),
    ),
    searched=True,
    newest_first=True,
)

LEARNED = Tab(
    name="learned",
    title="Learned",
    choices=(
        Choice(key="f", name="failures", view="failures"),
        Choice(key="e", name="estimates", view="estimates"),
        Choice(key="r", name="retrospectives", view="retros"),
    ),
    searched=True,
    newest_first=True,
)

KNOWN = Tab(
    name="known",
    title="Known",
    choices=(
        Choice(key="d", name="decisions", view="decisions", statuses=("holds",)),
        Choice(key="m", name="memories", view="memories", statuses=("current",)),
        Choice(key="s", name="spikes", view="spikes"),
        Choice(key="p", name="patterns", view="patterns"),
        Choice(key="c", name="complexity", view="complexity", params=(("warning", True),)),
        Choice(key="t", name="stale", view="stale_documentation", searched=False),
        Choice(key="f", name="factors", view="factors", searched=False),
        Choice(key="l", name="plans", view="plans", searched=False),
    ),
    searched=True,
)

TABS = (FLEET, TASKS, HANDED, TIMELINE, LEARNED, KNOWN)
