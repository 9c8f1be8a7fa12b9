"""One agent of the demo, as any other would be written: it spawns, claims, works, hands over and completes.

All it does goes through commands over its own connection; all it knows of others, it hears.
"""

import asyncio
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from domain.errors import StaleFence
from services.bus.caller import Caller, Refused
from services.demo import novel
from services.demo.board import Board
from services.demo.novel import Member
from services.waiting import either

PLATFORM = "demo"
CLAIM_WAIT_S = 0.5
HEARTBEAT_S = 0.4


class Pace(Struct, frozen=True):
    """How long things take: a task at most, the lease of the doomed one, the rest after a failure."""

    work_s: float = 1.1
    doomed_lease_s: float = 2.0
    backoff_s: float = 1.0


FAST = Pace(work_s=0.25, doomed_lease_s=1.5, backoff_s=0.3)

Told = set[tuple[str, int]]
"""Tasks with their fences, as agents were told that they hold them."""

Lease = dict[str, Any]


class Agent:
    """Works until there is nothing left for its persona. Every claim that it is told of goes into `told`."""

    def __init__(self, member: Member, nats_url: str, board: Board, pace: Pace, told: Told) -> None:
        self._member = member
        self._board = board
        self._pace = pace
        self._told = told
        self._caller = Caller(nats_url, novel.PROJECT, member.name)
        self._over = asyncio.Event()

    async def run(self) -> None:
        async with self._caller as caller:
            await caller.ask("agent.spawn", {"persona": self._member.persona, "platform": PLATFORM})
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat())
                try:
                    await self._work_on()
                finally:
                    self._over.set()
            await caller.ask("agent.leave", {"reason": "nothing is left to do"})

    async def _work_on(self) -> None:
        """Task after task; whoever is offered one takes it first."""
        name, persona = self._member
        while self._board.has_work_for(persona):
            offer = self._board.offer_to(name, persona)
            lease = await (self._accept(offer.handoff) if offer else self._claim())
            if lease is not None:
                await self._hold_on(lease)

    async def _claim(self) -> Lease | None:
        """The next task that fits, or None if there was none for a while."""
        answer = await self._caller.ask("task.claim", {"wait_s": CLAIM_WAIT_S}, wait_s=CLAIM_WAIT_S)
        leases: list[Lease] = answer.result["tasks"]
        return self._hold(leases[0]) if leases else None

    async def _accept(self, handoff: str) -> Lease:
        answer = await self._caller.ask("handoff.accept", {"handoff": handoff})
        return self._hold(answer.result)

    def _hold(self, lease: Lease) -> Lease:
        self._told.add((lease["task"], lease["fence"]))
        return lease

    async def _hold_on(self, lease: Lease) -> None:
        """Work as long as the lease holds; when it ran out, on a busy machine, the task is another's."""
        try:
            await self._work(lease)
        except Refused as refused:
            if refused.code != StaleFence.code:
                raise

    async def _work(self, lease: Lease) -> None:
        task, held = lease["task"], {"task": lease["task"], "fence": lease["fence"]}
        await self._caller.ask("task.start", held)
        await asyncio.sleep(self._effort_s(task) / 2)
        if task in novel.HANDOFFS and "handoff" not in lease:
            await self._hand_over(task, held)
            return
        if task == novel.FAILS_ONCE and lease["attempt"] == 1:
            await self._caller.ask("task.fail", held | {"error": novel.MISTAKE})
            await self._caller.ask("failure.record", novel.FAILURE)
            return
        await self._caller.ask("task.progress", held | {"percent": 50, "note": "half way"})
        await asyncio.sleep(self._effort_s(task) / 2)
        await self._caller.ask("task.complete", held | {"result": {"file": f"{task.replace('.', '/')}.md"}})

    async def _hand_over(self, task: str, held: dict[str, Any]) -> None:
        """Offer the task, and keep it until somebody has taken it."""
        offer = novel.HANDOFFS[task]
        if "to_agent" in offer:
            await self._board.until(lambda: self._board.is_active(offer["to_agent"]))
        answer = await self._caller.ask("handoff.initiate", held | offer)
        name = answer.result["handoff"]
        await self._board.until(lambda: any(row.handoff == name for row in self._board.handoffs))
        await self._board.until(lambda: self._board.task(task).holder != self._member.name)

    def _effort_s(self, task: str) -> float:
        """Between half of the longest time and all of it, the same for each task in every run."""
        digest = blake2b(task.encode(), digest_size=1).digest()
        return self._pace.work_s * (0.5 + digest[0] / 510)

    async def _beat(self) -> None:
        """Renew every lease, as long as the agent lives."""
        while not await either(self._over, HEARTBEAT_S):
            await self._caller.ask("agent.heartbeat")
