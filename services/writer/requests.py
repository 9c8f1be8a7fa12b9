"""A command on its way through the writer, whichever door it came in by."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from domain.messages import Command, Context


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """`answer` takes the encoded reply, once; it must not block or raise."""

    project: str
    actor: str
    command: Command
    command_id: str
    answer: Callable[[bytes], None]
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    def context(self, at: datetime) -> Context:
        return Context(
            project=self.project,
            actor=self.actor,
            at=at,
            command_id=self.command_id,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            traceparent=self.traceparent,
        )


class Taker(Protocol):
    """Whoever takes requests from a door: the writer."""

    def submit(self, request: Request) -> None:
        """Take the request and answer it in time; must not block or raise."""
