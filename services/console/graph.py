"""A plan's dependency graph, laid out in layers, with its critical path. Pure.

Each task stands one layer after the last that it waits for. In a layer tasks stand near what they hang
together with, so that few edges cross; an edge that spans several layers bends around what stands between.
The critical path is the chain of open tasks that takes longest: nothing ends before it does.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

OPEN = frozenset({"queued", "blocked", "claimed", "in_progress", "failed"})
"""The statuses in which there is still something to do."""

SWEEPS = 8
MAX_SPAN_LAYERS = 8
"""An edge over more layers goes straight: bending it around everything costs more than it shows."""


class Node(Struct, frozen=True):
    """A task's place: its layer, and how far down it stands in it, in rows."""

    task: str
    layer: int
    row: float
    weight: float
    critical: bool


class Edge(Struct, frozen=True):
    """`task` waits for `awaited`; `bends` are the rows in which it passes the layers between."""

    awaited: str
    task: str
    bends: tuple[float, ...]
    critical: bool


class Graph(Struct, frozen=True):
    """`critical` is the path in the order of work, and `weight` what it takes in all."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    layers: int
    rows: float
    critical: tuple[str, ...]
    weight: float


Waits = Mapping[str, Sequence[str]]
"""What each task waits for; what is no key of it is not drawn."""

_Stop = tuple[str, ...] | str
"""What stands in a layer: a task, or the place where an edge passes (awaited, task, layer)."""

_Chain = tuple[str, str, Sequence[_Stop]]
"""An edge: what is awaited, the task, and where it begins, passes and ends."""


def laid_out(waits: Waits, is_open: Mapping[str, bool], weights: Mapping[str, float]) -> Graph:
    """The graph of these tasks; what is not weighed weighs 1."""
    known = {task: [each for each in dict.fromkeys(some) if each in waits] for task, some in waits.items()}
    order = _in_order(known)
    known = {task: [each for each in known[task] if order[each] < order[task]] for task in order}
    weighed = {task: weights.get(task, 1.0) for task in known}
    critical = critical_path(known, is_open, weighed)
    layer = _layers(known)
    chains = [(awaited, task, _stops(awaited, task, layer)) for task in known for awaited in known[task]]
    row = _rows(_filled(layer, chains), _neighbours(chains))
    on_path = set(critical)
    steps = set(pairwise(critical))
    nodes = [Node(task, layer[task], row[task], weighed[task], task in on_path) for task in known]
    edges = [
        Edge(awaited, task, tuple(row[stop] for stop in stops[1:-1]), (awaited, task) in steps)
        for awaited, task, stops in chains
    ]
    return Graph(
        nodes=tuple(nodes),
        edges=tuple(edges),
        layers=max(layer.values(), default=-1) + 1,
        rows=max(row.values(), default=-1.0) + 1,
        critical=critical,
        weight=sum(weighed[task] for task in critical),
    )


def critical_path(waits: Waits, is_open: Mapping[str, bool], weights: Mapping[str, float]) -> tuple[str, ...]:
    """The heaviest chain of open tasks of which each waits for the one before; the first of equals.

    `waits` names every task after all it waits for.
    """
    heaviest: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for task, some in waits.items():
        if not is_open.get(task, False):
            continue
        ahead = [each for each in some if each in heaviest]
        last = max(ahead, key=lambda each: heaviest[each], default=None)
        before[task] = last
        heaviest[task] = weights.get(task, 1.0) + (heaviest[last] if last is not None else 0.0)
    path: list[str] = []
    at = max(heaviest, key=lambda each: heaviest[each], default=None)
    while at is not None:
        path.append(at)
        at = before[at]
    return tuple(reversed(path))


def _in_order(waits: Waits) -> dict[str, int]:
    """The place of every task, after all it waits for. Should some wait for each other, they come last."""
    missing = {task: len(some) for task, some in waits.items()}
    following: dict[str, list[str]] = {task: [] for task in waits}
    for task, some in waits.items():
        for each in some:
            following[each].append(task)
    ready = [task for task, count in missing.items() if not count]
    placed: dict[str, int] = {}
    for task in ready:  # it grows meanwhile
        placed[task] = len(placed)
        for each in following[task]:
            missing[each] -= 1
            if not missing[each]:
                ready.append(each)
    for task in waits:
        placed.setdefault(task, len(placed))
    return placed


def _layers(waits: Waits) -> dict[str, int]:
    """Each task one after the last that it waits for; `waits` is in that order."""
    layer: dict[str, int] = {}
    for task, some in waits.items():
        layer[task] = max((layer[each] + 1 for each in some), default=0)
    return layer


def _stops(awaited: str, task: str, layer: Mapping[str, int]) -> list[_Stop]:
    """Where an edge begins, passes and ends."""
    between = range(layer[awaited] + 1, layer[task])
    if len(between) >= MAX_SPAN_LAYERS:
        return [awaited, task]
    return [awaited, *((awaited, task, str(each)) for each in between), task]


def _filled(
    layer: Mapping[str, int], chains: Iterable[tuple[str, str, Sequence[_Stop]]]
) -> list[list[_Stop]]:
    """What stands in each layer, in the given order."""
    filled: list[list[_Stop]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for task, place in layer.items():
        filled[place].append(task)
    for _, _, stops in chains:
        for stop in stops[1:-1]:
            filled[int(stop[-1])].append(stop)
    return filled


def _neighbours(chains: Iterable[_Chain]) -> dict[_Stop, list[_Stop]]:
    """What each is tied to."""
    tied: dict[_Stop, list[_Stop]] = {}
    for _, _, stops in chains:
        for one, other in pairwise(stops):
            tied.setdefault(one, []).append(other)
            tied.setdefault(other, []).append(one)
    return tied


def _rows(filled: list[list[_Stop]], tied: Mapping[_Stop, Sequence[_Stop]]) -> dict[_Stop, float]:
    """How far down each stands: where what it is tied to stands on average, but a row from the next."""
    row: dict[_Stop, float] = {stop: float(at) for stops in filled for at, stop in enumerate(stops)}
    for sweep in range(SWEEPS):
        for stops in filled if sweep % 2 == 0 else reversed(filled):
            wanted = {stop: _mean([row[each] for each in tied.get(stop, ())], row[stop]) for stop in stops}
            stops.sort(key=lambda stop: wanted[stop])  # it is called here
            row |= zip(stops, _apart([wanted[stop] for stop in stops]), strict=True)
    top = min(row.values(), default=0.0)
    return {stop: at - top for stop, at in row.items()}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _apart(wanted: Sequence[float]) -> list[float]:
    """The nearest places, by the sum of squares, that keep the order and one row between two."""
    blocks: list[tuple[float, int]] = []  # the mean place of those that touch, and how many they are
    for at, place in enumerate(wanted):
        mean, count = place - at, 1
        while blocks and blocks[-1][0] > mean:
            above, many = blocks.pop()
            mean, count = (above * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    return [mean + at for at, mean in enumerate(means)]
