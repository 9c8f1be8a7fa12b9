"""What a worker does: claim, report, hand off, ask how things stand, and learn from what went wrong.

Each tool is one call for one thing a model wants. It translates to commands and reads, and decides nothing.
"""

import asyncio
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from domain.errors import InvalidCommand
from services.mcp import learning, reading
from services.mcp.beginning import BEGIN_WORK
from services.mcp.desk import Desk
from services.mcp.line import Item, Line
from services.mcp.tool import Arguments, Reply, Tool

DEFAULT_WAIT_S = 20
MAX_WAIT_S = 50
"""Below the minute after which many clients give a call up."""

MAX_RESULTS = 20
MAX_FAILURES = 3

WORK = "report: kind=complete with result when done, kind=fail if it cannot be done"
CLAIM = "claim: the next task"


class Claim(Arguments, frozen=True, kw_only=True):
    task: Annotated[str, Meta(description="this one; else the next that fits you")] | None = None
    wait_s: (
        Annotated[int, Meta(ge=0, le=MAX_WAIT_S, description="for one; else 20 if any is open")] | None
    ) = None


class Brief(Reply, kw_only=True, omit_defaults=True):
    """A task with all that is needed to begin; `results` are those of its dependencies."""

    task: str = ""
    title: str = ""
    description: str = ""
    input: Any = None
    results: Item = field(default_factory=dict)
    handoff: Item = field(default_factory=dict)
    failed_before: list[str] = field(default_factory=list)
    attempt: int = 1
    lease_s: float = 0.0


async def claim(desk: Desk, asked: Claim) -> Brief:
    lease = await desk.claim(asked.task, float(asked.wait_s or 0))
    if lease is None and asked.wait_s is None and await _open(desk.line):
        lease = await desk.claim(None, DEFAULT_WAIT_S)
    if lease is None:
        return Brief(next=_nothing(await _open(desk.line)))
    results, failed = await asyncio.gather(_results(desk.line, lease), _failed_before(desk.line, lease))
    return Brief(
        next=WORK,
        task=lease["task"],
        title=lease["title"],
        description=lease["description"],
        input=lease["input"],
        results=results,
        handoff=_handoff(lease),
        failed_before=failed,
        attempt=lease.get("attempt", 1),
        lease_s=lease["lease_s"],
    )


async def _open(line: Line) -> dict[str, int]:
    """How many tasks are not finished, by status."""
    found = await reading.counts(line)
    return {status: found[status] for status in reading.OPEN if found.get(status)}


def _nothing(left: dict[str, int]) -> str:
    """Whether it is worth asking again."""
    if not left:
        return "stop: no task is left"
    told = ", ".join(f"{count} {status}" for status, count in left.items())
    return f"claim: again later; nothing fits you now ({told})"


async def _results(line: Line, lease: Item) -> Item:
    """What the tasks that this one waited for came to."""
    wanted = lease["depends_on"][:MAX_RESULTS]
    rows = await asyncio.gather(*(line.read("queue", entity=name) for name in wanted))
    found = {
        row["task"]: reading.cut(row["result"], reading.RESULT_CHARS, row["task"])
        for each in rows
        for row in each
        if row["result"] is not None
    }
    if len(lease["depends_on"]) > len(wanted):
        found["…"] = "more of them: coord://task/" + lease["task"]
    return found


async def _failed_before(line: Line, lease: Item) -> list[str]:
    """What ended earlier attempts, and what was learned on this task, or on others that are like it."""
    task = lease["task"]
    own, alike = await asyncio.gather(
        line.read("failures", task=task, limit=MAX_FAILURES),
        learning.alike(line, lease["title"], lease["description"]),
    )
    lessons = {row["failure"]: row for row in (*own, *alike)}
    told = [learning.in_words(row) for row in [*lessons.values()][:MAX_FAILURES]]
    if lease.get("attempt", 1) > 1:
        events = ["task.failed", "task.lease_expired"]
        ends = await line.read("activity", entity=[task], event=events, limit=MAX_FAILURES)
        told += [reading.cut(row["words"], reading.SHORT_CHARS) for row in ends]
    return told


def _handoff(lease: Item) -> Item:
    """Who handed it on, and what that agent wrote for us."""
    if "handoff" not in lease:
        return {}
    return {"from": lease["from_agent"], "reason": lease["reason"], **lease["context"]}


class Report(Arguments, frozen=True, kw_only=True):
    kind: Literal["progress", "complete", "fail", "release"]
    note: Annotated[str, Meta(description="how it goes, or why")] = ""
    result: Annotated[Any, Meta(description="of complete: JSON, what later tasks need")] = None
    percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    final: Annotated[bool, Meta(description="of fail: do not try again")] = False
    task: Annotated[str, Meta(description="if you hold several")] | None = None


class Reported(Reply, kw_only=True, omit_defaults=True):
    """How the task stands, and which others can run now."""

    task: str = ""
    status: str = ""
    freed: list[str] = field(default_factory=list)
    retry_at: str = ""


