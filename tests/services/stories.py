"""Histories that the real domain decided, as the log stores them."""

from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent

from domain.messages import Context, Recorded
from tests.services.running import CODEC


def stored(history: Sequence[Recorded]) -> list[StoredEvent]:
    return [
        CODEC.encode(
            recorded.event,
            Context(
                project=recorded.project,
                actor=recorded.actor,
                at=recorded.at,
                command_id=recorded.command_id,
            ),
            recorded.sequence,
        )
        for recorded in history
    ]
