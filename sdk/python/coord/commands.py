"""How commands go: at once, or by way of the outbox while the bus is away; under an id, and in a trace."""

import logging
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from coord.bus import PATIENCE_S, Bus
from coord.errors import BadInput, Unavailable
from coord.outbox import Outbox, Waiting
from coord.results import Answer, Conflict
from coord.sending import OnConflict, Sender
from coord.tracing import HEADER, current, within

OUTBOX_PATIENCE_S = 3.0
"""How long a command is tried that could wait in the outbox instead."""

NOW_ONLY = frozenset({"task.claim", "agent.heartbeat", "handoff.accept"})
"""Their answers are needed at once, so they never wait in an outbox."""

_ID = re.compile(r"[!-~]{1,128}")

logger = logging.getLogger("coord")


class Commands:
    """Those of one agent. With an outbox, `run` sends what waits in it."""

    def __init__(self, bus: Bus, project: str, agent: str, traceparent: str | None) -> None:
        self._bus = bus
        self._place = f"coord.{project}.cmd.{agent}"
        self._traceparent = traceparent
        self._outbox: Outbox | None = None
        self._sender: Sender | None = None

    def keep_in(self, outbox: Outbox, on_conflict: OnConflict | None) -> Sender:
        """From now on commands that cannot be sent wait here; gives what sends them."""
        self._outbox = outbox
        self._sender = Sender(outbox, self._bus, self._send_waiting, on_conflict)
        return self._sender

    @property
    def waiting(self) -> int:
        return len(self._outbox) if self._outbox is not None else 0

    @property
    def conflicts(self) -> list[Conflict]:
        return self._outbox.conflicts if self._outbox is not None else []

    def acknowledge(self, conflict: Conflict) -> None:
        if self._outbox is not None:
            self._outbox.acknowledge(conflict.command_id)

    async def flush(self, timeout_s: float) -> None:
        """Wait until the outbox is empty. Raises Away."""
        if self._sender is not None:
            await self._sender.flush(timeout_s)

    async def tell(
        self, verb: str, fields: dict[str, Any], command_id: str | None, wait_s: float, patience_s: float
    ) -> Answer:
        """Send a command; with an outbox, keep it there while it cannot be sent, or others are before it."""
        command_id = command_id or uuid4().hex
        if not _ID.fullmatch(command_id):
            raise BadInput(f"{command_id!r} is no command id: take 1 to 128 printable characters, no space.")
        if self._sender is None or verb in NOW_ONLY:
            return await self.send(verb, fields, command_id, wait_s, patience_s)
        if self._bus.connected and not self.waiting:
            patience_s = min(patience_s, OUTBOX_PATIENCE_S)
            try:
                return await self.send(verb, fields, command_id, wait_s, patience_s, when_away=False)
            except Unavailable as error:
                logger.info("%s waits in the outbox: %s", verb, error)
        self._sender.add(verb, fields, command_id, datetime.now(UTC), current(self._traceparent))
        return Answer(command_id=command_id, in_outbox=True)

    async def send(
        self,
        verb: str,
        fields: dict[str, Any],
        command_id: str,
        wait_s: float = 0.0,
        patience_s: float = PATIENCE_S,
        *,
        when_away: bool = True,
    ) -> Answer:
        """Send a command now. Raises Rejected or Unavailable."""
        trace = current(self._traceparent)
        reply = await self._bus.ask(
            f"{self._place}.{verb}",
            msgspec.json.encode({name: value for name, value in fields.items() if value is not None}),
            {"Nats-Msg-Id": command_id, **({HEADER: trace} if trace else {})},
            wait_s=wait_s,
            patience_s=patience_s,
            when_away=when_away,
        )
        place = {"position": reply["position"], "sequence": reply.get("sequence")}
        return Answer(command_id=command_id, result=reply["result"], **place)

    async def _send_waiting(self, waiting: Waiting) -> Answer:
        with within(waiting.traceparent):
            return await self.send(waiting.verb, waiting.fields, waiting.command_id)
