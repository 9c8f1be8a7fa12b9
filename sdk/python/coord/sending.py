"""Sending what waits in the outbox: in order, each under its own id, when the bus is there.

Writes the outbox (each change is on disk before it counts, which takes milliseconds) and asks through `send`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from coord.bus import Bus
from coord.errors import Away, CoordError
from coord.outbox import Outbox, Waiting
from coord.results import Answer, Conflict

FIRST_BACKOFF_S = 0.2
MAX_BACKOFF_S = 5.0

Send = Callable[[Waiting], Awaitable[Answer]]
OnConflict = Callable[[Conflict], Awaitable[None] | None]
logger = logging.getLogger("coord")


class Sender:
    """`run` in the background."""

    def __init__(self, outbox: Outbox, bus: Bus, send: Send, on_conflict: OnConflict | None) -> None:
        self._outbox = outbox
        self._bus = bus
        self._send = send
        self._on_conflict = on_conflict
        self._added = asyncio.Event()
        self._emptied = asyncio.Event()
        self._backoff_s = FIRST_BACKOFF_S

    def add(
        self, verb: str, fields: dict[str, Any], command_id: str, asked_at: datetime, trace: str | None
    ) -> None:
        """Queue a command. Raises OutboxFull."""
        given = {name: value for name, value in fields.items() if value is not None}
        self._outbox.add(Waiting(command_id, verb, given, asked_at, trace))
        self._emptied.clear()
        self._added.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until all is sent. Raises Away."""
        if not len(self._outbox):
            return
        try:
            await asyncio.wait_for(self._emptied.wait(), timeout_s)
        except TimeoutError:
            raise Away(
                f"{len(self._outbox)} commands still wait in the outbox; they are sent next time."
            ) from None

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            waiting = self._outbox.first
            if waiting is None:
                self._emptied.set()
                self._added.clear()
                await self._added.wait()
                continue
            try:
                await self._bus.until_connected()
                await self._send(waiting)
            except CoordError as error:
                if error.retryable or not self._bus.connected:
                    await self._rest(error)
                else:
                    await self._tell(self._outbox.refused(waiting, error))
            else:
                self._backoff_s = FIRST_BACKOFF_S
                self._outbox.sent(waiting.command_id)

    async def _rest(self, error: CoordError) -> None:
        logger.info("%d commands wait in the outbox: %s", len(self._outbox), error)
        await asyncio.sleep(self._backoff_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
        self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)

    async def _tell(self, conflict: Conflict) -> None:
        """A callback that fails must not keep the rest from being sent."""
        logger.warning(
            "%s of %s does not fit any more: %s", conflict.verb, conflict.asked_at, conflict.message
        )
        if self._on_conflict is None:
            return
        try:
            told = self._on_conflict(conflict)
            if told is not None:
                await told
        except Exception:
            logger.exception("the callback for conflicts failed; the conflict stays in the file")
