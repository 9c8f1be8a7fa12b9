"""What comes back: the answers to commands, rows of views, and events. Values only.

An answer that is `in_outbox` stands for a command that waits in the outbox file: it was not carried out yet,
and so the rest of it is empty.
"""

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

A = TypeVar("A", bound="Answer")


class Answer(Struct, frozen=True, kw_only=True):
    """`position` of the last event in the log, and its `sequence` in the project; `result` as it was told."""

    command_id: str = ""
    position: int = 0
    sequence: int | None = None
    in_outbox: bool = False
    result: dict[str, Any] = {}

    def as_a(self, kind: type[A]) -> A:
        """This answer with its result as fields."""
        head = {name: getattr(self, name) for name in Answer.__struct_fields__}
        return msgspec.convert({**self.result, **head}, kind)


class PastFailure(Struct, frozen=True, kw_only=True):
    """What was tried and failed, the lesson of it, and how much alike it is, from 0 to 1."""

    id: str
    feature: str
    approach: str
    why: str
    lesson: str = ""
    score: float


class PastSpike(Struct, frozen=True, kw_only=True):
    """A trial that was concluded, what it showed, and how much alike it is, from 0 to 1."""

    id: str
    question: str
    approach: str = ""
    result: str
    viable: bool
    lessons: str = ""
    score: float


P = TypeVar("P", PastFailure, PastSpike)


class Enqueued(Answer, frozen=True, kw_only=True):
    """A task that was added; `status` is `queued` or `blocked`, `failures` are the closest of the past."""

    task: str = ""
    status: str = ""
    failures: list[PastFailure] = []


class Initiated(Answer, frozen=True, kw_only=True):
    """A trial that was begun, and the closest failures and concluded spikes of the past."""

    id: str = ""
    failures: list[PastFailure] = []
    spikes: list[PastSpike] = []


class Planned(Answer, frozen=True, kw_only=True):
    """A plan that was added: `tasks` are the ids by their local names."""

    plan: str = ""
    tasks: dict[str, str] = {}


class Completed(Answer, frozen=True, kw_only=True):
    """`queued` are the tasks that can be worked on now that this one is done."""

    completed: list[str] = []
    queued: list[str] = []


class Failed(Answer, frozen=True, kw_only=True):
    """`status` is `failed`, to be tried again at `retry_at`, or `dead`."""

    status: str = ""
    retry_at: datetime | None = None


class Offered(Answer, frozen=True, kw_only=True):
    """A handoff that waits for an answer until `expires_at`."""

    handoff: str = ""
    expires_at: datetime | None = None


class Rows(Struct, frozen=True):
    """The rows of a view; they include every event up to `position`."""

    position: int
    rows: list[dict[str, Any]]


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened. `sequence` counts within the project, `position` in the whole log."""

    position: int
    sequence: int
    event: str
    entity: str
    actor: str
    at: datetime
    command_id: str
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    data: dict[str, Any] = {}


class Conflict(Struct, frozen=True, kw_only=True):
    """A queued command that did not fit any more when it was sent.

    `assumed` is what was asked for, and so taken to be possible, at `asked_at`; `code`, `message` and `now`
    tell what is true instead.
    """

    command_id: str
    verb: str
    asked_at: datetime
    assumed: dict[str, Any]
    code: str
    message: str
    now: dict[str, Any]


class Context(Struct, frozen=True, kw_only=True):
    """What a handoff brings along."""

    goal: str = ""
    done: list[str] = []
    ruled_out: list[str] = []
    decisions: list[str] = []
    artifacts: list[str] = []
    next_step: str = ""
    data: Any = None


class Brief(Struct, frozen=True, kw_only=True):
    """A task as it was claimed or taken over; after a handoff with its `context`."""

    task: str
    fence: int
    lease_s: float
    lease_until: datetime
    title: str = ""
    description: str = ""
    type: str = "task"
    persona: str | None = None
    priority: int = 0
    depends_on: list[str] = []
    parent: str | None = None
    links: list[dict[str, Any]] = []
    input: Any = None
    attempt: int | None = None
    handoff: str | None = None
    from_agent: str | None = None
    reason: str = ""
    context: Context = Context()
