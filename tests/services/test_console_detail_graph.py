"""A plan's graph: layers, the critical path, rows without two things in one place; handoffs added up."""

from collections import defaultdict
from itertools import pairwise
from random import Random

import pytest

from services.console.graph import MAX_SPAN_LAYERS, Graph, laid_out
from services.console.graph_handoffs import added_up
from services.console.graph_tasks import chosen
from services.errors import BadInput


def drawn(waits: dict[str, list[str]], done: str = "", **weights: float) -> Graph:
    return laid_out(waits, {task: task not in done.split() for task in waits}, weights)


def layers(graph: Graph) -> dict[str, int]:
    return {node.task: node.layer for node in graph.nodes}


def test_a_task_stands_one_layer_after_the_last_that_it_waits_for() -> None:
    graph = drawn({"cook": ["shop", "plan"], "plan": [], "shop": ["plan"], "rest": []})
    assert layers(graph) == {"plan": 0, "rest": 0, "shop": 1, "cook": 2}
    assert graph.layers == 3


def test_the_critical_path_is_the_heaviest_chain_of_what_is_open() -> None:
    waits = {"a": [], "b": ["a"], "c": ["b"], "x": [], "z": ["x", "c"]}
    assert drawn(waits).critical == ("a", "b", "c", "z")
    heavy = drawn(waits, x=9)
    assert (heavy.critical, heavy.weight) == (("x", "z"), 10)
    assert {edge.awaited for edge in heavy.edges if edge.critical} == {"x"}
    assert drawn(waits, done="a b x").critical == ("c", "z")
    assert drawn(waits, done="a b c x z").critical == ()


def test_what_is_not_drawn_is_waited_for_elsewhere() -> None:
    graph = drawn({"b": ["a", "gone", "a"], "a": []})
    assert [(edge.awaited, edge.task) for edge in graph.edges] == [("a", "b")]
    empty = drawn({})
    assert (empty.nodes, empty.edges, empty.layers, empty.rows) == ((), (), 0, 0)


def test_tasks_that_wait_for_each_other_are_drawn_all_the_same() -> None:
    graph = drawn({"a": ["b"], "b": ["a"], "c": ["b"]})
    assert sorted(layers(graph)) == ["a", "b", "c"]


def test_an_edge_over_layers_passes_between_what_stands_there() -> None:
    chain = {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(5)}
    graph = drawn({**chain, "end": ["t0", "t4"]})
    (bent,) = (edge for edge in graph.edges if (edge.awaited, edge.task) == ("t0", "end"))
    rows = {node.task: node.row for node in graph.nodes}
    assert [abs(bend - rows[f"t{n}"]) >= 1 for n, bend in enumerate(bent.bends, 1)] == [True] * 4
    far = {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(MAX_SPAN_LAYERS + 4)}
    straight = drawn({**far, "end": ["t0", f"t{MAX_SPAN_LAYERS + 3}"]})
    assert [edge.bends for edge in straight.edges if edge.task == "end"] == [(), ()]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_plan_nothing_stands_on_another_and_all_edges_lead_on(seed: int) -> None:
    random = Random(seed)
    names = [f"t{n}" for n in range(random.randint(1, 60))]
    waits = {
        name: random.sample(names[:place], min(place, random.randint(0, 3)))
        for place, name in enumerate(names)
    }
    graph = drawn(waits)
    rows = defaultdict(list)
    for node in graph.nodes:
        rows[node.layer].append(node.row)
    for some in rows.values():
        assert all(other - one > 1 - 1e-6 for one, other in pairwise(sorted(some)))
        assert min(some) >= 0
        assert max(some) <= graph.rows - 1 + 1e-6
    at = layers(graph)
    assert all(at[edge.awaited] < at[edge.task] for edge in graph.edges)
    assert len(graph.edges) == sum(map(len, waits.values()))
    assert len(graph.critical) == graph.layers  # all weigh the same, so the longest chain is one


def test_a_graph_is_of_one_thing() -> None:
    assert chosen({}).kind == "open"
    assert (chosen({"task": "t1", "distance": "3"}).name, chosen({"plan": "p1"}).kind) == ("t1", "plan")
    for params in ({"task": "t1", "plan": "p1"}, {"task": "t1", "distance": "99"}, {"distance": "far"}):
        with pytest.raises(BadInput):
            chosen(params)


def test_handoffs_are_added_up_with_the_open_ones_first() -> None:
    def handoff(name: str, giver: str, taker: str | None, status: str) -> dict[str, object]:
        to = {"to_agent": taker, "to_persona": None if taker else "plot"}
        return {
            "handoff": name,
            "task": f"t-{name}",
            "from_agent": giver,
            "status": status,
            "reason": "",
            **to,
        }

    flows = added_up(
        [
            handoff("h1", "a", "b", "completed"),
            handoff("h2", "a", "b", "rejected"),
            handoff("h3", "b", "c", "accepted"),
            handoff("h4", "a", None, "initiated"),
            handoff("h5", "a", None, "initiated"),
        ]
    )
    told = [
        (each.sender, each.receiver, each.to_persona, each.open, each.done, each.failed) for each in flows
    ]
    assert told == [
        ("a", "plot", True, 2, 0, 0),
        ("b", "c", False, 1, 0, 0),
        ("a", "b", False, 0, 1, 1),
    ]
    assert [each["handoff"] for each in flows[2].handoffs] == ["h1", "h2"]
