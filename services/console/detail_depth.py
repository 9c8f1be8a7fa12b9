"""The console's depth, by the names that pages ask for: graphs, details, comparisons, operators' commands.

Parts are variables for a template of the same name, data are JSON. Both are of a project at a moment, and
block; commands are sent on. It reads the log and the read models, and changes nothing by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.console.actions import LABELS, OF_THE_PAST
from services.console.actions_asked import confirmation
from services.console.actions_sent import may, sent
from services.console.compare import compared
from services.console.detail import detail
from services.console.detail_seen import Seen, seen
from services.console.graph_handoffs import flows
from services.console.graph_tasks import MAX_DISTANCE, MAX_TASKS, chosen, document, drawn
from services.console.learned import learned, points
from services.console.sight import Desk
from services.gateway.asking import Asker
from services.gateway.denials import Forbidden, NoSuchPage
from services.gateway.entry import Holder
from services.reading.reads import Item

Params = Mapping[str, str]
_Tell = Callable[[Seen, Params, frozenset[str]], Item]


class Depth:
    """Answers about one database; safe to use from several threads."""

    def __init__(self, desk: Desk, asker: Asker) -> None:
        self._desk = desk
        self._asker = asker

    def part(
        self, name: str, holder: Holder, project: str, as_of: int | None, params: Params
    ) -> tuple[str, Item]:
        """The template of a part and its variables. Raises NoSuchPage, or what refuses the parameters."""
        return f"{name.replace('-', '_')}.html", self._told(_PARTS, name, holder, project, as_of, params)

    def data(self, name: str, holder: Holder, project: str, as_of: int | None, params: Params) -> bytes:
        """JSON to be drawn, of now with what the page knows of. Raises as `part` does."""
        if as_of is None and (wanted := params.get("seen", "")).isdecimal():
            self._desk.wait_for(int(wanted[:18]))
        return msgspec.json.encode(self._told(_DATA, name, holder, project, as_of, params))

    def may(self, holder: Holder, project: str, *, frozen: bool) -> list[str]:
        """The commands that are offered for what is shown, or for a moment of the past if it is frozen."""
        return sorted(may(holder, project, frozen=frozen))

    async def do(self, holder: Holder, project: str, verb: str, body: bytes, key: str | None) -> bytes:
        """Send a command, once for each key; raises what refuses it."""
        return await sent(self._asker, holder, project, verb, body, key)

    def _told(
        self,
        tellers: Mapping[str, _Tell],
        name: str,
        holder: Holder,
        project: str,
        as_of: int | None,
        params: Params,
    ) -> Item:
        if name not in tellers:
            raise NoSuchPage
        holder.check_project(project)
        allowed = may(holder, project, frozen=as_of is not None)
        with seen(self._desk, project, as_of) as shown:
            return tellers[name](shown, params, allowed)


def _graph(shown: Seen, params: Params, _: frozenset[str]) -> Item:
    found = drawn(shown, chosen(params))
    awaited: dict[str, list[str]] = {}
    for edge in found.graph.edges:
        awaited.setdefault(edge.task, []).append(edge.awaited)
    return {
        "drawn": found,
        "graph": found.graph,
        "awaited": awaited,
        "max_tasks": MAX_TASKS,
        "max_distance": MAX_DISTANCE,
    }


def _graph_data(shown: Seen, params: Params, _: frozenset[str]) -> Item:
    return document(drawn(shown, chosen(params)))


def _handoffs(shown: Seen, _: Params, __: frozenset[str]) -> Item:
    found: dict[str, Any] = msgspec.to_builtins(flows(shown))
    return found


def _detail(shown: Seen, params: Params, allowed: frozenset[str]) -> Item:
    return detail(shown, params, allowed)


def _learned(shown: Seen, _: Params, __: frozenset[str]) -> Item:
    return learned(shown)


def _estimates(shown: Seen, _: Params, __: frozenset[str]) -> Item:
    return points(shown)


def _compare(shown: Seen, params: Params, _: frozenset[str]) -> Item:
    return compared(shown, params)


def _confirm(shown: Seen, params: Params, allowed: frozenset[str]) -> Item:
    """Going back is asked for from the present as well: the moment is what it is about."""
    verb = params.get("verb", "")
    if verb in LABELS and verb not in allowed | OF_THE_PAST:
        why = (
            "The past cannot be changed; go back to the present"
            if shown.frozen
            else "You may not do this here"
        )
        raise Forbidden(why=why)
    return {"asked": confirmation(shown, params)}


_PARTS: Mapping[str, _Tell] = {
    "graph": _graph,
    "plan-graph": _graph,
    "handoff-graph": _handoffs,
    "detail": _detail,
    "learned": _learned,
    "compare": _compare,
    "confirm": _confirm,
}
_DATA: Mapping[str, _Tell] = {"graph": _graph_data, "handoffs": _handoffs, "estimates": _estimates}

PARTS = frozenset(_PARTS)
DATA = frozenset(_DATA)
