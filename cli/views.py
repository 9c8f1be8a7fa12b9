"""The lists of the read models as people see them: which columns, and how many rows; `--json` has it all.

A view that is not named here is shown with all its columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.context import Context
from cli.options import MAX_ROWS, given
from cli.output import UNSEEN, Item, print_rows, warn
from cli.session import read

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "agents": (
        "agent", "persona", "status", "doing", "since", "completed", "failed", "success_rate", "average_s",
    ),
    "queue": ("task", "status", "priority", "persona", "title", "holder", "fence", "blocked_by"),
    "handoffs": ("handoff", "task", "status", "from_agent", "to", "reason", "initiated_at"),
    "settings": ("scope", "user", "key", "value", "source", "meaning"),
    "setting_history": ("position", "at", "by", "scope", "user", "key", "old", "new"),
    "failures": ("failure", "feature", "approach", "why", "lesson", "recorded_by"),
    "estimates": (
        "estimate", "feature", "complexity", "estimated_sessions", "actual_sessions", "ratio", "recorded_by",
    ),
    "decisions": ("decision", "title", "choice", "status", "decided_by", "decided_at"),
    "spikes": ("spike", "question", "approach", "viable", "result", "lessons", "minutes"),
    "patterns": ("pattern", "description", "uses", "average_compliance"),
    "pattern_uses": ("pattern", "file", "compliance", "note", "agent", "used_at"),
    "complexity": ("file", "score", "lines", "functions", "dependencies", "growth", "warning", "measured_at"),
    "documentation": ("library", "release", "topic", "source", "expires_at", "cached_by"),
    "actions": ("recorded_at", "agent", "phase", "action", "seconds", "success", "error", "task"),
    "sessions": ("session", "agent", "role", "status", "focus", "task", "delegated", "started_at", "reason"),
    "memories": ("memory", "kind", "importance", "uses", "status", "agent", "tags", "text"),
    "bookmarks": ("bookmark", "sequence", "note", "status", "set_by", "set_at"),
    "retros": ("retro", "feature", "surprises", "would_change", "new_patterns", "spike_accuracy"),
    "personas": ("persona", "definition", "capabilities", "built_in"),
    "activity": ("position", "at", "event", "words"),
}  # fmt: skip


def list_view(
    context: Context, view: str, nothing: str, *, limit: int, offset: int, **params: Any
) -> Sequence[Item]:
    """Print a page of a view, and say so if there is more; the rows that were printed."""
    rows = read(context, view, limit=min(limit + 1, MAX_ROWS), offset=offset, **given(**params))
    if len(rows) > limit:
        warn(f"There are more than these {limit}; --offset {offset + limit} shows what follows.")
    print_view(context, view, rows[:limit], nothing)
    return rows[:limit]


def print_view(context: Context, view: str, rows: Sequence[Item], nothing: str) -> None:
    """Print rows of a view; `nothing` is what people are told if there are none."""
    print_rows(context, rows if context.as_json else for_people(view, rows), columns(view, rows), nothing)


def columns(view: str, rows: Sequence[Item]) -> Sequence[str]:
    """What people see of a view: the columns chosen for it, or else all that its rows have."""
    if view in COLUMNS:
        return COLUMNS[view]
    return [name for name in rows[0] if name not in UNSEEN] if rows else ()


def for_people(view: str, rows: Sequence[Item]) -> Sequence[Item]:
    """The rows, with what two columns say together said in one."""
    if view != "handoffs":
        return rows
    return [{**row, "to": row["to_agent"] or f"persona {row['to_persona']}"} for row in rows]
