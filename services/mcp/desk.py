"""One client's session: the agent it is, the tasks it holds with their fences, and their heartbeats.

A model knows tasks by their ids alone. What it holds is what the answer to a heartbeat says: leases that are
gone are told once, loudly, and leases that nobody told the model of (a claim whose caller gave up, an earlier
life of this agent) are handed out by the next claim.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from domain.errors import CoordError
from services.bus.caller import Refused
from services.mcp.line import Item, Line
from services.waiting import either

if TYPE_CHECKING:  # few sessions look back, and only they need the database's client
    from services.reading.past import Measured

BEATS_PER_LEASE = 3
MIN_BEAT_S = 0.3
MAX_BEAT_S = 60.0
PLATFORM = "mcp"
GONE = frozenset({"agent_terminated", "unknown_agent"})
ENDED = "its MCP session ended"

logger = logging.getLogger(__name__)


class NotHeld(CoordError):
    code = "not_held"
    says = "You do not hold {task}; you hold {held}."


class NothingHeld(CoordError):
    code = "not_held"
    says = "You hold no task."


class WhichTask(CoordError):
    code = "which_task"
    says = "You hold several tasks: {held}. Say which one you mean."


class Held(Struct, frozen=True):
    """A task that this session holds; the lease in seconds."""

    task: str
    fence: int
    lease_s: float
    title: str = ""


class Desk:
    """What stays between one client's calls. Close it in the end."""

    def __init__(
        self,
        line: Line,
        *,
        persona: str | None = None,
        database_url: str | None = None,
        measured: "Measured" = nullcontext,
    ) -> None:
        """`measured` goes around each look at the past."""
        self.line = line
        self.database_url = database_url
        self.measured = measured
        self.persona = persona
        self.session: str | None = None
        self.held: dict[str, Held] = {}
        self.offered: set[str] = set()
        self._untold: dict[str, None] = {}
        self._lost: list[str] = []
        self._spawned = False
        self._present = False
        self._spawning = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._claims: set[asyncio.Task[Item | None]] = set()
        self._left: asyncio.Task[Item | None] | None = None
        self._closed = asyncio.Event()
        self._endings: list[Callable[[], Awaitable[None]]] = []
        self._beating: asyncio.Task[None] | None = None

    @property
    def agent(self) -> str:
        return self.line.actor

    def delegating(self) -> Item:
        """The field that links what is enqueued to the session that was begun here, if one was."""
        return {"session": self.session} if self.session else {}

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Have something of this session's ended with it."""
        self._endings.append(ending)

    async def appear(self) -> None:
        """Spawn the agent, if that was not done; take over what it holds from an earlier life."""
        async with self._spawning:
            if self._present:
                return
            fields = {"persona": self.persona, "platform": PLATFORM}
            try:
                answer = await self.line.ask("agent.spawn", fields)
            except Refused as error:
                if error.code != "agent_exists" or error.facts.get("persona") != self.persona:
                    raise
                answer = {"unchanged": True}  # the same persona, spawned elsewhere with other details
            self._spawned = not answer.get("unchanged", False)
            self._present = True
            if not self._spawned:
                await self._beat(adopt=True)

    async def close(self) -> None:
        """End in order: what is held goes back to the queue with a note, and the agent we spawned ends."""
        self._closed.set()
        for ending in self._endings:
            await ending()
        for task in self._claims:
            task.cancel()
        if self._beating is not None:
            await self._beating
        try:
            if self._spawned and self._present:
                await self.line.ask("agent.leave", {"reason": ENDED})
            else:
                for held in self.held.values():
                    fields = {"task": held.task, "fence": held.fence, "reason": ENDED}
                    await self.line.ask("task.release", fields)
        except CoordError as error:
            if error.code in GONE:  # somebody else ended it
                return
            logger.warning("%s could not leave in order, so its leases expire: %s", self.agent, error)
        self.held.clear()

    async def claim(self, task: str | None, wait_s: float) -> Item | None:
        """A lease with its brief: of what was offered to us, else from the queue; None if there is none.

        A claim whose caller gives up goes on by itself: the next one joins it, or gets what came of it.
        """
        joined = self._left if task is None and self._left and not self._left.done() else None
        claiming = joined or self._begin(task, wait_s)
        try:
            await asyncio.wait({claiming}, timeout=wait_s if joined else None)
        finally:
            if not claiming.done() and claiming is not self._left:
                self._left = claiming
                claiming.add_done_callback(self._keep)
        if not claiming.done():
            return None
        if lease := claiming.result():
            self._untold.pop(lease["task"], None)
        return lease

    def _begin(self, task: str | None, wait_s: float) -> "asyncio.Task[Item | None]":
        claiming = asyncio.create_task(self._claim(task, wait_s))
        self._claims.add(claiming)
        claiming.add_done_callback(self._claims.discard)
        return claiming

    def _keep(self, claiming: "asyncio.Task[Item | None]") -> None:
        """What a claim brought whose caller was gone; one that failed then matters to nobody."""
        if not claiming.cancelled() and claiming.exception() is None and (lease := claiming.result()):
            self._untold[lease["task"]] = None

    async def _claim(self, task: str | None, wait_s: float) -> Item | None:
        await self.appear()
        if task is None and self._untold:
            task = next(iter(self._untold))
        try:
            return await self._next(task, wait_s)
        except Refused as error:
            if error.code not in GONE or self.held:
                raise
        self._present = False  # ended while it held nothing, for being idle: it comes back
        await self.appear()
        return await self._next(task, wait_s)

    async def _next(self, task: str | None, wait_s: float) -> Item | None:
        lease = await self._accept(task)
        if lease is None:
            fields: Item = {"task": task} if task else {"wait_s": wait_s}
            answer = await self.line.ask("task.claim", fields, wait_s=0.0 if task else wait_s)
            lease = next(iter(answer["tasks"]), None)
        if lease is not None:
            self._take(lease)
        return lease

    async def _accept(self, task: str | None) -> Item | None:
        """The first handoff offered to us that is still open when we take it."""
        asked: list[Item] = [{"agent": self.agent}, {"persona": self.persona}]
        offers = [
            each for who in asked for each in await self.line.read("handoffs", status=["initiated"], **who)
        ]
        for offer in offers:
            ours = offer["to_agent"] in (None, self.agent) and offer["from_agent"] != self.agent
            if ours and task in (None, offer["task"]):
                try:
                    return await self.line.ask("handoff.accept", {"handoff": offer["handoff"]})
                except Refused as error:
                    if error.code not in ("handoff_wrong_state", "handoff_not_yours", "unknown_handoff"):
                        raise
        return None

    def holding(self, task: str | None) -> Held:
        """The task that is meant: the one named, or the only one. Raises NotHeld, NothingHeld, WhichTask."""
        if task is not None and task in self.held:
            return self.held[task]
        if not self.held:
            raise NothingHeld
        names = ", ".join(self.held)
        if task is not None:
            raise NotHeld(task=task, held=names)
        if len(self.held) > 1:
            raise WhichTask(held=names)
        return next(iter(self.held.values()))

    async def tell(self, verb: str, task: str | None, fields: Mapping[str, Any], *, ends: bool) -> Item:
        """A command about a task that we hold, under its fence; `ends` if we hold it no more afterwards."""
        async with self._changing:
            held = self.holding(task)
            try:
                answer = await self.line.ask(verb, {"task": held.task, "fence": held.fence, **fields})
            except Refused as error:
                if error.code in ("stale_fence", *GONE):
                    self.held.pop(held.task, None)
                raise
            if ends:
                self.held.pop(held.task, None)
            return {"task": held.task, **answer}

    async def check(self) -> None:
        """Make sure that what we think we hold is ours still."""
        if self.held:
            await self._beat()

    def alert(self) -> str:
        """What must be told of leases that are gone; it is told once."""
        told, self._lost = self._lost, []
        return " ".join(told)

    def _take(self, lease: Item) -> None:
        task = lease["task"]
        self._untold.pop(task, None)
        self.held[task] = Held(task, lease["fence"], lease["lease_s"], lease["title"])
        self._keep_beating()

    def _keep_beating(self) -> None:
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat_on())

    async def _beat_on(self) -> None:
        """Heartbeats as long as anything is held, several to the shortest lease."""
        while self.held:
            shortest_s = min(held.lease_s for held in self.held.values())
            pause_s = min(max(shortest_s / BEATS_PER_LEASE, MIN_BEAT_S), MAX_BEAT_S)
            if await either(self._closed, pause_s):
                return
            try:
                await self._beat()
            except CoordError as error:
                logger.warning("a heartbeat of %s failed, and is tried again: %s", self.agent, error)

    async def _beat(self, *, adopt: bool = False) -> None:
        """Renew all leases, and see which there are; what a claim under way may bring is left to it."""
        async with self._changing:
            before, adopt = dict(self.held), adopt or not self._claims
            try:
                answer = await self.line.ask("agent.heartbeat", {})
            except Refused as error:
                if error.code not in GONE:
                    raise
                self._present = False
                for task in before:
                    self._lose(task, str(error))
                return
            leases = {lease["task"]: lease for lease in answer["leases"]}
            for task, held in before.items():
                if self.held.get(task) is held and leases.get(task, {}).get("fence") != held.fence:
                    await self._explain(task)
            for task in leases:
                if task not in self.held and adopt:
                    self._untold[task] = None

    async def _explain(self, task: str) -> None:
        """A lease is gone: to whom the task went, as far as the read models know."""
        try:
            rows = await self.line.read("queue", entity=task)
        except CoordError as error:
            logger.warning("nobody told where task %s went: %s", task, error)
            rows = []
        row = rows[0] if rows else {"status": "not yours", "holder": None, "reason": ""}
        if task in self.offered and row["holder"]:
            self._let_go(task, f"{row['holder']} took {task} over: you are done with it.")
            return
        holder = f" by {row['holder']}" if row["holder"] else ""
        reason = f" ({row['reason']})" if row["reason"] else ""
        self._lose(task, f"it is {row['status']}{holder}{reason}")

    def _lose(self, task: str, why: str) -> None:
        self._let_go(
            task, f"STOP working on {task}: you no longer hold it ({why}). Nothing you do on it counts."
        )

    def _let_go(self, task: str, why: str) -> None:
        self.held.pop(task, None)
        self.offered.discard(task)
        self._lost.append(why)
