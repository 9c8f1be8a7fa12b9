"""What each view of the console shows of a project at a moment: bounded lists, ready for templates.

Asks the views that every door has, with their filters; which rows there are is decided there.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from domain.catalog import EVENTS
from services.console.sight import Counts, Sight
from services.errors import BadInput
from services.reading.reads import Item

Given = Mapping[str, str]
Variables = dict[str, Any]

PAGE_ROWS = 100
CARDS = 25
MAX_AGENTS = 400
MAX_HELD_TASKS = 2_000
MAX_OPEN_HANDOFFS = 100
FINISHED_HANDOFFS = 40
SETTING_CHANGES = 40
MAX_PERSONAS = 1_000
MAX_DEEP_ROWS = 1_000_000
_MAX_DIGITS = 7

BOARD = ("in_progress", "claimed", "queued", "blocked", "failed", "dead", "completed")
"""The columns of the board; what is at work comes first."""

TASK_STATUSES = (*BOARD, "cancelled")
FINISHED = ("completed", "rejected", "expired")
_TASK_FILTERS = ("text", "status", "persona", "holder", "type", "plan")
_EVENT_FILTERS = ("text", "who", "kind")

_TROUBLE = (
    "task.failed", "task.died", "task.lease_expired", "agent.went_stale", "handoff.expired",
    "handoff.rejected", "failure.recorded",
)  # fmt: skip
_CONTEXTS: Mapping[str, tuple[str, ...]] = {
    "tasks": ("task",),
    "handoffs": ("handoff",),
    "agents": ("agent",),
    "settings": ("setting", "persona"),
    "history": ("project", "bookmark"),
}
_NAMED = {context for contexts in _CONTEXTS.values() for context in contexts}
KINDS: Mapping[str, tuple[str, ...]] = {
    "trouble": _TROUBLE,
    **{
        kind: tuple(name for name in EVENTS if name.partition(".")[0] in contexts)
        for kind, contexts in _CONTEXTS.items()
    },
    "learning": tuple(name for name in EVENTS if name.partition(".")[0] not in _NAMED),
}
"""What the timeline can be narrowed to, and the events that are of it."""


class Part(Struct, frozen=True):
    """A piece of a page: its template, and what gathers the variables for it."""

    template: str
    gather: Callable[[Sight, Given, str], Variables]
    """Of a project at a moment, by the query of the URL, for an actor."""


def fleet(sight: Sight, given: Given, _: str) -> Variables:
    """Every agent; those that are over only if asked for."""
    counts = sight.counts()
    wanted = ("stale", "active", "terminated") if given.get("ended") else ("stale", "active")
    agents: list[Item] = []
    for status in wanted:
        if counts["agents"].get(status):
            agents += sight.view("agents", status=status, persona=given.get("persona"), limit=MAX_AGENTS)
    held = sight.view("queue", status="claimed,in_progress", limit=MAX_HELD_TASKS) if agents else []
    tasks = {row["task"]: row for row in held}
    return {
        "counts": counts,
        "agents": [{**each, "task": tasks.get(each["doing"] or "")} for each in sorted(agents, key=_rank)],
        "personas": _personas(sight),
        "filters": _filters(given, ("persona", "ended")),
        "more": any(count > MAX_AGENTS for count in counts["agents"].values()),
    }


def queue(sight: Sight, given: Given, actor: str) -> Variables:
    """The board, the list's first page, or the place of the graph."""
    mode = given.get("mode", "board")
    told: Variables = {
        "counts": sight.counts(),
        "mode": mode if mode in ("board", "list", "graph") else "board",
        "filters": _filters(given, _TASK_FILTERS),
        "statuses": TASK_STATUSES,
        "personas": _personas(sight),
    }
    if told["mode"] == "board":
        told |= {"columns": _board(sight, given, told["counts"])}
    elif told["mode"] == "list":
        told |= queue_rows(sight, given, actor)
    return told


def queue_rows(sight: Sight, given: Given, _: str) -> Variables:
    """A page of the list of tasks."""
    offset = _offset(given)
    params = _task_params(given)
    rows = sight.view("queue", **params, limit=PAGE_ROWS + 1, offset=offset)
    total = None
    if set(params) <= {"status"}:
        counts = sight.counts()["tasks"]
        wanted = params.get("status", "")
        total = sum(count for status, count in counts.items() if not wanted or status in wanted.split(","))
    return _page(rows, offset, total)


def handoffs(sight: Sight, _: Given, __: str) -> Variables:
    """Those that are open with all that travels, and the latest of those that are over."""
    waiting = sight.view("handoffs", status="initiated,accepted", limit=MAX_OPEN_HANDOFFS)
    over = sight.view("handoffs", status=",".join(FINISHED), limit=FINISHED_HANDOFFS)
    tasks = dict.fromkeys(each["task"] for each in (*waiting, *over))
    titles = sight.titles([*tasks])
    return {
        "counts": sight.counts(),
        "waiting": [{**each, "title": titles.get(each["task"], "")} for each in waiting],
        "over": [{**each, "title": titles.get(each["task"], "")} for each in over],
        "filters": {},
    }


