"""The shapes every message shares: commands, events, and the envelope an event is recorded in.

Pure data, never part of a reference cycle, so the collector need not look at it (`gc=False`). A command is
what an actor asks, an event is what happened. Both carry a stable, explicit name (`task.claim`,
`task.claimed`), never a class path, so that a renamed class cannot break a stored log.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, ClassVar

from msgspec import Meta as Constraint
from msgspec import Struct

Name = Annotated[str, Constraint(pattern=r"^(?!_)[A-Za-z0-9_-]{1,64}$(?!\n)")]
"""One NATS token: projects, actors, agents, personas. A first `_` is reserved for coordctl's own.

(`$` alone would allow a line break at the end.)
"""

TaskId = Annotated[str, Constraint(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$(?!\n)", max_length=128)]
"""Names joined by dots (`bd-1dez.3`); in a subject it is the tail, so a parent's id selects its children."""

Key = Annotated[str, Constraint(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$(?!\n)", max_length=128)]
Title = Annotated[str, Constraint(min_length=1, max_length=500)]
Text = Annotated[str, Constraint(max_length=100_000)]

SYSTEM_PROJECT = "_system"
"""The reserved project whose settings are every other project's defaults."""

TICKER = "_ticker"
"""The actor of what time alone causes: expiries, retries coming due, clean-up."""


class Command(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What an actor asks. Who asks, and under which command id, stand in the subject and the headers."""

    name: ClassVar[str]


class Event(Struct, frozen=True, omit_defaults=True, gc=False):
    """What happened, with all that it changes: a fold needs no lookup."""

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def entity(self) -> str:
        """The id of the thing this event is about: the last part of its subject."""
        raise NotImplementedError


class Context(Struct, frozen=True, kw_only=True, gc=False):
    """Who asks, when, and on whose behalf: what a decision may know beside the ledger and the command."""

    project: str
    actor: str
    at: datetime
    command_id: str
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    def new_id(self, prefix: str, index: int = 0) -> str:
        """An id derived from the command's, so that a command repeated however late names the same thing."""
        origin = f"{self.project}/{self.actor}/{self.command_id}/{index}"
        digest = blake2b(origin.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        return f"{prefix}-" + "".join(_ALPHABET[(number >> (5 * i)) & 31] for i in range(10))


class Recorded(Struct, frozen=True, kw_only=True, gc=False):
    """An event as it stands in the log.

    `position` is its place in the whole log (growing, not gapless); `sequence` its place in its project's
    stream (gapless, from 1).
    """

    position: int
    sequence: int
    project: str
    actor: str
    at: datetime
    command_id: str
    event: Event
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


Data = Any
"""Free JSON that coordctl carries and never looks into."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that looks like a digit
