"""What is so of a thing, in a sentence, the facts beside it, and what differs in it. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from projections.changes import RowChange
from services.console.words import span

Item = Mapping[str, Any]
Said = Sequence[str | datetime | None]
"""A sentence in parts; the times are shown as the reader's clock has them."""


class Fact(Struct, frozen=True):
    """A name and a value; if the value names things that can be shown, of which `kind` they are.

    A time of the kind `until` is counted down to.
    """

    name: str
    value: Any
    kind: str = ""


class Changed(Struct, frozen=True):
    """A field as it was and as it is, as text."""

    field: str
    old: str
    new: str


_UNSEEN = frozenset({"project", "brief", "last_command", "updated_at", "last_event_at"})
"""Fields that are for programs, or say only that something changed."""

_LONGEST_CHARS = 300

DETAILED = frozenset({"task", "agent", "handoff"})
"""The kinds of rows that have details."""

_KINDS: Mapping[str, str] = {
    "queue": "task", "agents": "agent", "handoffs": "handoff", "settings": "setting",
    "failures": "failure", "estimates": "estimate", "retros": "retrospective", "personas": "persona",
    "bookmarks": "bookmark", "memories": "memory", "decisions": "decision", "spikes": "spike",
    "patterns": "pattern", "sessions": "session",
}  # fmt: skip
"""What a row of a view is."""


def kind_of(view: str) -> str:
    """What people call a row of a view."""
    return _KINDS.get(view, view.replace("_", " "))


def said_of(kind: str, row: Item) -> Said:
    """What stands at the top: how it is with a task, an agent or a handoff."""
    return [part for part in _SAID[kind](row) if part]


def task_facts(row: Item) -> list[Fact]:
    """With `blocked_by` and `dependents`."""
    tries = f"{row['attempt']}, {row['failures']} of {_attempts(row)} failed" if row["attempt"] else None
    return _given(
        Fact("priority", row["priority"]),
        Fact("persona", row["persona"]),
        Fact("needs", row["capabilities"]),
        Fact("waits for", row["blocked_by"], "task"),
        Fact("came after", [each for each in row["depends_on"] if each not in row["blocked_by"]], "task"),
        Fact("waited for by", row["dependents"], "task"),
        Fact("part of", row["parent"], "task"),
        Fact("plan", row["plan"], "plan"),
        Fact("called in it", row["local"]),
        Fact("held by", row["holder"], "agent"),
        Fact("fence", row["fence"] or None),
        Fact("attempts", tries),
        Fact("lease until", row["lease_until"], "until"),
        Fact("last error", row["error"]),
        Fact("not before", row["run_after"]),
        Fact("tried again at", row["retry_at"], "until"),
        Fact("worked on for", span(row["worked_s"]) if row["worked_s"] else None),
        Fact("came in", row["enqueued_at"]),
        Fact("links", [f"{each['kind']} {each['to']}" for each in row["links"]]),
    )


def agent_facts(row: Item) -> list[Fact]:
    """What it is and has achieved."""
    rate = None if row["success_rate"] is None else f"{row['success_rate']:.0%}"
    return _given(
        Fact("platform", row["platform"]),
        Fact("can", row["capabilities"]),
        Fact("holds", row["tasks"], "task"),
        Fact("spawned", row["spawned_at"]),
        Fact("last event", row["last_event_at"]),
        Fact("decisions", row["decisions"]),
        Fact("claimed", row["claimed"]),
        Fact("completed", row["completed"]),
        Fact("failed", row["failed"]),
        Fact("success rate", rate),
        Fact("average time", None if row["average_s"] is None else span(row["average_s"])),
        Fact("leases expired", row["leases_expired"]),
        Fact("handoffs sent", row["handoffs_sent"]),
        Fact("handoffs received", row["handoffs_received"]),
    )


def handoff_facts(row: Item) -> list[Fact]:
    return _given(
        Fact("task", row["task"], "task"),
        Fact("from", row["from_agent"], "agent"),
        Fact("to", row["to_agent"], "agent"),
        Fact("to persona", row["to_persona"]),
        Fact("reason", row["reason"]),
        Fact("offered", row["initiated_at"]),
        Fact("answered", row["answered_at"]),
        Fact("answered by", row["answered_by"], "agent"),
        Fact("finished", row["finished_at"]),
        Fact("expires", row["expires_at"] if row["status"] == "initiated" else None, "until"),
        Fact("fence", row["fence"]),
        Fact("note", row["note"]),
    )


