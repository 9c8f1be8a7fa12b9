"""The work loop: one task after another, claimed by waiting, each settled before the next.

Asks through the session; what it hands out is held until it is over.
"""

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import msgspec

from coord.errors import AgentTerminated, CoordError, Rejected, UnknownAgent
from coord.results import Brief, PastFailure
from coord.task import Task

if TYPE_CHECKING:
    from coord.client import Client

CLAIM_WAIT_S = 10.0
MAX_CLAIM_WAIT_S = 60.0
FIRST_BACKOFF_S = 0.2
MAX_BACKOFF_S = 10.0
_PASSED = ("idle", "silent")
"""Why an agent is ended that nobody meant to end."""

logger = logging.getLogger("coord")


class Work:
    """An async iterator of tasks; made by `Client.work`."""

    def __init__(
        self,
        client: "Client",
        *,
        at_once: int,
        idle_s: float | None,
        wait_s: float,
        fatal: tuple[type[BaseException], ...],
        cancels: bool = True,
    ) -> None:
        self._client = client
        self._at_once = at_once
        self._idle_s = idle_s
        self._wait_s = min(wait_s, MAX_CLAIM_WAIT_S)
        self._fatal = fatal
        self._cancels = cancels
        self._open: list[Task] = []
        self._strays: list[str] | None = None
        self._backoff_s = FIRST_BACKOFF_S

    def __aiter__(self) -> "Work":
        return self

    async def __anext__(self) -> Task:
        await self._settle_last()
        await self._make_room()
        brief = await self._next()
        if brief is None:
            raise StopAsyncIteration
        task = Task(brief, self._client, self._fatal)
        task.failures = await self._failures(brief)
        if self._cancels and self._at_once == 1:
            task.run_by(asyncio.current_task())
        self._client.keeper.hold(task)
        self._open.append(task)
        return task

    async def _failures(self, brief: Brief) -> list[PastFailure]:
        """What failed before that is like this task, which is claimed and handed to nobody yet."""
        try:
            return await self._client.adviser.failures(brief.title, brief.description)
        except BaseException:
            self._strays = None  # it comes with the next turn
            raise

    async def leave(self, error: BaseException | None) -> None:
        """The loop was left: settle a task that has no block of its own. Raises LeaseLost if that was why."""
        task = self._plain()
        if task is None:
            return
        self._open.clear()
        task.run_by(None)
        if task.lost and isinstance(error, asyncio.CancelledError) and task.was_cancelled():
            raise task.loss()
        if error is None and task.state == "held" and task.result is None:
            await task.release("its agent left the loop")
        else:
            await task.settle(error)

    async def _settle_last(self) -> None:
        """Without a block of its own, a task is completed when the loop asks for the next."""
        task = self._plain()
        if task is not None:
            task.run_by(None)
            await task.settle(None)

    def _plain(self) -> Task | None:
        last = self._open[-1] if self._open and self._at_once == 1 else None
        return last if last is not None and not last.entered else None

    async def _make_room(self) -> None:
        """Wait until fewer tasks are under way than may be at once."""
        while len(busy := [task for task in self._open if not task.over.is_set()]) >= self._at_once:
            overs = [asyncio.create_task(task.over.wait()) for task in busy]
            try:
                await asyncio.wait(overs, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in overs:
                    each.cancel()
        self._open = busy

    async def _next(self) -> Brief | None:
        """The next task: one held already, one offered, or one claimed. None when the loop is to end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._client.stopping:
            wait_s = self._wait_s
            if self._idle_s is not None:
                wait_s = min(wait_s, max(began + self._idle_s - loop.time(), 0.0))
            try:
                await self._client.bus.until_connected()
                await self._client.flush()  # what was asked before, such as to be spawned, is done before
                brief = await self._held() or await self._offered() or await self._claimed(wait_s)
            except (AgentTerminated, UnknownAgent) as error:
                if error.code == "agent_terminated" and error.facts.get("reason") not in _PASSED:
                    raise
                await self._client.spawn()
                continue
            except CoordError as error:
                if not error.retryable:
                    raise
                await self._rest(error)
                brief = None
            if brief is not None:
                self._backoff_s = FIRST_BACKOFF_S
                return brief
            if self._idle_s is not None and loop.time() >= began + self._idle_s:
                return None
        return None

    async def _rest(self, error: CoordError) -> None:
        logger.warning("no task can be claimed now: %s", error)
        await asyncio.sleep(self._backoff_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
        self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)

    async def _held(self) -> Brief | None:
        """What this agent holds from a life before, or from a claim whose answer was never heard."""
        if self._strays is None:
            known = {*self._client.keeper.held, *self._client.keeper.offered}
            self._strays = [name for name in await self._client.beat() if name not in known]
        while self._strays:
            try:
                answer = await self._client.ask("task.claim", {"task": self._strays.pop()})
            except Rejected as error:
                logger.info("a task held before is not any more: %s", error)
                continue
            for found in answer.result["tasks"]:
                return msgspec.convert(found, Brief)
        return None

    async def _offered(self) -> Brief | None:
        while handoff := self._client.next_offer():
            try:
                answer = await self._client.ask("handoff.accept", {"handoff": handoff})
            except Rejected as error:
                logger.info("handoff %s went to somebody else: %s", handoff, error)
                continue
            if "task" in answer.result:
                return msgspec.convert(answer.result, Brief)
        return None

    async def _claimed(self, wait_s: float) -> Brief | None:
        try:
            answer = await self._client.ask("task.claim", {"wait_s": wait_s}, wait_s=wait_s)
        except BaseException:
            self._strays = None  # it may have been granted
            raise
        for found in answer.result["tasks"]:
            return msgspec.convert(found, Brief)
        return None
