"""Dependency graphs: does a cycle stand in one, and in which order can it be worked?"""

from collections.abc import Mapping, Sequence


def find_cycle(edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A cycle among `node -> what it waits for`, as the path that closes it (first node = last), or None."""
    done: set[str] = set()
    for root in edges:
        cycle = _walk(root, edges, done)
        if cycle:
            return cycle
    return None


def _walk(root: str, edges: Mapping[str, Sequence[str]], done: set[str]) -> list[str] | None:
    """Depth first without recursion: a plan may be deeper than Python's stack."""
    if root in done:
        return None
    path: dict[str, None] = {root: None}
    stack = [iter(edges[root])]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            done.add(path.popitem()[0])
        elif node in path:
            names = list(path)
            return [*names[names.index(node) :], node]
        elif node not in done and node in edges:
            path[node] = None
            stack.append(iter(edges[node]))
    return None


def in_order(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Every node after all it waits for, otherwise in the given order. The graph must have no cycle."""
    placed: dict[str, None] = {}
    for root in edges:
        stack = [root]
        while stack:
            node = stack[-1]
            ahead = [d for d in edges[node] if d in edges and d not in placed]
            if ahead and node not in placed:
                stack.extend(reversed(ahead))
            else:
                placed[stack.pop()] = None
    return list(placed)