def fields_of(change: RowChange) -> list[Changed]:
    """The fields in which a row differs, as far as people see it."""
    told = [
        Changed(each.field.replace("_", " "), as_text(each.old), as_text(each.new))
        for each in change.fields
        if each.field not in _UNSEEN
    ]
    return [each for each in told if each.old != each.new]


def as_text(value: Any) -> str:
    """A value on one line, as much of it as tells it from others."""
    match value:
        case None | "" | () | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case str():
            text = value
        case list() | tuple() if all(isinstance(each, str) for each in value):
            text = ", ".join(value)
        case _:
            text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_CHARS else f"{text[:_LONGEST_CHARS]}…"


def _task_said(row: Item) -> Said:
    match row["status"]:
        case "queued":
            return [f"It can be claimed{_because(row['reason'])}."]
        case "blocked":
            return _blocked(row)
        case "claimed":
            return [f"{row['holder']} holds it and has not begun, {_tries(row)}."]
        case "in_progress":
            percent = "" if row["percent"] is None else f", {row['percent']} % done"
            return [f"{row['holder']} works on it, {_tries(row)}{percent}{_because(row['note'])}."]
        case "completed":
            by = (
                f"{row['completed_by']} completed it at "
                if row["completed_by"]
                else "It came in completed at "
            )
            return [by, row["finished_at"], "."]
        case "failed":
            again = ("; it is tried again at ", row["retry_at"]) if row["retry_at"] else ()
            return [f"The last attempt failed{_because(row['error'])}", *again, "."]
        case "dead":
            failures = "one failure" if row["failures"] == 1 else f"{row['failures']} failures"
            return [f"It is dead after {failures}{_because(row['reason'])}."]
        case _:
            return [f"It was cancelled{_because(row['reason'])}."]


def _blocked(row: Item) -> Said:
    if row["blocked_by"]:
        return [f"It waits for {', '.join(row['blocked_by'])}."]
    return ["It is not to run before ", row["run_after"], "."] if row["run_after"] else ["It waits."]


def _agent_said(row: Item) -> Said:
    if row["status"] == "terminated":
        return ["It ended at ", row["terminated_at"], f"{_because(row['reason'])}."]
    silent = "It has fallen silent. " if row["status"] == "stale" else ""
    if row["doing"] is None:
        return [f"{silent}It holds no task, since ", row["since"], "."]
    others = len(row["tasks"]) - 1
    beside = f" and holds {others} more" if others else ""
    return [f"{silent}It is at {row['doing']} since ", row["since"], f"{beside}."]


def _handoff_said(row: Item) -> Said:
    to = row["to_agent"] or f"any agent of persona {row['to_persona']}"
    match row["status"]:
        case "initiated":
            offer = f"{row['from_agent']} offers {row['task']} to {to}, who may answer until "
            return [offer, row["expires_at"], "."]
        case "accepted":
            return [f"{to} took {row['task']} over from {row['from_agent']} and is at it."]
        case "rejected":
            return [f"{row['answered_by']} declined it{_because(row['note'])}."]
        case "completed":
            return [f"{to} finished what {row['from_agent']} had begun{_because(row['note'])}."]
        case _:
            return [f"Nobody takes it any more{_because(row['note'])}."]


def _tries(row: Item) -> str:
    return f"attempt {row['attempt']} of {_attempts(row)}"


def _attempts(row: Item) -> int:
    attempts: int = row["retry"]["attempts"]
    return attempts


def _because(text: str) -> str:
    return f": {text.strip().rstrip('.')}" if text.strip() else ""


def _given(*facts: Fact) -> list[Fact]:
    """Without those that say nothing."""
    return list(_telling(facts))


def _telling(facts: tuple[Fact, ...]) -> Iterator[Fact]:
    for fact in facts:
        value = fact.value
        if isinstance(value, str) and fact.kind:
            yield Fact(fact.name, [value], fact.kind)
        elif value is not None and value not in ("", [], ()):
            yield fact


_SAID: Mapping[str, Callable[[Item], Said]] = {
    "task": _task_said,
    "agent": _agent_said,
    "handoff": _handoff_said,
}
