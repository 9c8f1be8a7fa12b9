"""What each command's caller is told, as types: the shape of what `domain/results.py` makes. Pure.

They are written down for the schemas alone; a test has every result of long histories fit them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from domain.correction import Basis
from domain.handoffs import Baggage
from domain.messages import Data
from domain.tasks.commands import Link


class Result(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told of a command that was carried out."""


class Done(Result, frozen=True, kw_only=True, omit_defaults=True):
    """It was carried out, and there is nothing to tell; `unchanged` says that it was so already."""

    unchanged: bool = False


class Brief(Result, frozen=True, kw_only=True):
    """What a task is about."""

    title: str
    description: str
    type: str
    persona: str | None
    priority: int
    depends_on: tuple[str, ...]
    parent: str | None
    links: tuple[Link, ...]
    input: Data


class Lease(Brief, frozen=True, kw_only=True):
    """A task that is held now, until `lease_until` unless it is renewed; `fence` goes with every report.

    With `left_out` its description, dependencies, links and input were too long to be sent with those of
    the others: the view `queue` has them.
    """

    task: str
    fence: int
    attempt: int
    lease_s: float
    lease_until: datetime
    left_out: bool = False


class Claimed(Result, frozen=True, kw_only=True):
    """Empty if nothing fits, or nothing came in the time that the claim waited."""

    tasks: tuple[Lease, ...]


class HeldLease(Result, frozen=True, kw_only=True):
    """A lease as it stands after a heartbeat."""

    task: str
    fence: int
    lease_until: datetime


class Alive(Result, frozen=True, kw_only=True):
    """Everything that the actor holds."""

    leases: tuple[HeldLease, ...]


class Enqueued(Result, frozen=True, kw_only=True):
    """A task that was added."""

    task: str
    status: str


class Planned(Result, frozen=True, kw_only=True):
    """A plan that was added: the ids of its tasks by their local names."""

    plan: str
    tasks: dict[str, str]


class Imported(Result, frozen=True, kw_only=True):
    """The ids of tasks that are new."""

    tasks: tuple[str, ...]


class Moved(Result, frozen=True, kw_only=True):
    """Tasks that are complete, and those that could be queued."""

    completed: tuple[str, ...]
    queued: tuple[str, ...]


class Failed(Result, frozen=True, kw_only=True):
    """When the task is tried again; never, if it is dead."""

    status: Literal["failed", "dead"]
    retry_at: datetime | None


class Offered(Result, frozen=True, kw_only=True):
    """A handoff that waits for an answer."""

    handoff: str
    expires_at: datetime


class Taken(Brief, frozen=True, kw_only=True):
    """A task that was taken over, with what its sender says of it."""

    handoff: str
    from_agent: str
    reason: str
    context: Baggage
    task: str
    fence: int
    lease_s: float
    lease_until: datetime


class Noted(Result, frozen=True, kw_only=True):
    """The id of what was recorded."""

    id: str


class Estimated(Result, frozen=True, kw_only=True):
    """The id of an estimate, and what it is corrected to by earlier ones; None while none was closed."""

    id: str
    corrected: float | None
    factor: float | None
    basis: Basis | None


class Kept(Result, frozen=True, kw_only=True):
    """Until when documentation can be relied on."""

    library: str
    expires_at: datetime


class Marked(Result, frozen=True, kw_only=True):
    """A bookmark and the sequence it stands at."""

    bookmark: str
    sequence: int


class Forked(Result, frozen=True, kw_only=True):
    """The new project, its origin, and the last sequence they share."""

    project: str
    origin: str
    sequence: int


class Restored(Result, frozen=True, kw_only=True):
    """The sequence after which the project's state is that of then."""

    project: str
    sequence: int


TELLS: Mapping[str, tuple[type[Result], ...]] = {
    "agent.heartbeat": (Alive,),
    "task.claim": (Claimed,),
    "task.complete": (Moved,),
    "task.complete_many": (Moved,),
    "task.retry": (Moved,),
    "task.enqueue": (Enqueued,),
    "task.plan": (Planned,),
    "task.import": (Enqueued, Imported),
    "task.fail": (Failed,),
    "handoff.initiate": (Offered,),
    "handoff.accept": (Taken,),
    "failure.record": (Noted,),
    "estimate.record": (Estimated,),
    "retro.record": (Noted,),
    "memory.store": (Noted,),
    "spike.initiate": (Noted,),
    "decision.record": (Noted,),
    "docs.cache": (Kept,),
    "action.record": (Noted,),
    "session.start": (Noted,),
    "bookmark.set": (Marked,),
    "project.fork": (Forked,),
    "project.restore": (Restored,),
}
"""By command, what it may tell; each may also tell no more than `Done`, as those do that are not here."""


def told_by(command: str) -> tuple[type[Any], ...]:
    """The types of a command's results, the most telling first."""
    return (*TELLS.get(command, ()), Done)
