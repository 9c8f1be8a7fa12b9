"""One project's side of a made-up session: decides commands as the real service does, on a ledger in memory.

Remembers the first answer to each command and tells time's own commands when they are due. Touches nothing.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.catalog import EVENTS, upcast
from domain.decider import due, execute, recover
from domain.errors import Rejection
from domain.ledger import Ledger
from domain.messages import TICKER, Command, Context, Event, Recorded
from domain.results import result, result_unchanged
from services.bus.wire import Reply, encode_error, encode_reply, encode_result
from services.log.codec import Codec
from services.prove.evidence import Logged

Reserve = Callable[[], int]
"""Gives the position of the next event in the log that all projects share."""


class Desk:
    """A project. `history` is what happened in it, `logged` the same as the log holds it."""

    def __init__(self, project: str, reserve: Reserve) -> None:
        self.project = project
        self.ledger = Ledger(project)
        self.history: list[Recorded] = []
        self.logged: list[Logged] = []
        self._reserve = reserve
        self._codec = Codec(EVENTS, upcast)
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(self, actor: str, command_id: str, command: Command, at: datetime) -> dict[str, Any]:
        """The reply's JSON, the first one if the command was asked before."""
        if (actor, command_id) in self._answers:
            return self._answers[actor, command_id]
        context = Context(project=self.project, actor=actor, at=at, command_id=command_id)
        self._store(recover(self.ledger, context), replace(context, command_id=f"{command_id}:recovered"))
        try:
            events = execute(self.ledger, command, context)
        except Rejection as refusal:
            answer: dict[str, Any] = msgspec.json.decode(encode_error(refusal))
            self._answers[actor, command_id] = answer
            return answer
        self._store(events, context)
        answer = self._answer(command, events, actor)
        if events:
            self._answers[actor, command_id] = answer
        return answer

    def tick(self, at: datetime) -> None:
        """What time alone brings about."""
        while (command := due(self.ledger, at)) is not None:
            command_id = f"tick-{self.ledger.sequence + 1}"
            context = Context(project=self.project, actor=TICKER, at=at, command_id=command_id)
            self._store(execute(self.ledger, command, context), context)

    def _answer(self, command: Command, events: Sequence[Event], actor: str) -> dict[str, Any]:
        last = self.history[-1]
        if events:
            told = result(events, self._recall)
            reply = Reply(ok=True, position=last.position, result=encode_result(told), sequence=last.sequence)
        else:
            plain, repeated = result_unchanged(self.ledger, command, actor)
            told = plain or result(repeated, self._recall)
            reply = Reply(ok=True, position=last.position, result=encode_result(told))
        answer: dict[str, Any] = msgspec.json.decode(encode_reply(reply))
        return answer

    def _recall(self, sequence: int) -> Event:
        return self.history[sequence - 1].event

    def _store(self, events: Sequence[Event], context: Context) -> None:
        for event in events:
            sequence, position = len(self.history) + 1, self._reserve()
            stored = self._codec.encode(event, context, sequence)
            self.history.append(
                Recorded(
                    position=position,
                    sequence=sequence,
                    project=self.project,
                    actor=context.actor,
                    at=context.at,
                    command_id=context.command_id,
                    event=event,
                )
            )
            self.logged.append(
                Logged(
                    position=position,
                    project=self.project,
                    sequence=sequence,
                    topic=stored.topic,
                    body=msgspec.json.decode(stored.state),
                )
            )
