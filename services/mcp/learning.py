"""What was learned: searching all that is known, and recording what others should know."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from domain.errors import CoordError
from services.mcp import reading
from services.mcp.desk import Desk
from services.mcp.line import Item, Line
from services.mcp.tool import Arguments, Reply, Tool
from services.recall.params import MAX_ABOUT_CHARS, surely_like, work_text

MAX_WORDS = 6
MIN_WORD_CHARS = 3
FOUND_ROWS = 50
PAGE_FOUND = 5
MAX_ALIKE = 2
DOCUMENT_CHARS = 1_000
ADVICE_TIMEOUT_S = 1.0
SEARCH_TIMEOUT_S = 4.0

VERBS = {
    "failure": "failure.record",
    "decision": "decision.record",
    "memory": "memory.store",
    "memory_use": "memory.use",
    "memory_share": "memory.share",
    "spike": "spike.initiate",
    "spike_end": "spike.conclude",
    "pattern": "pattern.use",
    "pattern_new": "pattern.define",
    "complexity": "complexity.snapshot",
    "docs": "docs.cache",
    "actions": "action.record",
    "estimate": "estimate.record",
    "estimate_end": "estimate.close",
}
"""What a record of each kind is as a command; its fields are the command's."""

OF_A_SESSION = ("failure", "decision", "memory", "spike", "spike_end")


async def alike(line: Line, *about: str, source: str = "failure") -> list[Item]:
    """The closest failures of the past. None if they cannot be had: advice keeps nobody from working."""
    asked = surely_like(work_text(*about), source) | {"limit": MAX_ALIKE, "max_chars": DOCUMENT_CHARS}
    try:
        hits = await asyncio.wait_for(line.read("recall", **asked), ADVICE_TIMEOUT_S)
    except (CoordError, TimeoutError):
        return []
    return [hit["row"] for hit in hits]


class Learned(Arguments, frozen=True, kw_only=True):
    about: Annotated[str, Meta(description="what to look for; else the latest")] = ""
    kind: Literal["failure", "decision", "spike", "pattern", "memory"] | None = None
    library: Annotated[str, Meta(description="its documentation, if kept")] = ""
    as_of: Annotated[str, Meta(description="as known then: a time, #event")] = ""
    cursor: str = ""


class Lessons(Reply, kw_only=True, omit_defaults=True):
    """What was tried, decided and remembered, and what looking back showed."""

    items: list[str] = field(default_factory=list)
    cursor: str = ""


async def learned(desk: Desk, asked: Learned) -> Lessons:
    """What means the same, then failures and retrospectives that hold the words."""
    offset = reading.offset_of(asked.cursor)
    if asked.library:
        found = await _documentation(desk.line, asked)
    else:
        found = await _known(desk, asked)
    more = str(offset + PAGE_FOUND) if len(found) > offset + PAGE_FOUND else ""
    items = found[offset : offset + PAGE_FOUND]
    if asked.library and not items:
        return Lessons(next="record: kind=docs, once you have looked it up", items=[])
    told = "go on with your task" if items else "learned: other words, or go on with your task"
    return Lessons(next=told, items=items, cursor=more)


async def _known(desk: Desk, asked: Learned) -> list[str]:
    found: dict[str, str] = {}
    for hit in await _recalled(desk, asked):
        found[hit["id"]] = in_words(hit["row"])
    if asked.kind in (None, "failure"):
        views = (("failures", "failure"), ("retros", "retro"))
        for name, row in await _worded(desk.line, asked, views if asked.kind is None else views[:1]):
            found.setdefault(name, in_words(row))
    return [*found.values()]


async def _recalled(desk: Desk, asked: Learned) -> list[Item]:
    """What the search finds; nothing if it is away."""
    params: Item = {"limit": FOUND_ROWS, "reader": desk.agent, "max_chars": DOCUMENT_CHARS, **_then(asked)}
    if text := asked.about[:MAX_ABOUT_CHARS].strip():
        params["text"] = text
    if asked.kind:
        params["source"] = asked.kind
    try:
        return await asyncio.wait_for(desk.line.read("recall", **params), SEARCH_TIMEOUT_S)
    except (CoordError, TimeoutError):
        return []


async def _worded(line: Line, asked: Learned, views: Sequence[tuple[str, str]]) -> list[tuple[str, Item]]:
    """Those first that hold most of the words."""
    found: dict[str, Item] = {}
    hits: Counter[str] = Counter()
    for view, key in views:
        for word in _words(asked.about) or [""]:
            text = {"text": word} if word else {}
            for row in await line.read(view, limit=FOUND_ROWS, **text, **_then(asked)):
                found[row[key]] = row
                hits[row[key]] += 1
    return [(name, found[name]) for name, _ in hits.most_common()]


def _then(asked: Learned) -> Item:
    return {"as_of": asked.as_of} if asked.as_of else {}


