"""Graphs of dependencies: a cycle is found and named, an order puts everything after what it waits for."""

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.graph import find_cycle, in_order

DEEP = 50_000
_NODES = st.sampled_from("abcdefg")
_GRAPHS = st.dictionaries(_NODES, st.lists(_NODES, max_size=4), max_size=7)


def test_a_graph_without_a_cycle_has_none() -> None:
    assert find_cycle({}) is None
    assert find_cycle({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) is None
    assert find_cycle({"a": ["elsewhere"]}) is None


def test_a_cycle_is_named_as_the_path_that_closes_it() -> None:
    assert find_cycle({"a": ["a"]}) == ["a", "a"]
    assert find_cycle({"start": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]


def test_graphs_may_be_deeper_than_the_stack() -> None:
    chain = {str(n): [str(n + 1)] for n in range(DEEP)}
    assert find_cycle(chain) is None
    cycle = find_cycle({**chain, str(DEEP): ["0"]})
    assert cycle is not None
    assert len(cycle) == DEEP + 2


def test_an_order_puts_everything_after_what_it_waits_for_and_otherwise_keeps_its_place() -> None:
    assert in_order({"c": ["a"], "b": [], "a": []}) == ["a", "c", "b"]
    assert in_order({"x": ["elsewhere"], "y": []}) == ["x", "y"]


@settings(max_examples=200, deadline=None)
@given(_GRAPHS)
def test_a_cycle_is_found_exactly_if_there_is_one(graph: dict[str, list[str]]) -> None:
    try:
        list(TopologicalSorter(graph).static_order())
        cyclic = False
    except CycleError:
        cyclic = True
    cycle = find_cycle(graph)
    assert (cycle is not None) == cyclic
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[before] for before, after in pairwise(cycle))


@settings(max_examples=200, deadline=None)
@given(_GRAPHS.filter(lambda graph: find_cycle(graph) is None))
def test_every_node_stands_once_and_after_all_it_waits_for(graph: dict[str, list[str]]) -> None:
    order = in_order(graph)
    assert sorted(order) == sorted(graph)
    for node, ahead in graph.items():
        assert all(order.index(other) < order.index(node) for other in ahead if other in graph)
