"""Rows of the views as a model reads them: what matters of each, short, and in pages. Pure but for the reads.

What is left out of a long value can be read at the resource that is named.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from domain.errors import NotFound
from services.errors import BadInput
from services.mcp.line import Item, Line

PAGE_ROWS = 10
SHORT_CHARS = 160
RESULT_CHARS = 600

_TASK = ("task", "title", "status", "holder", "percent", "note", "error", "blocked_by", "retry_at", "reason")
_TASK_FULL = (
    *_TASK, "description", "input", "result", "depends_on", "dependents", "parent", "persona", "capabilities",
    "priority", "plan", "attempt", "failures", "handoff", "completed_by",
)  # fmt: skip
_AGENT = ("agent", "persona", "status", "doing", "tasks", "completed", "failed", "reason")

OPEN = ("queued", "blocked", "claimed", "in_progress", "failed", "dead")


def offset_of(cursor: str) -> int:
    """The offset that a cursor of ours stands for. Raises BadInput."""
    if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 7):
        raise BadInput(verb="cursor", why="it is none that an answer gave; leave it out to begin anew")
    return int(cursor or 0)


async def page(line: Line, view: str, cursor: str, **params: Any) -> tuple[list[Item], str]:
    """The rows of one page, and the cursor of the next; empty if there is none."""
    offset = offset_of(cursor)
    rows = await line.read(view, limit=PAGE_ROWS + 1, offset=offset, **params)
    return rows[:PAGE_ROWS], str(offset + PAGE_ROWS) if len(rows) > PAGE_ROWS else ""


def short_task(row: Item) -> Item:
    return _kept(row, _TASK, SHORT_CHARS, row["task"])


def full_task(row: Item) -> Item:
    """All that a worker or a planner asks of one task; long values cut."""
    return _kept(row, _TASK_FULL, RESULT_CHARS, row["task"])


def short_agent(row: Item) -> Item:
    return _kept(row, _AGENT, SHORT_CHARS, "")


async def counts(line: Line) -> dict[str, int]:
    """How many tasks have each status."""
    rows = await line.read("counts")
    found: dict[str, int] = rows[0]["tasks"]
    return found


async def look_up(line: Line, name: str) -> Item:
    """A task or an agent of this name. Raises NotFound."""
    if rows := await line.read("queue", entity=name):
        return full_task(rows[0])
    if rows := await line.read("agents", entity=name):
        return short_agent(rows[0])
    raise NotFound(kind="task or agent", id=name)


def cut(value: Any, chars: int, task: str = "") -> Any:
    """The value, or its beginning if it is too long as JSON."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) <= chars:
        return value
    where = f" (all of it: coord://task/{task})" if task else ""
    return f"{text[:chars]}…{where}"


def _kept(row: Item, fields: Sequence[str], chars: int, task: str) -> Item:
    """These fields, as far as they say anything."""
    return {
        name: cut(row[name], chars, task) for name in fields if row.get(name) not in (None, "", [], (), {}, 0)
    }


def position_of(cursor: str) -> int:
    """The position that a cursor of `watch` stands for; 0 without one. Raises BadInput."""
    if cursor and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise BadInput(verb="cursor", why="it is none that an answer gave; leave it out to begin anew")
    return int(cursor or 0)
