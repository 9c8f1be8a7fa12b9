"""Which command an event is of, and in which trace: read from events as they are stored, or as they are.

Pure; knows nothing of OpenTelemetry.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from domain.messages import Recorded


class Origin(Struct, frozen=True, gc=False):
    """A command, by one of its events; `at_s` is when that happened, in seconds since 1970."""

    traceparent: str | None
    project: str
    actor: str
    command_id: str
    at_s: float


class _Body(Struct):
    """All that is read of an event's body."""

    actor: str
    at: datetime
    command_id: str
    traceparent: str | None = None


_body = msgspec.json.Decoder(_Body)


def origin_of(project: str, body: bytes) -> Origin | None:
    """The origin of a stored event; None if it cannot be read, which others complain about."""
    try:
        read = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Origin(read.traceparent, project, read.actor, read.command_id, read.at.timestamp())


def origins_of(events: Iterable[Recorded]) -> Iterator[Origin]:
    """The origins of those events that are part of a trace."""
    for event in events:
        if event.traceparent is not None:
            at_s = event.at.timestamp()
            yield Origin(event.traceparent, event.project, event.actor, event.command_id, at_s)