def timeline(sight: Sight, given: Given, actor: str) -> Variables:
    """The newest page of all that happened."""
    return {
        "counts": sight.counts(),
        "filters": _filters(given, _EVENT_FILTERS),
        "kinds": [*KINDS],
        **timeline_rows(sight, given, actor),
    }


def timeline_rows(sight: Sight, given: Given, _: str) -> Variables:
    """A page of the timeline, `offset` events before the moment.

    Without filters that is a moment too, and found at once however long the log is.
    """
    offset, last = _offset(given), sight.moment.sequence
    params = {
        "text": given.get("text"),
        "agent": given.get("who"),
        "event": ",".join(KINDS.get(given.get("kind", ""), ())),
    }
    if any(params.values()):
        rows = sight.view("activity", **params, limit=PAGE_ROWS + 1, offset=offset)
        return _page(rows, offset, None)
    if offset == 0:
        rows = sight.view("activity", limit=PAGE_ROWS + 1)
    else:
        rows = sight.before(max(last - offset, 0), "activity", limit=PAGE_ROWS + 1)
    return _page(rows, offset, last)


def settings(sight: Sight, _: Given, actor: str) -> Variables:
    """What holds in the project and for the one who looks, and what was changed last."""
    return {
        "counts": sight.counts(),
        "project_settings": sight.view("settings", scope="project"),
        "user_settings": sight.view("settings", scope="user", user=actor),
        "changes": sight.view("setting_history", limit=SETTING_CHANGES),
        "actor": actor,
        "filters": {},
    }


VIEWS: Mapping[str, Part] = {
    "fleet": Part("fleet.html", fleet),
    "queue": Part("queue.html", queue),
    "handoffs": Part("handoffs.html", handoffs),
    "timeline": Part("timeline.html", timeline),
    "settings": Part("settings.html", settings),
}
"""What a page can show."""

PIECES: Mapping[str, Part] = {
    "queue-rows": Part("queue_rows.html", queue_rows),
    "timeline-rows": Part("timeline_rows.html", timeline_rows),
}
"""What a part of a page asks for itself."""


def _board(sight: Sight, given: Given, counts: Counts) -> list[Variables]:
    """A column of cards for each status of open tasks, and one of those that were completed last."""
    params = {name: value for name, value in _task_params(given).items() if name != "status"}
    return [_column(sight, status, params, counts["tasks"].get(status, 0)) for status in BOARD]


def _column(sight: Sight, status: str, params: Mapping[str, str], held: int) -> Variables:
    """Its first cards, and how many tasks are of it; when it is filtered, as many as are known of: `more`."""
    if not held:
        cards = []
    elif status == "completed" and not params:
        cards = _completed_last(sight)
    else:
        cards = sight.view("queue", **params, status=status, limit=CARDS + 1)
    shown = cards[:CARDS]
    more = bool(params) and len(cards) > CARDS
    return {"status": status, "count": len(shown) if params else held, "more": more, "cards": shown}


def _completed_last(sight: Sight) -> list[Item]:
    """The tasks that were completed last, without those that a restore made open again."""
    told = sight.view("activity", event="task.completed", limit=CARDS)
    found = (sight.view("queue", entity=task) for task in dict.fromkeys(each["entity"] for each in told))
    return [row for rows in found for row in rows if row["status"] == "completed"]


def _personas(sight: Sight) -> list[str]:
    """Those that a view can be narrowed to, at whatever moment."""
    return sorted(row["persona"] for row in sight.now("personas", limit=MAX_PERSONAS))


def _task_params(given: Given) -> dict[str, str]:
    params = {name: given[name] for name in _TASK_FILTERS if given.get(name)}
    if "holder" in params:
        params["agent"] = params.pop("holder")
    return params


def _filters(given: Given, names: tuple[str, ...]) -> dict[str, str]:
    return {name: given.get(name, "") for name in names}


def _page(rows: list[Item], offset: int, total: int | None) -> Variables:
    """`total` is exact, or as many as are known of: `more` says that there are others."""
    more = len(rows) > PAGE_ROWS
    known = offset + len(rows[:PAGE_ROWS])
    return {
        "rows": rows[:PAGE_ROWS],
        "offset": offset,
        "total": known if total is None else total,
        "more": more and total is None,
        "page_rows": PAGE_ROWS,
    }


def _offset(given: Given) -> int:
    text = given.get("offset", "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS and int(text) <= MAX_DEEP_ROWS):
        raise BadInput(verb="a list", why=f"`offset` is a number up to {MAX_DEEP_ROWS}")
    return int(text)


def _rank(agent: Item) -> tuple[int, bool, str]:
    """Stale ones first, then those that work."""
    place = {"stale": 0, "active": 1}.get(agent["status"], 2)
    return place, agent["doing"] is None, agent["agent"]
