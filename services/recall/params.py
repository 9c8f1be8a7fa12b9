"""What a search takes, and what it finds: the shapes of the view `recall`. Pure."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from domain.messages import Data
from projections.memory import Status
from projections.views import Page

VIEW = "recall"
MAX_HITS = 100
USUAL_HITS = 10
MAX_SIMILAR = 3
MAX_ABOUT_CHARS = 2_000
MAX_TOLD_CHARS = 2_000

Path = Literal["meaning", "text"]
Moment = Annotated[datetime, Meta(tz=True)]


class RecallParams(Page, frozen=True, kw_only=True):
    """`text` is looked for by meaning and as it is written, or `by` one of them; without it, the latest come.

    `reader` is the agent that asks: it is also told of private memories that are its own or shared with it.
    Of memories and decisions only current ones are found, unless another `status` is asked for.
    `least` is the likeness from which on a hit by meaning counts, in place of the embedder's own; with `sure`
    that is so high that hardly anything is found by chance. `max_chars` cuts the texts of the rows.
    With `as_of`, what was known at that point, and as it was then.
    """

    limit: Annotated[int, Meta(ge=1, le=MAX_HITS)] = USUAL_HITS
    text: Annotated[str, Meta(min_length=1, max_length=10_000)] | None = None
    by: Path | None = None
    source: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    agent: str | None = None
    reader: str | None = None
    status: tuple[Status, ...] = ()
    since: Moment | None = None
    until: Moment | None = None
    sure: bool = False
    least: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_chars: Annotated[int, Meta(ge=1)] | None = None


class RecallHit(Struct, frozen=True, kw_only=True):
    """A record that was found, `by` which path, and how well it fits, from 0 to 1: by `meaning` the likeness,
    by `text` the share of what was looked for, each word by how much it says.

    `row` is that of its read model; `source` is memory, failure, decision, spike or pattern. `strength` is
    what is left of a memory's importance.
    """

    source: str
    id: str
    project: str
    by: Literal["meaning", "text", "time"]
    score: float
    strength: float | None
    row: Data


def work_text(*parts: str) -> str:
    """What work is about, as it is searched for."""
    return "\n".join(part for part in parts if part)[:MAX_ABOUT_CHARS]


def surely_like(text: str, source: str) -> dict[str, Any]:
    """The question for advice that nobody asked for: the few that are surely like a text, told in short."""
    return {
        "text": text, "source": source, "by": "meaning", "sure": True, "limit": MAX_SIMILAR,
        "max_chars": MAX_TOLD_CHARS, "wait_s": 0,
    }  # fmt: skip
