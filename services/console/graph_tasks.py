"""Which tasks a dependency graph shows: a plan, the parts of a task, what is around one, or all that is open.

Never more than a person can follow: whoever wants to see what was left out narrows it down. Reads only.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from projections.views import MAX_ROWS
from services.console.detail_seen import Seen
from services.console.graph import OPEN, Graph, laid_out
from services.errors import BadInput
from services.reading.reads import Item

MAX_TASKS = 200
MAX_OPEN_TASKS = 1_000
"""How many open tasks, the most urgent first, are looked through for such as wait for each other."""

MAX_DISTANCE = 6
DISTANCE = 2
_CHOICES = 12
_DEPENDENTS_ROWS = 1_000


class Chosen(Struct, frozen=True, kw_only=True):
    """What is to be drawn: of a `kind` (plan, parent, task, open) and a name, tasks within a distance."""

    kind: str
    name: str = ""
    distance: int = DISTANCE


class Drawn(Struct, frozen=True, kw_only=True):
    """A graph with what is known of its tasks, by name; `more` if some were left out.

    `choices` are plans and parents of what is shown, the largest first, with the number of their tasks in it.
    """

    chosen: Chosen
    graph: Graph
    tasks: Mapping[str, Item]
    more: bool
    choices: Sequence[tuple[str, str, int]]


class _Found(Struct):
    """Tasks by name, in the order in which they were found; `more` if there were too many."""

    tasks: dict[str, Item]
    more: bool = False


def chosen(params: Mapping[str, str]) -> Chosen:
    """What the query of a URL asks to see. Raises BadInput."""
    named = [kind for kind in ("plan", "parent", "task") if params.get(kind)]
    if len(named) > 1:
        raise BadInput(verb="a graph", why="it is of one plan, parent or task")
    distance = params.get("distance") or str(DISTANCE)
    if not distance.isdecimal() or not 1 <= int(distance[:3]) <= MAX_DISTANCE:
        raise BadInput(verb="a graph", why=f"`distance` is a number from 1 to {MAX_DISTANCE}")
    if not named:
        return Chosen(kind="open")
    return Chosen(kind=named[0], name=params[named[0]], distance=int(distance))


def drawn(seen: Seen, asked: Chosen) -> Drawn:
    """The graph that was asked for."""
    found = _found(seen, asked)
    oldest = sorted(found.tasks.items(), key=lambda each: each[1]["brief"])  # so it stays as it is drawn
    waits = {task: row["depends_on"] for task, row in oldest}
    is_open = {task: row["status"] in OPEN for task, row in found.tasks.items()}
    graph = laid_out(waits, is_open, _weights(seen, found.tasks))
    near = found.tasks.values() or seen.view("queue", limit=MAX_OPEN_TASKS)
    return Drawn(chosen=asked, graph=graph, tasks=found.tasks, more=found.more, choices=_choices(near))


def _found(seen: Seen, asked: Chosen) -> _Found:
    match asked.kind:
        case "plan":
            rows = seen.view("queue", plan=asked.name, limit=MAX_TASKS + 1)
            return _with_awaited(seen, _cut(rows))
        case "parent":
            rows = seen.view("queue", parent=asked.name, limit=MAX_TASKS)
            return _with_awaited(seen, _cut([*_rows(seen, [asked.name]), *rows]))
        case "task":
            return _around(seen, asked.name, asked.distance)
        case _:
            return _open(seen)


def _open(seen: Seen) -> _Found:
    """Those of the open tasks that wait for one another."""
    rows = seen.view("queue", status=tuple(sorted(OPEN)), limit=MAX_OPEN_TASKS + 1)
    names = {row["task"] for row in rows}
    awaited = {each for row in rows for each in row["depends_on"] if each in names}
    tied = [row for row in rows if row["task"] in awaited or awaited.intersection(row["depends_on"])]
    found = _cut(tied)
    found.more = found.more or len(rows) > MAX_OPEN_TASKS
    return found


def _around(seen: Seen, task: str, distance: int) -> _Found:
    """A task with what it waits for and what waits for it, both over some steps."""
    found = _Found({row["task"]: row for row in _rows(seen, [task])})
    edge = set(found.tasks)
    for _ in range(distance):
        names = {each for name in edge for each in found.tasks[name]["depends_on"]}
        names |= {one for one, _ in seen.dependents(edge, _DEPENDENTS_ROWS)} if edge else set()
        new = sorted(names - found.tasks.keys())
        room = MAX_TASKS - len(found.tasks)
        found.more = found.more or len(new) > room
        rows = _rows(seen, new[:room])
        found.tasks |= {row["task"]: row for row in rows}
        edge = {row["task"] for row in rows}
    return found


def _with_awaited(seen: Seen, found: _Found) -> _Found:
    """With what the tasks wait for beyond themselves."""
    beyond = {each for row in found.tasks.values() for each in row["depends_on"]} - found.tasks.keys()
    room = MAX_TASKS - len(found.tasks)
    found.more = found.more or len(beyond) > room
    found.tasks |= {row["task"]: row for row in _rows(seen, sorted(beyond)[: max(room, 0)])}
    return found


def _cut(rows: Sequence[Item]) -> _Found:
    return _Found({row["task"]: row for row in rows[:MAX_TASKS]}, more=len(rows) > MAX_TASKS)


def _rows(seen: Seen, names: Collection[str]) -> list[Item]:
    rows: Iterable[Any] = seen.tasks(names).values()
    return [msgspec.structs.asdict(row) for row in rows]


def _weights(seen: Seen, tasks: Mapping[str, Item]) -> dict[str, float]:
    """In sessions, of tasks that an estimate names by their id or title; the last one holds."""
    estimated: dict[str, float] = {}
    for row in reversed(seen.view("estimates", limit=MAX_ROWS)):
        estimated[row["feature"]] = row["estimated_sessions"]
    return {
        task: estimated[name]
        for task, row in tasks.items()
        for name in (row["title"], task)  # the id says more, so it comes last
        if name in estimated
    }


def _choices(rows: Iterable[Item]) -> list[tuple[str, str, int]]:
    """The plans and parents to narrow down to."""
    counted = Counter(
        (kind, row[kind]) for row in rows for kind in ("plan", "parent") if row[kind] is not None
    )
    return [(kind, name, count) for (kind, name), count in counted.most_common(_CHOICES)]


def document(found: Drawn) -> Item:
    """What the page draws, as JSON has it."""
    graph = found.graph
    about = ("title", "status", "priority", "holder", "attempt", "percent", "plan", "parent")
    return {
        "kind": found.chosen.kind,
        "name": found.chosen.name,
        "more": found.more,
        "layers": graph.layers,
        "rows": graph.rows,
        "critical": graph.critical,
        "weight": graph.weight,
        "nodes": [
            {**msgspec.structs.asdict(node), **{name: found.tasks[node.task][name] for name in about}}
            for node in graph.nodes
        ],
        "edges": graph.edges,
    }
