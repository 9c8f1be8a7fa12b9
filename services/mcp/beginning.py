"""Beginning a session with what there is to know, and for a planner seeing what came of what it delegated."""

import logging
from functools import partial
from typing import Annotated

from msgspec import Meta, field

from domain.errors import CoordError, InvalidCommand
from services.landing.params import AUDIT, HISTORY, LANDING
from services.landing.tokens import MIN_TOKENS
from services.mcp import reading
from services.mcp.desk import ENDED, PLATFORM, Desk
from services.mcp.line import Item
from services.mcp.tool import Arguments, Reply, Tool

USUAL_TOKENS = 1_200
MAX_TOKENS = 8_000

logger = logging.getLogger(__name__)


class Begin(Arguments, frozen=True, kw_only=True):
    focus: Annotated[str, Meta(description="what you attend to")] = ""
    task: str | None = None
    tokens: Annotated[int, Meta(ge=MIN_TOKENS, le=MAX_TOKENS, description="of the answer")] = USUAL_TOKENS


class Begun(Reply, kw_only=True, omit_defaults=True):
    """The session, and what there is to know."""

    session: str = ""
    context: str = ""


async def begin(desk: Desk, asked: Begin, *, role: str, told: str) -> Begun:
    """A session in place of the one that was begun here before. Only workers are agents of the project."""
    if role == "worker":
        await desk.appear()
    await _end(desk)
    fields: Item = {"role": role, "platform": PLATFORM, "focus": asked.focus}
    if asked.task is not None:
        fields["task"] = asked.task
    answer = await desk.line.ask("session.start", fields)
    if desk.session is None:
        desk.at_end(partial(_end, desk))
    desk.session = answer["id"]
    (landing,) = await desk.line.read(LANDING, session=desk.session, tokens=asked.tokens)
    return Begun(next=told, session=desk.session, context=landing["prompt"])


async def _end(desk: Desk) -> None:
    """End our session, if there is one; one that is over already is no matter."""
    if not desk.session:
        return
    session, desk.session = desk.session, ""
    try:
        await desk.line.ask("session.end", {"session": session, "reason": ENDED})
    except CoordError as error:
        logger.info("session %s did not end in order: %s", session, error)


class Audit(Arguments, frozen=True, kw_only=True):
    session: Annotated[str, Meta(description="another than your own")] = ""
    history: Annotated[bool, Meta(description="all that belongs to it, in order")] = False
    cursor: str = ""


class Audited(Reply, kw_only=True, omit_defaults=True):
    items: list[Item] = field(default_factory=list)
    cursor: str = ""


async def audit(desk: Desk, asked: Audit) -> Audited:
    session = asked.session or desk.session
    if not session:
        raise InvalidCommand(why="No session was begun here: name one, or call begin before you plan.")
    view = HISTORY if asked.history else AUDIT
    rows, cursor = await reading.page(desk.line, view, asked.cursor, session=session)
    items = [
        {
            name: reading.cut(value, reading.RESULT_CHARS)
            for name, value in row.items()
            if value not in (None, "", 0)
        }
        for row in rows
    ]
    told = "audit: the next page with this cursor, or go on" if cursor else "go on: that is all"
    return Audited(next=told, items=items, cursor=cursor)


BEGIN_WORK = Tool(
    name="begin", takes=Begin, gives=Begun, changes=True,
    run=partial(begin, role="worker", told="claim: the next task"),
    says="First of all: what there is to know here.",
)  # fmt: skip
BEGIN_PLANNING = Tool(
    name="begin", takes=Begin, gives=Begun, changes=True,
    run=partial(begin, role="planner", told="plan: a graph of tasks"),
    says="First of all: what there is to know here. What you add from then on, audit shows.",
)  # fmt: skip
AUDIT_TOOL = Tool(
    name="audit", takes=Audit, gives=Audited, run=audit,
    says="What came back for each task of your session, against what was asked.",
)  # fmt: skip
