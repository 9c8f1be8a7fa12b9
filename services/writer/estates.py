"""What a writer has to itself: projects, and the right to append to them.

A shard is a lot (`services.sharing`) whose session also appends the shard's events. So the database itself
sees to it that only the owner commits: with the session goes the lock, and with it the right to append.
"""

from collections.abc import Sequence
from typing import Protocol

from eventsourcing.persistence import StoredEvent

from services.log.appending import append_events
from services.log.event_log import EventLog
from services.sharing.shares import Session
from services.writer.shards import shard_of


class Estate(Protocol):
    """What one writer has to itself."""

    @property
    def lost(self) -> bool:
        """Whether another may have it by now."""

    def owns(self, project: str) -> bool:
        """Whether a project is this writer's to decide."""

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        """Write all of the events or none; returns their positions. Raises LogConflict or LogUnavailable."""

    def check(self) -> None:
        """Return while the estate is this writer's. Raises LogUnavailable."""


class Shard:
    """The projects of one shard, for as long as its session lives."""

    def __init__(self, session: Session) -> None:
        self.number = session.lot
        self._session = session

    @property
    def lost(self) -> bool:
        return self._session.lost

    def owns(self, project: str) -> bool:
        return shard_of(project) == self.number

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        with self._session.using() as connection:
            return append_events(connection, events)

    def check(self) -> None:
        self._session.check()


class WholeLog:
    """Every project, where there is no other writer: nothing but the log's key keeps a second one off."""

    lost = False

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def owns(self, project: str) -> bool:  # noqa: ARG002  # as the protocol has it
        return True

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        return self._log.append(events)

    def check(self) -> None:
        return
