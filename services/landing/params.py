"""What is asked about sessions and how they begin, and what the answers are: shapes of three views. Pure."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from domain.messages import Data, Key, Name, TaskId
from domain.sessions import Focus, SessionRole
from projections.views import Page
from services.landing.tokens import MIN_TOKENS, USUAL_TOKENS

LANDING = "landing"
AUDIT = "session_audit"
HISTORY = "session_history"
LANDING_VIEWS = frozenset({LANDING, AUDIT, HISTORY})

MAX_TOKENS = 100_000
MAX_TASKS = 1_000

Kind = Literal["session", "task", "action", "decision", "memory", "failure", "spike"]
Item = dict[str, Data]


class LandingParams(Page, frozen=True, kw_only=True):
    """For whom, and on what. An open `session` says both; an `agent` that is known has its persona.

    `tokens` is how long the prompt may be. With `as_of`, what there was to know at that point.
    """

    session: Key | None = None
    agent: Name | None = None
    persona: Name | None = None
    role: SessionRole | None = None
    task: TaskId | None = None
    focus: Focus | None = None
    tokens: Annotated[int, Meta(ge=MIN_TOKENS, le=MAX_TOKENS)] = USUAL_TOKENS


class OfSessionParams(Page, frozen=True, kw_only=True):
    """Of one session; with `as_of`, as it was at that point."""

    session: Key


class Landing(Struct, frozen=True, kw_only=True):
    """All there is to know at a start, as data and as a `prompt` of at most so many `tokens`.

    `missing` says what could not be had, and why; `left_out` how many entries of which section the prompt has
    no room for. The data have them.
    """

    project: str
    position: int
    at: datetime
    agent: str | None
    persona: str | None
    role: SessionRole
    session: str | None
    focus: str
    task: Item | None
    handoffs: list[Item]
    failures: list[Item]
    decisions: list[Item]
    patterns: list[Item]
    memories: list[Item]
    tasks: dict[str, int]
    claimable: list[Item]
    agents: list[Item]
    settings: list[Item]
    spikes: list[Item]
    factors: list[Item]
    stale_documentation: list[Item]
    missing: list[str]
    prompt: str
    tokens: int
    left_out: dict[str, int]


class Delegated(Struct, frozen=True, kw_only=True):
    """A task that a session delegated: what was asked, and what came back. `seconds` were worked on it."""

    task: str
    title: str
    asked: str
    input: Data
    status: str
    agent: str | None
    result: Data
    error: str
    attempts: int
    seconds: float
    enqueued_at: datetime
    finished_at: datetime | None


class Entry(Struct, frozen=True, kw_only=True):
    """Something that belongs to a session, in words; `id` is that of the thing."""

    at: datetime
    kind: Kind
    id: str
    by: str
    words: str
