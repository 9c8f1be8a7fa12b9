"""Resources: one task, one agent, or a list as it was, in full, by URI. Pure but for the reads.

coord://task/{id}    coord://agent/{id}    coord://replay/{view}?until={point}
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from domain.errors import CoordError, UnknownAgent, UnknownTask
from services.errors import BadInput
from services.mcp.desk import Desk
from services.mcp.operator import past_of

RECENT_EVENTS = 20
REPLAY_ROWS = 100

TEMPLATES: Mapping[str, tuple[str, str]] = {
    "task": ("coord://task/{id}", "A task with all there is: input, result, handoffs, what happened."),
    "agent": ("coord://agent/{id}", "An agent: its figures, what it holds, what it did last."),
    "replay": (
        "coord://replay/{view}{?until,entity}",
        "A list (queue, agents, handoffs, …) as it was at a point: a position, #sequence, time or bookmark.",
    ),
}
"""The URI template of each kind and what stands there."""


class NoSuchResource(CoordError):
    code = "not_found"
    says = "{uri} is none of coord://task/ID, coord://agent/ID and coord://replay/VIEW?until=POINT."


async def read(desk: Desk, uri: str) -> str:
    """The resource as JSON. Raises NoSuchResource, UnknownTask, UnknownAgent and what reads raise."""
    parts = urlsplit(uri)
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "coord" or not name:
        raise NoSuchResource(uri=uri[:200])
    match parts.netloc:
        case "task":
            found: Any = await _task(desk, name)
        case "agent":
            found = await _agent(desk, name)
        case "replay":
            found = await _replay(desk, name, dict(parse_qsl(parts.query)))
        case _:
            raise NoSuchResource(uri=uri[:200])
    return msgspec.json.encode(found).decode()


async def _task(desk: Desk, name: str) -> Any:
    try:
        return (await desk.line.read("task", task=name))[0]
    except CoordError as error:
        if error.code == "not_found":
            raise UnknownTask(task=name) from error
        raise


async def _agent(desk: Desk, name: str) -> Any:
    rows, held, recent = await asyncio.gather(
        desk.line.read("agents", entity=name),
        desk.line.read("queue", agent=name),
        desk.line.read("activity", agent=name, limit=RECENT_EVENTS),
    )
    if not rows:
        raise UnknownAgent(agent=name)
    return {**rows[0], "held": held, "activity": recent}


async def _replay(desk: Desk, view: str, query: dict[str, str]) -> Any:
    if not query.get("until") or query.keys() - {"until", "entity"}:
        raise BadInput(verb="coord://replay", why="it takes until=POINT and, if you like, entity=ID")
    params = {"limit": REPLAY_ROWS, **({"entity": query["entity"]} if "entity" in query else {})}
    past = past_of(desk)
    position, rows = await asyncio.to_thread(past.replay, desk.line.project, view, query["until"], params)
    return {"position": position, "rows": rows}
