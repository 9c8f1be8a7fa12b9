"""What an operator does: settings, agents, tasks that are stuck, and the project as it was."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, field

from domain.errors import CoordError
from services.mcp import learning, planner, reading
from services.mcp.desk import Desk
from services.mcp.line import Item
from services.mcp.planner import Changed, Listed
from services.mcp.tool import Arguments, Reply, Tool
from services.mcp.worker import ADD_TASK

if TYPE_CHECKING:
    from services.mcp.past import Past

POINT = "a position, #sequence, ISO time, '5 minutes ago', a bookmark or now"


class NoPastHere(CoordError):
    code = "no_past_here"
    says = "The past can be read only where the database is: over the gateway's /mcp, or on its own machine."


class Agents(Arguments, frozen=True, kw_only=True):
    everyone: Annotated[bool, Meta(description="the terminated ones too")] = False
    cursor: str = ""


async def agents(desk: Desk, asked: Agents) -> Listed:
    status = {} if asked.everyone else {"status": ["active", "stale"]}
    rows, cursor = await reading.page(desk.line, "agents", asked.cursor, **status)
    return Listed(next="go on", items=[reading.short_agent(row) for row in rows], cursor=cursor)


class Requeue(Arguments, frozen=True, kw_only=True):
    task: str
    reason: str = ""


async def requeue(desk: Desk, asked: Requeue) -> Changed:
    answer = await desk.line.ask("task.requeue", {"task": asked.task, "reason": asked.reason})
    unchanged = answer.get("unchanged", False)
    return Changed(next="state: see how it stands", task=asked.task, unchanged=unchanged)


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
    cursor: str = ""


class Compared(Reply, kw_only=True, omit_defaults=True):
    """What differs between two positions, and the event that made each difference."""

    left: int = 0
    right: int = 0
    differences: list[Item] = field(default_factory=list)
    cursor: str = ""


async def compare(desk: Desk, asked: Compare) -> Compared:
    offset = reading.offset_of(asked.cursor)
    end = offset + reading.PAGE_ROWS
    past = past_of(desk)
    found = await asyncio.to_thread(
        past.diff, desk.line.project, asked.left, asked.right, asked.entity, end + 1
    )
    left, right, differences = found["left"], found["right"], found["differences"]
    more = len(differences) > end
    told = f"diff: more with this cursor and right={right}" if more else "replay: look at either point"
    cursor = str(end) if more else ""
    return Compared(next=told, left=left, right=right, differences=differences[offset:end], cursor=cursor)


def past_of(desk: Desk) -> "Past":
    """Raises NoPastHere."""
    if desk.database_url is None:
        raise NoPastHere
    from services.mcp.past import Past  # it loads the database's client, which few sessions need

    return Past(desk.database_url, desk.measured)


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
        name="requeue", takes=Requeue, gives=Changed, run=requeue, changes=True, destroys=True,
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