async def _documentation(line: Line, asked: Learned) -> list[str]:
    """What is kept of a library, and whether it can still be relied on."""
    now, told = datetime.now(UTC), []
    for row in await line.read("documentation", library=[asked.library], **_then(asked)):
        stale = "" if _time(row["expires_at"]) > now else " (stale)"
        head = " ".join(part for part in (row["library"], row["release"], row["topic"]) if part)
        told.append(str(reading.cut(f"{head}{stale}: {row['content']}", DOCUMENT_CHARS)))
    return told


def _time(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def in_words(row: Item) -> str:
    """A record of any kind in a sentence or two; with its id, if another can take its place."""
    name = ""
    match row:
        case {"decision": _}:
            text, name = f"Decided: {row['title']}: {row['choice']}. {row['consequences']}", row["decision"]
        case {"spike": _}:
            end = "viable" if row["viable"] else "not viable"
            text = f"Tried: {row['question']} {row['result']} ({end}). {row['lessons']}"
        case {"pattern": _}:
            text = f"Pattern {row['pattern']}: {row['description']}"
        case {"memory": _}:
            text, name = row["text"], row["memory"]
        case {"failure": _}:
            lesson = f" Lesson: {row['lesson']}" if row["lesson"] else ""
            text = f"{row['feature']}: {row['approach']} failed: {row['why']}.{lesson}"
        case _:
            told = (row["surprises"], row["would_change"], row["new_patterns"])
            text = f"{row['feature']}: {' '.join(each for each in told if each)}"
    short = str(reading.cut(text.strip(), 2 * reading.SHORT_CHARS))
    return f"{short} ({name})" if name else short


class Record(Arguments, frozen=True, kw_only=True):
    kind: Literal[
        "failure", "decision", "memory", "memory_use", "memory_share", "spike", "spike_end", "pattern",
        "pattern_new", "complexity", "docs", "actions", "estimate", "estimate_end",
    ]  # fmt: skip
    fields: Annotated[
        dict[str, Any],
        Meta(
            description="failure: feature, approach, why, lesson, task?; "
            "decision: title, choice, context, alternatives[], consequences, supersedes?; "
            "memory: text, tags[]?, supersedes[]?; memory_use: uses[{memory}]; "
            "memory_share: memory, to_agent; "
            "spike: question, approach; spike_end: spike, result, viable, lessons?; "
            "pattern: pattern, file, compliance 0-100; pattern_new: pattern, description; "
            "complexity: files[{file, score}]; docs: library, content, release?, topic?; "
            "actions: actions[{action, seconds, success, error}]; "
            "estimate: feature, sessions, complexity 1-10, persona?; estimate_end: estimate, sessions"
        ),
    ]


class Recorded(Reply, kw_only=True, omit_defaults=True):
    """What it is known by; of an estimate what it comes to by earlier ones, of a spike what was like it."""

    id: str = ""
    corrected: float | None = None
    before: list[str] = field(default_factory=list)


async def record(desk: Desk, asked: Record) -> Recorded:
    answer = await desk.line.ask(VERBS[asked.kind], _in_session(desk, asked))
    recorded = Recorded(next="go on", id=answer.get("id", ""))
    match asked.kind:
        case "estimate":
            recorded.corrected = answer["corrected"]
            recorded.next = "go on; reckon with corrected, what earlier estimates came to"
        case "spike":
            about = [str(asked.fields.get(name, "")) for name in ("question", "approach")]
            failures, spikes = await asyncio.gather(
                alike(desk.line, *about), alike(desk.line, *about, source="spike")
            )
            recorded.before = [in_words(row) for row in (*failures, *spikes)]
            recorded.next = "try it, then record: kind=spike_end"
    return recorded


def _in_session(desk: Desk, asked: Record) -> Item:
    """The fields, with the session that was begun here: somebody of the same name may have another."""
    session, fields = {"session": desk.session}, asked.fields
    if not desk.session:
        return fields
    if asked.kind in OF_A_SESSION:
        return session | fields
    if asked.kind == "actions" and isinstance(actions := fields.get("actions"), list):
        return fields | {"actions": [session | each if isinstance(each, dict) else each for each in actions]}
    return fields


def _words(text: str) -> list[str]:
    """The longest words are the rarest, so they say most."""
    words = {word for word in re.findall(r"\w+", text.lower()) if len(word) >= MIN_WORD_CHARS}
    return sorted(words, key=lambda word: (-len(word), word))[:MAX_WORDS]


LEARNED = Tool(
    name="learned", takes=Learned, gives=Lessons, run=learned,
    says="What others tried, decided and know. Look before you try something.",
)  # fmt: skip
RECORD = Tool(
    name="record", takes=Record, gives=Recorded, run=record, changes=True,
    says="Keep what others should know: failures, decisions, spikes and so on.",
)  # fmt: skip
