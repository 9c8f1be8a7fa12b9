"""Handoffs as an agent hears of them: those offered to it, and what becomes of those it made.

Listens to the events of handoffs; looks into the read model when it may have missed some.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg

from coord.errors import CoordError
from coord.task import Task

MAX_OFFERS = 1_000
LOOK_ROWS = 1_000

Look = Callable[[dict[str, Any]], Awaitable[list[dict[str, Any]]]]
Release = Callable[[Task, str], Awaitable[None]]
logger = logging.getLogger("coord")


class _Body(msgspec.Struct):
    data: dict[str, Any]


_decode = msgspec.json.Decoder(_Body).decode


class Offers:
    """What is offered to `agent`, as one of `persona`, oldest first; and what it has offered itself."""

    def __init__(self, agent: str, persona: str, look: Look, release: Release) -> None:
        self._agent = agent
        self._persona = persona
        self._look = look
        self._release = release
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._made: dict[str, Task] = {}
        self._missed = asyncio.Event()
        self._missed.set()

    def made(self, handoff: str, task: Task) -> None:
        """Remember an offer of our own, to take the task back if nobody accepts."""
        self._made[handoff] = task

    def next(self) -> str | None:
        """The handoff to accept next, if there is one."""
        return self._waiting.popitem(last=False)[0] if self._waiting else None

    def missed(self) -> None:
        """Something may have been published that was not heard."""
        self._missed.set()

    async def run(self) -> None:
        """Look for what was missed, whenever something may have been, until cancelled."""
        while True:
            await self._missed.wait()
            self._missed.clear()
            try:
                await self._look_around()
            except CoordError as error:
                logger.warning("offered handoffs cannot be looked up: %s", error)

    async def take(self, message: Msg) -> None:
        """Hear an event of a handoff."""
        event = ".".join(message.subject.split(".")[3:5])
        await self._heard(event, _decode(message.data).data)

    async def _heard(self, event: str, data: dict[str, Any]) -> None:
        handoff = data["handoff"]
        if event == "handoff.initiated":
            self._note(data)
            return
        self._waiting.pop(handoff, None)
        task = self._made.pop(handoff, None)
        if task is not None and event in ("handoff.rejected", "handoff.expired"):
            await self._release(task, f"handoff {handoff} was {event.partition('.')[2]}")

    def _note(self, offer: dict[str, Any]) -> None:
        meant = offer.get("to_agent") == self._agent or offer.get("to_persona") == self._persona
        if meant and offer["from_agent"] != self._agent and len(self._waiting) < MAX_OFFERS:
            self._waiting[offer["handoff"]] = None

    async def _look_around(self) -> None:
        for row in await self._look({"status": "initiated", "limit": LOOK_ROWS}):
            self._note(row)
        for handoff in [*self._made]:
            for row in await self._look({"entity": handoff}):
                if row["status"] != "initiated":
                    await self._heard(f"handoff.{row['status']}", row)
