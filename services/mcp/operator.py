"""What an operator does: settings, agents, tasks that are stuck, and the project as it was."""

import asyncio
from typing import Annotated, Any

from msgspec import Meta, field

from domain.errors import CoordError, UnknownTask
from services.mcp import learning, planner, reading
from services.mcp.desk import Desk
from services.mcp.line import Item
from services.mcp.past import NoPastHere, Past
from services.mcp.planner import Changed, Listed
from services.mcp.tool import Arguments, Reply, Tool
from services.mcp.worker import ADD_TASK

POINT = "a position, #sequence, ISO time, '5 minutes ago', a bookmark or now"


class OnlyTheHolder(CoordError):
    code = "not_permitted"
    says = "Through this door a task is released by its holder alone; terminate {holder}, or cancel the task."


class NotHeldByAnybody(CoordError):
    code = "wrong_state"
    says = "Nobody holds {task}; it is {status}."


class Agents(Arguments, frozen=True, kw_only=True):
    everyone: Annotated[bool, Meta(description="the terminated ones too")] = False
    cursor: str = ""


async def agents(desk: Desk, asked: Agents) -> Listed:
    status = {} if asked.everyone else {"status": ["active", "stale"]}
    rows, cursor = await reading.page(desk.line, "agents", asked.cursor, **status)
    return Listed(next="go on", items=[reading.short_agent(row) for row in rows], cursor=cursor)


class Release(Arguments, frozen=True, kw_only=True):
    task: str
    reason: str = ""


async def release(desk: Desk, asked: Release) -> Changed:
    """In the holder's name, for a lease is the holder's to give back."""
    rows = await desk.line.read("queue", entity=asked.task)
    if not rows:
        raise UnknownTask(task=asked.task)
    row = rows[0]
    if row["holder"] is None:
        raise NotHeldByAnybody(task=asked.task, status=row["status"])
    if not desk.line.may_act_as_others:
        raise OnlyTheHolder(holder=row["holder"])
    fields = {"task": asked.task, "fence": row["fence"], "reason": asked.reason}
    await desk.line.ask_as(row["holder"], "task.release", fields)
    return Changed(next="state: see how it stands", task=asked.task)


class Terminate(Arguments, frozen=True, kw_only=True):
    agent: str
    reason: str = ""


class Terminated(Reply, kw_only=True, omit_defaults=True):
    agent: str = ""
    unchanged: bool = False


async def terminate(desk: Desk, asked: Terminate) -> Terminated:
    answer = await desk.line.ask("agent.terminate", {"agent": asked.agent, "reason": asked.reason})
    unchanged = answer.get("unchanged", False)
    return Terminated(next="agents: see who is left", agent=asked.agent, unchanged=unchanged)


class Settings(Arguments, frozen=True, kw_only=True):
    key: str | None = None
    cursor: str = ""


async def settings(desk: Desk, asked: Settings) -> Listed:
    entity = {"entity": asked.key} if asked.key else {}
    rows, cursor = await reading.page(desk.line, "settings", asked.cursor, scope="project", **entity)
    items = [{name: row[name] for name in ("key", "value", "meaning") if row.get(name)} for row in rows]
    return Listed(next="set_setting: to change one", items=items, cursor=cursor)


class SetSetting(Arguments, frozen=True, kw_only=True):
    key: str
    value: Annotated[Any, Meta(description="leave out for the default")] = None


class Set(Reply, kw_only=True, omit_defaults=True):
    key: str = ""
    unchanged: bool = False


async def set_setting(desk: Desk, asked: SetSetting) -> Set:
    if asked.value is None:
        answer = await desk.line.ask("setting.unset", {"key": asked.key})
    else:
        answer = await desk.line.ask("setting.set", {"key": asked.key, "value": asked.value})
    return Set(next="settings: see what holds", key=asked.key, unchanged=answer.get("unchanged", False))


class Replay(Arguments, frozen=True, kw_only=True):
    until: Annotated[str, Meta(description=POINT)]
    view: Annotated[str, Meta(description="queue, agents, handoffs, settings, failures, …")] = "queue"
    entity: str | None = None
    cursor: str = ""


class Replayed(Listed, kw_only=True, omit_defaults=True):
    position: int = 0


async def replay(desk: Desk, asked: Replay) -> Replayed:
    offset = reading.offset_of(asked.cursor)
    params: Item = {"limit": reading.PAGE_ROWS + 1, "offset": offset}
    if asked.entity:
        params["entity"] = asked.entity
    past = past_of(desk)
    position, rows = await asyncio.to_thread(past.replay, desk.line.project, asked.view, asked.until, params)
    more = str(offset + reading.PAGE_ROWS) if len(rows) > reading.PAGE_ROWS else ""
    items = [_shown(row, asked.view) for row in rows[: reading.PAGE_ROWS]]
    return Replayed(next="diff: compare it with another point", items=items, cursor=more, position=position)


def _shown(row: Item, view: str) -> Item:
    """A row in short where there is a short form, else all that it says."""
    if view == "queue":
        return reading.short_task(row)
    if view == "agents":
        return reading.short_agent(row)
    kept = {
        name: value for name, value in row.items() if name != "project" and value not in (None, "", [], ())
    }
    return {name: reading.cut(value, reading.SHORT_CHARS) for name, value in kept.items()}


class Compare(Arguments, frozen=True, kw_only=True):
    left: Annotated[str, Meta(description=POINT)]
    right: str = "now"
    entity: str | None = None


class Compared(Reply, kw_only=True, omit_defaults=True):
    """What differs between two positions, and the event that made each difference."""

    left: int = 0
    right: int = 0
    differences: list[Item] = field(default_factory=list)


async def compare(desk: Desk, asked: Compare) -> Compared:
    past = past_of(desk)
    found = await asyncio.to_thread(
        past.diff, desk.line.project, asked.left, asked.right, asked.entity, reading.PAGE_ROWS
    )
    told = "replay: look at either point"
    return Compared(next=told, left=found["left"], right=found["right"], differences=found["differences"])


def past_of(desk: Desk) -> Past:
    """Raises NoPastHere."""
    if desk.past is None:
        raise NoPastHere
    return desk.past


OBSERVER: tuple[Tool, ...] = (
    planner.LOOK,
    planner.TASKS,
    planner.WATCH_TOOL,
    planner.RESULTS,
    Tool(name="agents", takes=Agents, gives=Listed, run=agents, says="Who is at work, and how it goes."),
    Tool(name="settings", takes=Settings, gives=Listed, run=settings, says="What is set for the project."),
    Tool(name="replay", takes=Replay, gives=Replayed, run=replay, says="A list as it was at a point."),
    Tool(name="diff", takes=Compare, gives=Compared, run=compare, says="What differs between two points."),
    learning.LEARNED,
)  # fmt: skip

OPERATOR: tuple[Tool, ...] = (
    *OBSERVER,
    ADD_TASK,
    planner.CHANGE,
    Tool(
        name="release", takes=Release, gives=Changed, run=release, changes=True, destroys=True,
        says="Take a task from whoever holds it and put it back into the queue.",
    ),
    Tool(
        name="terminate", takes=Terminate, gives=Terminated, run=terminate, changes=True, destroys=True,
        says="End an agent; what it holds goes back to the queue.",
    ),
    Tool(
        name="set_setting", takes=SetSetting, gives=Set, run=set_setting, changes=True,
        says="Change a setting of the project.",
    ),
)  # fmt: skip