async def report(desk: Desk, said: Report) -> Reported:
    match said.kind:
        case "progress":
            fields: Item = {"note": said.note}
            if said.percent is not None:
                fields["percent"] = said.percent
            answer = await desk.tell("task.progress", said.task, fields, ends=False)
            return Reported(next=WORK, task=answer["task"], status="in_progress")
        case "complete":
            answer = await desk.tell("task.complete", said.task, {"result": said.result}, ends=True)
            freed = answer.get("queued", [])
            return Reported(next=CLAIM, task=answer["task"], status="completed", freed=freed)
        case "fail":
            if not said.note:
                raise InvalidCommand(why="A failure needs a note: say what went wrong.")
            fields = {"error": said.note, "retryable": not said.final}
            answer = await desk.tell("task.fail", said.task, fields, ends=True)
            told = "record: kind=failure with what others should know, then claim"
            retry_at = answer.get("retry_at") or ""
            return Reported(next=told, task=answer["task"], status=answer["status"], retry_at=retry_at)
        case "release":
            answer = await desk.tell("task.release", said.task, {"reason": said.note}, ends=True)
            return Reported(next=CLAIM, task=answer["task"], status="queued")


class HandOff(Arguments, frozen=True, kw_only=True):
    to_agent: str | None = None
    to_persona: str | None = None
    goal: str = ""
    done: list[str] = field(default_factory=list)
    ruled_out: Annotated[list[str], Meta(description="no use trying")] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    next_step: str = ""
    reason: str = ""
    task: str | None = None


class Offered(Reply, kw_only=True, omit_defaults=True):
    """An offer that somebody may accept until it expires."""

    handoff: str = ""
    expires_at: str = ""


async def hand_off(desk: Desk, asked: HandOff) -> Offered:
    names = ("goal", "done", "ruled_out", "decisions", "artifacts", "next_step")
    context = {name: value for name in names if (value := getattr(asked, name))}
    to = {"to_agent": asked.to_agent, "to_persona": asked.to_persona}
    fields = {"context": context, "reason": asked.reason, **{name: who for name, who in to.items() if who}}
    answer = await desk.tell("handoff.initiate", asked.task, fields, ends=False)
    desk.offered.add(answer["task"])
    told = "claim: another task; you keep this one until somebody takes it over"
    return Offered(next=told, handoff=answer["handoff"], expires_at=answer["expires_at"])


class State(Arguments, frozen=True, kw_only=True):
    about: Annotated[str, Meta(description="a task or agent; else all open tasks")] = ""
    cursor: str = ""


class Standing(Reply, kw_only=True, omit_defaults=True):
    """Who you are, what you hold, how many tasks there are of each status, and the rows asked for."""

    agent: str = ""
    holds: list[str] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    cursor: str = ""


async def state(desk: Desk, asked: State) -> Standing:
    standing = Standing(next=WORK if desk.held else CLAIM, agent=desk.agent, holds=[*desk.held])
    if asked.about:
        standing.items = [await reading.look_up(desk.line, asked.about)]
        return standing
    standing.tasks = await reading.counts(desk.line)
    rows, standing.cursor = await reading.page(desk.line, "queue", asked.cursor, status=reading.OPEN)
    standing.items = [reading.short_task(row) for row in rows]
    return standing


class AddTask(Arguments, frozen=True, kw_only=True):
    title: str
    description: str = ""
    input: Any = None
    after: Annotated[list[str], Meta(description="tasks to finish first")] = field(default_factory=list)
    parent: str | None = None
    persona: Annotated[str, Meta(description="who may do it")] | None = None
    priority: int = 0


class Added(Reply, kw_only=True, omit_defaults=True):
    task: str = ""
    status: str = ""
    failed_before: list[str] = field(default_factory=list)


async def add_task(desk: Desk, asked: AddTask) -> Added:
    fields = {"title": asked.title, "depends_on": asked.after, **desk.delegating()}
    for name in ("description", "input", "parent", "persona", "priority"):
        if value := getattr(asked, name):
            fields[name] = value
    answer = await desk.line.ask("task.enqueue", fields)
    told = WORK if desk.held else "state: see how it stands"
    alike = await learning.alike(desk.line, asked.title, asked.description)
    failed = [learning.in_words(row) for row in alike]
    return Added(next=told, task=answer["task"], status=answer["status"], failed_before=failed)


ADD_TASK = Tool(
    name="add_task", says="Add a task for anybody to do, as when yours is too big.",
    takes=AddTask, gives=Added, run=add_task, changes=True,
)  # fmt: skip

WORKER: tuple[Tool, ...] = (
    BEGIN_WORK,
    Tool(
        name="claim", takes=Claim, gives=Brief, run=claim, changes=True,
        says="Get a task to do, with its input, the results it builds on and what failed before. Waits for "
        "one if there is none. It stays yours, with no heartbeats from you, until you report its end.",
    ),
    Tool(
        name="report", takes=Report, gives=Reported, run=report, changes=True,
        says="Say how your task goes or ends. release gives it back untried.",
    ),
    Tool(
        name="hand_off", takes=HandOff, gives=Offered, run=hand_off, changes=True,
        says="Offer your task to an agent or persona, with all that the next one must know.",
    ),
    Tool(name="state", takes=State, gives=Standing, run=state, says="What you hold and how the tasks stand."),
    learning.LEARNED,
    learning.RECORD,
    ADD_TASK,
)  # fmt: skip
