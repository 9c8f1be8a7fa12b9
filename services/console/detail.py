"""The details of a task, an agent, a handoff or an event: how it is, in words and in facts, and its story.

It reads at the page's moment, and changes nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from domain.errors import NotFound
from projections.views import MAX_ROWS
from services.console.actions import offered
from services.console.detail_seen import Seen
from services.console.detail_story import explained, story
from services.console.detail_words import DETAILED, agent_facts, handoff_facts, said_of, task_facts
from services.errors import BadInput
from services.reading.reads import Item

MAX_DEPENDENTS = 100

_Tell = Callable[[Seen, str, int | None, frozenset[str]], Item]


def detail(seen: Seen, params: Mapping[str, str], may: frozenset[str]) -> Item:
    """What the dialog shows of `of`, as in task:t-x; `before` asks for earlier events.

    At many moments a thing is not there yet; it is `missing` then. Raises BadInput.
    """
    kind, _, name = params.get("of", "").partition(":")
    before = params.get("before", "")
    if kind not in _KINDS or not name or (before and not _is_number(before)):
        kinds = ", ".join(_KINDS)
        raise BadInput(verb="a detail", why=f"`of` is KIND:NAME with one of {kinds}; `before` is a sequence")
    try:
        told = _KINDS[kind](seen, name, int(before) if before else None, may)
    except NotFound:
        told = {"title": "", "status": "", "missing": True}
    return {"kind": kind, "name": name, "before": before, "missing": False, **told}


def _task(seen: Seen, name: str, before: int | None, may: frozenset[str]) -> Item:
    row = _row(seen, "queue", "task", name)
    handoffs = seen.view("handoffs", task=name, limit=MAX_ROWS)
    entities = (name, *(each["handoff"] for each in handoffs))
    waiting = [task for task, _ in seen.dependents([name], MAX_DEPENDENTS)]
    return {
        "title": row["title"],
        "status": row["status"],
        "said": said_of("task", row),
        "facts": task_facts({**row, "dependents": waiting}),
        "long": {name: row[name] for name in ("description", "input", "result") if row[name]},
        "handoffs": handoffs,
        "story": story(seen, before, why=True, entity=entities),
        "actions": offered("task", row, may),
    }


def _agent(seen: Seen, name: str, before: int | None, may: frozenset[str]) -> Item:
    row = _row(seen, "agents", "agent", name)
    return {
        "title": f"{row['persona']} agent",
        "status": row["status"],
        "said": said_of("agent", row),
        "facts": agent_facts(row),
        "long": {"metadata": row["metadata"]} if row["metadata"] else {},
        "handoffs": seen.view("handoffs", agent=name, limit=20),
        "story": story(seen, before, why=False, agent=name),
        "actions": offered("agent", row, may),
    }


def _handoff(seen: Seen, name: str, before: int | None, _: frozenset[str]) -> Item:
    row = _row(seen, "handoffs", "handoff", name)
    return {
        "title": f"handoff of {row['task']}",
        "status": row["status"],
        "said": said_of("handoff", row),
        "facts": handoff_facts(row),
        "long": {f"{each}".replace("_", " "): row["context"][each] for each in row["context"]},
        "handoffs": [],
        "story": story(seen, before, why=True, entity=(name,)),
        "actions": [],
    }


def _event(seen: Seen, name: str, _: int | None, __: frozenset[str]) -> Item:
    if not _is_number(name):
        raise NotFound(kind="event", id=name)
    found = explained(seen, int(name))
    return {
        "title": found.line.words,
        "status": "" if found.line.outcome == "other" else found.line.outcome,
        "explained": found,
        "detailed": DETAILED,
        "actions": [],
    }


_KINDS: Mapping[str, _Tell] = {"task": _task, "agent": _agent, "handoff": _handoff, "event": _event}


def _row(seen: Seen, view: str, kind: str, name: str) -> Item:
    """The row of this name. Raises NotFound."""
    rows = seen.view(view, entity=name, limit=1)
    if not rows:
        raise NotFound(kind=kind, id=name)
    row: dict[str, Any] = rows[0]
    return row


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
