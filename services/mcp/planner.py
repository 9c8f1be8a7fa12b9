"""What a planner does: make plans, order and mend them, watch how they go, and check what came of them."""

import asyncio
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from domain.errors import InvalidCommand
from services.mcp import learning, reading
from services.mcp.beginning import AUDIT_TOOL, BEGIN_PLANNING
from services.mcp.desk import Desk
from services.mcp.line import Item
from services.mcp.tool import Arguments, Reply, Tool
from services.mcp.worker import ADD_TASK, Standing, State

DEFAULT_WAIT_S = 20
MAX_WAIT_S = 50
SETTLE_S = 0.3
"""After the first change, how long the read models are given to show it with those beside it."""

ENDED = ("completed", "failed", "dead", "cancelled")
WATCH = "watch: see how it goes"


class Planned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A task of a plan."""

    local: Annotated[str, Meta(description="its name within this plan")]
    title: str
    description: str = ""
    input: Any = None
    after: Annotated[list[str], Meta(description="local names or tasks to finish first")] = field(
        default_factory=list
    )
    parent: str = ""
    persona: str = ""
    capabilities: list[str] = field(default_factory=list)
    priority: int = 0


class Plan(Arguments, frozen=True, kw_only=True):
    tasks: list[Planned]


class Enqueued(Reply, kw_only=True, omit_defaults=True):
    """The ids of the tasks by their local names."""

    plan: str = ""
    tasks: dict[str, str] = field(default_factory=dict)


async def plan(desk: Desk, asked: Plan) -> Enqueued:
    answer = await desk.line.ask(
        "task.plan", {"tasks": [_fields(each) for each in asked.tasks], **desk.delegating()}
    )
    return Enqueued(next=WATCH, plan=answer["plan"], tasks=answer["tasks"])


def _fields(planned: Planned) -> Item:
    names = ("local", "title", "description", "input", "parent", "persona", "capabilities", "priority")
    fields = {name: value for name in names if (value := getattr(planned, name))}
    return {**fields, "depends_on": planned.after}


class ChangeTask(Arguments, frozen=True, kw_only=True):
    task: str
    kind: Literal["cancel", "retry", "reprioritize"]
    priority: Annotated[int, Meta(description="of reprioritize")] | None = None
    reason: str = ""


class Changed(Reply, kw_only=True, omit_defaults=True):
    task: str = ""
    unchanged: bool = False


async def change_task(desk: Desk, asked: ChangeTask) -> Changed:
    fields: Item = {"task": asked.task}
    if asked.kind == "reprioritize":
        if asked.priority is None:
            raise InvalidCommand(why="reprioritize needs a priority; higher goes first.")
        fields["priority"] = asked.priority
    elif asked.kind == "cancel" and asked.reason:
        fields["reason"] = asked.reason
    answer = await desk.line.ask(f"task.{asked.kind}", fields)
    return Changed(next=WATCH, task=asked.task, unchanged=answer.get("unchanged", False))


class Tasks(Arguments, frozen=True, kw_only=True):
    status: list[
        Literal["queued", "blocked", "claimed", "in_progress", "failed", "dead", "completed", "cancelled"]
    ] = field(default_factory=list)
    plan: str | None = None
    persona: str | None = None
    text: str | None = None
    cursor: str = ""


class Listed(Reply, kw_only=True, omit_defaults=True):
    """Rows of a list, and the cursor of the next page if there is one."""

    items: list[Item] = field(default_factory=list)
    cursor: str = ""


async def tasks(desk: Desk, asked: Tasks) -> Listed:
    rows, cursor = await reading.page(
        desk.line, "queue", asked.cursor, **_chosen(asked, "plan", "persona", "text"),
        status=asked.status or reading.OPEN,
    )  # fmt: skip
    return Listed(next=_page(cursor, "tasks"), items=[reading.short_task(row) for row in rows], cursor=cursor)


class Results(Arguments, frozen=True, kw_only=True):
    plan: str | None = None
    parent: str | None = None
    cursor: str = ""


async def results(desk: Desk, asked: Results) -> Listed:
    """What ended, with its result or why it failed."""
    rows, cursor = await reading.page(
        desk.line, "queue", asked.cursor, status=ENDED, **_chosen(asked, "plan", "parent")
    )
    fields = ("task", "title", "status", "result", "error", "reason", "completed_by", "failures")
    items = [
        {
            name: reading.cut(row[name], reading.RESULT_CHARS, row["task"])
            for name in fields
            if row[name] not in (None, "", 0)
        }
        for row in rows
    ]
    return Listed(next=_page(cursor, "results"), items=items, cursor=cursor)


class Watch(Arguments, frozen=True, kw_only=True):
    cursor: Annotated[str, Meta(description="of the last watch: only what changed since")] = ""
    wait_s: Annotated[int, Meta(ge=0, le=MAX_WAIT_S)] = DEFAULT_WAIT_S


class Seen(Reply, kw_only=True, omit_defaults=True):
    """How many tasks have each status, and what happened last, the latest first."""

    tasks: dict[str, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    cursor: str = ""


async def watch(desk: Desk, asked: Watch) -> Seen:
    """At once if something happened since the cursor, else when something does or the wait is over."""
    since = reading.position_of(asked.cursor)
    happened = asyncio.Event()

    async def heard(_: str, __: bytes) -> None:
        happened.set()

    unsubscribe = await desk.line.listen(heard)
    try:
        found = await _since(desk, since)
        if asked.cursor and not found and await _waited(happened, asked.wait_s):
            await asyncio.sleep(SETTLE_S)
            found = await _since(desk, since)
    finally:
        await unsubscribe()
    standing = await reading.counts(desk.line)
    last = max([since, *(row["position"] for row in found)])
    left = any(standing.get(status) for status in reading.OPEN)
    told = "watch: go on with this cursor" if left else "results: nothing is open any more"
    changes = [reading.cut(row["words"], reading.SHORT_CHARS) for row in found]
    return Seen(next=told, tasks=standing, changes=changes, cursor=str(last))


async def _since(desk: Desk, position: int) -> list[Item]:
    rows = await desk.line.read("activity", limit=reading.PAGE_ROWS)
    return [row for row in rows if row["position"] > position]


async def _waited(happened: asyncio.Event, wait_s: float) -> bool:
    try:
        await asyncio.wait_for(happened.wait(), wait_s)
    except TimeoutError:
        return False
    return True


class Named(Arguments, frozen=True, kw_only=True):
    text: str | None = None
    cursor: str = ""


async def personas(desk: Desk, asked: Named) -> Listed:
    rows, cursor = await reading.page(desk.line, "personas", asked.cursor, **_chosen(asked, "text"))
    items = [
        {
            "persona": row["persona"],
            "definition": reading.cut(row["definition"], reading.SHORT_CHARS),
        }
        for row in rows
    ]
    return Listed(next=_page(cursor, "personas"), items=items, cursor=cursor)


async def look(desk: Desk, asked: State) -> Standing:
    """One task or agent; or the open tasks."""
    if asked.about:
        return Standing(next=WATCH, items=[await reading.look_up(desk.line, asked.about)])
    standing = Standing(next=WATCH, tasks=await reading.counts(desk.line))
    rows, standing.cursor = await reading.page(desk.line, "queue", asked.cursor, status=reading.OPEN)
    standing.items = [reading.short_task(row) for row in rows]
    return standing


def _chosen(asked: Arguments, *names: str) -> Item:
    return {name: value for name in names if (value := getattr(asked, name)) is not None}


def _page(cursor: str, tool: str) -> str:
    return f"{tool}: the next page with this cursor, or go on" if cursor else "go on: that is all"


TASKS = Tool(name="tasks", takes=Tasks, gives=Listed, run=tasks, says="List tasks; the open ones by default.")
RESULTS = Tool(
    name="results", takes=Results, gives=Listed, run=results,
    says="What the tasks that ended came to, to check it.",
)  # fmt: skip
WATCH_TOOL = Tool(
    name="watch", takes=Watch, gives=Seen, run=watch,
    says="How the work stands and what changed; with a cursor it waits for the next change.",
)  # fmt: skip
LOOK = Tool(
    name="state", takes=State, gives=Standing, run=look, says="One task or agent in full, or all open tasks."
)
CHANGE = Tool(
    name="change_task", takes=ChangeTask, gives=Changed, run=change_task, changes=True, destroys=True,
    says="Cancel a task, retry a failed or dead one, or change its priority.",
)  # fmt: skip

PLANNER: tuple[Tool, ...] = (
    BEGIN_PLANNING,
    Tool(
        name="plan", takes=Plan, gives=Enqueued, run=plan, changes=True,
        says="Add a whole graph of tasks at once, all or none. A task runs when those it is after are done, "
        "and is given their results.",
    ),
    ADD_TASK,
    CHANGE,
    TASKS,
    WATCH_TOOL,
    RESULTS,
    AUDIT_TOOL,
    LOOK,
    Tool(name="personas", takes=Named, gives=Listed, run=personas, says="Who may be given tasks."),
    learning.LEARNED,
    learning.RECORD,
)  # fmt: skip
