"""Keeping leases alive: one heartbeat for all that is held, often enough for the shortest of them.

Asks through `beat`, and tells the tasks whose fence is dead.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from coord.errors import AgentTerminated, CoordError, UnknownAgent
from coord.task import Task

MAX_PERIOD_S = 30.0
BEATS_PER_LEASE = 3

Leases = dict[str, int]
"""Tasks and their fences, as the service knows them."""

logger = logging.getLogger("coord")


class Keeper:
    """The tasks that are held, and those offered that nobody has accepted yet."""

    def __init__(self, beat: Callable[[], Awaitable[Leases]]) -> None:
        self._beat = beat
        self._changed = asyncio.Event()
        self.held: dict[str, Task] = {}
        self.offered: dict[str, Task] = {}

    def hold(self, task: Task) -> None:
        self.held[task.id] = task
        self._changed.set()

    def drop(self, task: Task) -> None:
        if self.held.get(task.id) is task:
            del self.held[task.id]

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            left_s = last + self._period_s() - loop.time()
            if left_s > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), left_s)
                continue
            last = loop.time()
            await self._look()

    async def _look(self) -> None:
        """Beat once; what the service does not know of is lost."""
        before = {**self.held, **self.offered}
        try:
            leases = await self._beat()
        except (AgentTerminated, UnknownAgent) as error:
            leases, why = {}, str(error)
        except CoordError as error:
            logger.warning("no heartbeat came through: %s", error)
            return
        else:
            why = "it expired, or was given to somebody else."
        for name, task in before.items():
            if leases.get(name) == task.fence:
                continue
            if self.held.get(name) is task:
                task.lose(why)
            elif self.offered.get(name) is task:  # accepted, and with its receiver now
                del self.offered[name]

    def _period_s(self) -> float:
        terms = [task.lease_s for task in (*self.held.values(), *self.offered.values())]
        return min([MAX_PERIOD_S, *(term / BEATS_PER_LEASE for term in terms)])
