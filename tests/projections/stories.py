"""Histories for the tests of read models: what actors do, decided by the real domain, and what it leaves."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.decider import due, execute, recover
from domain.ledger import Ledger
from domain.messages import TICKER, Command, Context, Event, Recorded
from projections.framework import Projection

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Story:
    """One project from its first event on. Every command is decided by a ledger; time passes when told to."""

    def __init__(self, project: str = "novel") -> None:
        self.project = project
        self.ledger = Ledger(project)
        self.now = START
        self.history: list[Recorded] = []
        self._commands = 0

    def do(self, actor: str, *commands: Command) -> list[Event]:
        """What these commands bring about, one after the other. Raises a Rejection."""
        events: list[Event] = []
        for command in commands:
            self._commands += 1
            command_id = f"{self.project}-{self._commands}"
            context = Context(project=self.project, actor=actor, at=self.now, command_id=command_id)
            back = recover(self.ledger, context)
            self._record(back, actor, f"{command_id}:recovered")
            decided = execute(self.ledger, command, context)
            self._record(decided, actor, command_id)
            events += back + decided
        return events

    def tick(self, seconds: float) -> None:
        """Let time pass, and happen what it causes."""
        self.now += timedelta(seconds=seconds)
        while (command := due(self.ledger, self.now)) is not None:
            self.do(TICKER, command)

    def rows(self, projection: Projection[Any]) -> dict[str, Any]:
        """The rows so far, by the last part of their keys."""
        return {key[-1]: row for key, row in folded(projection, self.history).items()}

    def _record(self, events: Iterable[Event], actor: str, command_id: str) -> None:
        for event in events:
            number = len(self.history) + 1
            self.history.append(
                Recorded(
                    position=number,
                    sequence=number,
                    project=self.project,
                    actor=actor,
                    at=self.now,
                    command_id=command_id,
                    event=event,
                )
            )


def folded(projection: Projection[Any], history: Iterable[Recorded]) -> dict[Any, Any]:
    """The rows that these events leave."""
    rows: dict[Any, Any] = {}
    projection.fold_into(rows, projection.touches(history))
    return rows
