"""What was learned: searching failures and retrospectives by words, and recording a failure."""

import asyncio
import re
from collections import Counter
from typing import Annotated

from msgspec import Meta, field

from domain.errors import CoordError
from services.mcp import reading
from services.mcp.desk import Desk
from services.mcp.line import Item, Line
from services.mcp.tool import Arguments, Reply, Tool

MAX_WORDS = 6
MIN_WORD_CHARS = 3
FOUND_ROWS = 50
PAGE_FOUND = 5
MAX_ALIKE = 2
MAX_ABOUT_CHARS = 2_000
ADVICE_TIMEOUT_S = 1.0


async def alike(line: Line, *about: str) -> list[Item]:
    """The closest failures of the past. None if they cannot be had: advice keeps nobody from working."""
    text = "\n".join(part for part in about if part)[:MAX_ABOUT_CHARS]
    asked = {
        "text": text,
        "source": "failure",
        "by": "meaning",
        "sure": True,
        "limit": MAX_ALIKE,
        "wait_s": 0,
    }
    try:
        hits = await asyncio.wait_for(line.read("recall", **asked), ADVICE_TIMEOUT_S)
    except (CoordError, TimeoutError):
        return []
    return [hit["row"] for hit in hits]


class Learned(Arguments, frozen=True, kw_only=True):
    about: Annotated[str, Meta(description="words to look for; else the latest")] = ""
    cursor: str = ""


class Lessons(Reply, kw_only=True, omit_defaults=True):
    """What was tried and failed, and what looking back showed."""

    items: list[str] = field(default_factory=list)
    cursor: str = ""


async def learned(desk: Desk, asked: Learned) -> Lessons:
    """Those first that hold most of the words."""
    words = _words(asked.about)
    found: dict[str, Item] = {}
    hits: Counter[str] = Counter()
    for view, key in (("failures", "failure"), ("retros", "retro")):
        for word in words or [""]:
            text = {"text": word} if word else {}
            for row in await desk.line.read(view, limit=FOUND_ROWS, **text):
                found[row[key]] = row
                hits[row[key]] += 1
    ranked = [found[name] for name, _ in hits.most_common()]
    offset = reading.offset_of(asked.cursor)
    more = str(offset + PAGE_FOUND) if len(ranked) > offset + PAGE_FOUND else ""
    items = [in_words(row) for row in ranked[offset : offset + PAGE_FOUND]]
    told = "go on with your task" if items else "learned: other words, or go on with your task"
    return Lessons(next=told, items=items, cursor=more)


def in_words(row: Item) -> str:
    """A failure or a retrospective in a sentence or two."""
    if "approach" in row:
        lesson = f" Lesson: {row['lesson']}" if row["lesson"] else ""
        text = f"{row['feature']}: {row['approach']} failed: {row['why']}.{lesson}"
    else:
        told = (row["surprises"], row["would_change"], row["new_patterns"])
        text = f"{row['feature']}: {' '.join(each for each in told if each)}"
    return str(reading.cut(text, 2 * reading.SHORT_CHARS))


class RecordFailure(Arguments, frozen=True, kw_only=True):
    feature: str
    approach: Annotated[str, Meta(description="what was tried")]
    why: Annotated[str, Meta(description="it failed")]
    lesson: str = ""
    task: str | None = None


class Recorded(Reply, kw_only=True, omit_defaults=True):
    id: str = ""


async def record(desk: Desk, asked: RecordFailure) -> Recorded:
    names = ("feature", "approach", "why", "lesson", "task")
    fields = {name: value for name in names if (value := getattr(asked, name))}
    answer = await desk.line.ask("failure.record", fields)
    return Recorded(next="claim: the next task, or go on", id=answer["id"])


def _words(text: str) -> list[str]:
    """The longest words are the rarest, so they say most."""
    words = {word for word in re.findall(r"\w+", text.lower()) if len(word) >= MIN_WORD_CHARS}
    return sorted(words, key=lambda word: (-len(word), word))[:MAX_WORDS]


LEARNED = Tool(
    name="learned", takes=Learned, gives=Lessons, run=learned,
    says="What others learned the hard way. Look before you try something.",
)  # fmt: skip
RECORD = Tool(
    name="record_failure", takes=RecordFailure, gives=Recorded, run=record, changes=True,
    says="Keep what failed and why, so that nobody repeats it.",
)  # fmt: skip
