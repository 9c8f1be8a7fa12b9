"""Events as the log stores them, and back. Touches nothing: it turns values into values.

A stored event is a topic, `<name>@<version>`, and a body of UTF-8 JSON that a person can read with `psql`:
who, when and on whose behalf, with the event's own fields under `data`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from domain.errors import CoordError
from domain.messages import Context, Event, Recorded

Row = tuple[int, str, int, str, bytes]
"""An event as it is read from the log: position, project, sequence, topic, body."""

Upcast = Callable[[str, int, dict[str, Any]], dict[str, Any]]
"""From an event's name, its stored version and its data to the data of the present version."""

E = TypeVar("E")


class UnknownEvent(CoordError):
    code = "unknown_event"
    says = "The log holds an event {topic}, which this coordctl does not know; run the version that wrote it."


class UnreadableEvent(CoordError):
    code = "unreadable_event"
    says = "The event at position {position} ({topic}) cannot be read: {why}. Restore the log from a backup."


class Body(Struct, Generic[E], frozen=True, kw_only=True, omit_defaults=True):
    """What is stored and published of an event, its subject and its place apart."""

    entity: str
    actor: str
    at: datetime
    command_id: str
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    data: E


_Decode = Callable[[bytes], Body[Any]]


class Codec:
    """Encodes and decodes the events of a catalogue."""

    def __init__(self, events: Mapping[str, type[Event]], upcast: Upcast) -> None:
        self._events = events
        self._upcast = upcast
        self._encode = msgspec.json.Encoder().encode
        self._topics = {event: f"{name}@{event.version}" for name, event in events.items()}
        self._decoders: dict[str, _Decode] = {
            topic: msgspec.json.Decoder(Body[event]).decode  # type: ignore[valid-type]  # the type is a value here
            for event, topic in self._topics.items()
        }

    def encode(self, event: Event, context: Context, sequence: int) -> StoredEvent:
        """The event as the log stores it, at this place in its project's stream."""
        body = Body(
            entity=event.entity,
            actor=context.actor,
            at=context.at,
            command_id=context.command_id,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            traceparent=context.traceparent,
            data=event,
        )
        return StoredEvent(context.project, sequence, self._topics[type(event)], self._encode(body))

    def decode(self, row: Row) -> Recorded:
        """The event that was stored, in its present version."""
        position, project, sequence, topic, state = row
        decode = self._decoders.get(topic) or self._decoder_of_older(topic)
        try:
            body = decode(state)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableEvent(position=position, topic=topic, why=str(error)) from error
        return Recorded(
            position=position,
            sequence=sequence,
            project=project,
            actor=body.actor,
            at=body.at,
            command_id=body.command_id,
            event=body.data,
            correlation_id=body.correlation_id,
            causation_id=body.causation_id,
            traceparent=body.traceparent,
        )

    def _decoder_of_older(self, topic: str) -> _Decode:
        """How to decode a version before the present one; remembered, as there are few."""
        name, _, number = topic.rpartition("@")
        event = self._events.get(name)
        if event is None or not number.isdecimal() or not 0 < int(number) < event.version:
            raise UnknownEvent(topic=topic)
        version, current = int(number), event
        older: msgspec.json.Decoder[Body[Any]] = msgspec.json.Decoder(Body[dict[str, Any]])

        def decode(state: bytes) -> Body[Any]:
            old = older.decode(state)
            data = msgspec.convert(self._upcast(name, version, old.data), current)
            return msgspec.structs.replace(old, data=data)

        self._decoders[topic] = decode
        return decode
