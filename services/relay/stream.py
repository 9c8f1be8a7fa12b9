"""The stream of events: its name, its settings, and how an event is addressed in it. Pure."""

import logging
import re

import msgspec
from msgspec import Struct
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from services.log.codec import Row

STREAM = "COORD_EVENTS"
SUBJECTS = "coord.*.evt.>"
POSITION, SEQUENCE, PREVIOUS = "Coord-Position", "Coord-Sequence", "Coord-Previous"

_DUPLICATE_WINDOW_S = 2.0  # the relay's chain needs ids, not the memory that the server gives to them

_SAFE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")

_log = logging.getLogger(__name__)


class _Head(Struct):
    """All that the relay reads of an event's body."""

    entity: str


_head = msgspec.json.Decoder(_Head)


def stream_config(replicas: int) -> StreamConfig:
    """The stream as it is created; limits that an operator sets on it later are left alone."""
    return StreamConfig(
        name=STREAM,
        description="Every event of coordctl, in the order of the log",
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        deny_delete=True,
        deny_purge=True,
        allow_atomic=True,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )


def subject_of(project: str, topic: str, entity: str) -> str:
    """The subject an event is published on; what does not fit into a subject becomes `_`."""
    event = topic.partition("@")[0]
    return f"coord.{_tokens(project.replace('.', '_'))}.evt.{_tokens(event)}.{_tokens(entity)}"


def _tokens(text: str) -> str:
    """Names joined by dots; nearly always they are as they should be."""
    if _SAFE.fullmatch(text):
        return text
    return ".".join(_UNSAFE.sub("_", part) or "_" for part in text.split("."))


def subject_for(row: Row) -> str:
    """The subject of a stored event."""
    try:
        entity = _head.decode(row[4]).entity
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.error("the event at position %d has no readable entity: %s", row[0], error)
        entity = ""  # listeners get all the events that follow it, and this one as it is
    return subject_of(row[1], row[3], entity)


def headers_of(row: Row, previous: int) -> dict[str, str]:
    """What tells listeners an event's place in the log, and which event they should have had before."""
    return {POSITION: str(row[0]), SEQUENCE: str(row[2]), PREVIOUS: str(previous)}
