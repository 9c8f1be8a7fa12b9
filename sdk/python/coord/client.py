"""An agent's session with coordctl: its commands, its reads, its events, its work.

Connects, keeps what is held alive, and sends what waits in the outbox. `coord.connect` is the way in.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec

from coord.advice import Adviser
from coord.bus import PATIENCE_S, Bus
from coord.commands import Commands
from coord.errors import Away, CoordError, LeaseLost, NotConfigured, Rejected
from coord.events import Events
from coord.leases import Keeper
from coord.offers import Offers
from coord.outbox import Outbox, Owner
from coord.results import Answer, Conflict, Enqueued, Event, Initiated, Offered, Planned, Rows
from coord.sending import OnConflict
from coord.task import Task
from coord.tracing import within
from coord.work import CLAIM_WAIT_S, Work

CLOSE_TIMEOUT_S = 10.0
OUTBOX_CONNECT_S = 2.0

logger = logging.getLogger("coord")


class Client:
    """Use as an async context manager; see `coord.connect`."""

    def __init__(
        self,
        bus: Bus,
        project: str,
        agent: str,
        persona: str | None,
        *,
        capabilities: tuple[str, ...] = (),
        platform: str = "",
        stay: bool = False,
        outbox: Path | None = None,
        on_conflict: OnConflict | None = None,
        traceparent: str | None = None,
        advice: bool = True,
    ) -> None:
        self.bus = bus
        self.project = project
        self.agent = agent
        self.persona = persona
        self.stopping = False
        self.keeper = Keeper(self.beat)
        self.adviser = Adviser(bus, project, wanted=advice)
        self._spawning = {"capabilities": list(capabilities), "platform": platform}
        self._stay = stay
        self._spawned = False
        self._offers: Offers | None = None
        self._outbox_path = outbox
        self._outbox: Outbox | None = None
        self._on_conflict = on_conflict
        self._commands = Commands(bus, project, agent, traceparent)
        self._works: list[Work] = []
        self._events: set[Events] = set()
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        if self._outbox_path is not None:
            self._outbox = Outbox(self._outbox_path, Owner(self.project, self.agent))
        try:
            await self._open_bus()
            if self._outbox is not None:
                self._start(self._commands.keep_in(self._outbox, self._on_conflict).run())
            if self.persona is not None:
                await self.spawn()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for work in self._works:
                await work.leave(error)
        finally:
            await asyncio.shield(self._leave())

    async def command(
        self, verb: str, *, command_id: str | None = None, wait_s: float = 0.0, **fields: Any
    ) -> Answer:
        """Any command, as in `command("task.cancel", task="t1")`; see the wire protocol for what there is.

        `wait_s` is how long it may take beyond the usual. Raises Rejected or Unavailable.
        """
        return await self.tell(verb, fields, command_id=command_id, wait_s=wait_s)

    async def enqueue(self, title: str, *, command_id: str | None = None, **fields: Any) -> Enqueued:
        """Add a task; `fields` are its id, description, type, persona, priority, depends_on, input, …"""
        asking = self.tell("task.enqueue", {"title": title, **fields}, command_id=command_id)
        answer, failures, _ = await self.adviser.beside(asking, title, fields.get("description"))
        return msgspec.structs.replace(answer.as_a(Enqueued), failures=failures)

    async def spike(
        self, question: str, approach: str = "", *, task: str | None = None, command_id: str | None = None
    ) -> Initiated:
        """Begin a trial that answers a question; `command("spike.conclude", …)` says what it showed."""
        fields = {"question": question, "approach": approach, "task": task}
        asking = self.tell("spike.initiate", fields, command_id=command_id)
        answer, failures, spikes = await self.adviser.beside(asking, question, approach, spikes=True)
        return msgspec.structs.replace(answer.as_a(Initiated), failures=failures, spikes=spikes)

    async def plan(
        self,
        tasks: Iterable[Mapping[str, Any]],
        *,
        session: str | None = None,
        command_id: str | None = None,
    ) -> Planned:
        """Add a graph of tasks, all or none: each has a `local` name, which `depends_on` may use.

        `session` is the open session that delegates them.
        """
        fields = {"tasks": [*tasks], "session": session}
        answer = await self.tell("task.plan", fields, command_id=command_id)
        return answer.as_a(Planned)

    async def landing(self, **params: Any) -> dict[str, Any]:
        """What there is to know before work begins, as data and as its `prompt`.

        `params` may be a session, task, focus, persona, role, tokens (how long the prompt may be), as_of.
        """
        found: dict[str, Any] = (await self.view("landing", **{"agent": self.agent, **params})).rows[0]
        return found

    async def view(self, name: str, **params: Any) -> Rows:
        """The rows of a view: queue, task, agents, handoffs, activity, …

        With `min_position`, rows that include the event there. Raises Rejected or Unavailable.
        """
        payload = msgspec.json.encode(params)
        wait_s = float(params.get("wait_s", 2.0)) if params.get("min_position") else 0.0
        reply = await self.bus.ask(f"coord.{self.project}.get.{name}", payload, wait_s=wait_s)
        return Rows(reply["position"], reply["result"])

    async def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event of the project after a position of the log, and then each as it happens."""

        async def read(params: dict[str, Any]) -> list[dict[str, Any]]:
            return (await self.view("events", **params)).rows

        events = Events(self.bus, self.project, read, after)
        self._events.add(events)
        try:
            async for event in events:
                yield event
        finally:
            self._events.discard(events)
            await events.aclose()

    def work(
        self,
        persona: str | None = None,
        *,
        at_once: int = 1,
        idle_s: float | None = None,
        wait_s: float = CLAIM_WAIT_S,
        fatal: tuple[type[BaseException], ...] = (),
        cancels: bool = True,
    ) -> Work:
        """Tasks to work on, one after another, each claimed by waiting; and handoffs that are offered.

        Ends after `idle_s` without one, else never. With `at_once` more than one, let each have its own
        asyncio task that enters it by `async with`. `fatal` exceptions fail a task for good. `wait_s` is how
        long one claim waits, and so how late an offer may be seen. A lost lease cancels the block, unless
        `cancels` is false.
        """
        if persona is not None and self.persona is None:
            self.persona = persona
        if self.persona is None:
            raise NotConfigured("Whoever works has a persona: name one in connect(…) or work(…).")
        if persona not in (None, self.persona):
            raise NotConfigured(
                f"Agent {self.agent} is a {self.persona}; work as {persona} under another name."
            )
        work = Work(self, at_once=at_once, idle_s=idle_s, wait_s=wait_s, fatal=fatal, cancels=cancels)
        self._works.append(work)
        return work

    def stop(self) -> None:
        """Let the work loops end after the task under way, or when their claim's wait is over."""
        self.stopping = True

    @property
    def waiting(self) -> int:
        """How many commands wait in the outbox."""
        return self._commands.waiting

    def conflicts(self) -> list[Conflict]:
        """Queued commands that did not fit any more when they were sent, until they are acknowledged."""
        return self._commands.conflicts

    def acknowledge(self, conflict: Conflict) -> None:
        """Take note of a conflict: it is told of no more."""
        self._commands.acknowledge(conflict)

    async def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Wait until the outbox is empty. Raises Away."""
        await self._commands.flush(timeout_s)

    async def spawn(self) -> Answer:
        """Make this agent known, if it is not; from then on it is kept from going stale."""
        if self.persona is None:
            raise NotConfigured("An agent has a persona: name one in connect(…) or work(…).")
        answer = await self.tell("agent.spawn", {"persona": self.persona, **self._spawning})
        self._spawned = self._spawned or not (answer.in_outbox or answer.result.get("unchanged"))
        if self._offers is None:
            self._offers = Offers(self.agent, self.persona, self._look, self._take_back)
            self.bus.on_return.append(self._offers.missed)
            await self.bus.subscribe(f"coord.{self.project}.evt.handoff.>", self._offers.take)
            self._start(self._offers.run())
            self._start(self.keeper.run())
        return answer

    async def terminate(self, reason: str = "") -> Answer:
        """End this agent; what it holds returns to the queue."""
        self._spawned = False
        return await self.tell("agent.leave", {"reason": reason})

    async def tell(
        self,
        verb: str,
        fields: dict[str, Any],
        *,
        command_id: str | None = None,
        wait_s: float = 0.0,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """Send a command; with an outbox, keep it there while it cannot be sent, or others are before it."""
        return await self._commands.tell(verb, fields, command_id, wait_s, patience_s)

    async def ask(self, verb: str, fields: dict[str, Any], wait_s: float = 0.0) -> Answer:
        """Send a command whose answer is needed now. Raises Rejected or Unavailable."""
        return await self._commands.send(verb, fields, uuid4().hex, wait_s)

    async def beat(self) -> dict[str, int]:
        """A sign of life, which renews every lease; returns the tasks held and their fences."""
        with within(None):  # it is nobody's work
            answer = await self.ask("agent.heartbeat", {})
        return {lease["task"]: lease["fence"] for lease in answer.result["leases"]}

    def next_offer(self) -> str | None:
        """The handoff to accept next, if there is one."""
        return self._offers.next() if self._offers is not None else None

    def let_go(self, task: Task) -> None:
        """The task is held no more."""
        self.keeper.drop(task)

    def keep_offer(self, task: Task, offer: Offered) -> None:
        """The task is offered: its lease is kept until somebody accepts."""
        self.keeper.offered[task.id] = task
        if self._offers is not None and offer.handoff:
            self._offers.made(offer.handoff, task)

    async def _look(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return (await self.view("handoffs", **params)).rows

    async def _take_back(self, task: Task, reason: str) -> None:
        """Nobody took over what was offered: back into the queue with it."""
        self.keeper.offered.pop(task.id, None)
        try:
            await self.tell("task.release", {"task": task.id, "fence": task.fence, "reason": reason})
        except Rejected as error:
            logger.info("task %s is out of our hands: %s", task.id, error)

    async def _open_bus(self) -> None:
        if self._outbox is None:
            await self.bus.open(PATIENCE_S)
            return
        try:
            await self.bus.open(OUTBOX_CONNECT_S)
        except Away as error:
            logger.warning("working offline: %s", error)

    def _start(self, running: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(running)
        task.add_done_callback(_tell_fault)
        self._background.append(task)

    async def _leave(self) -> None:
        """Send what waits, let go of what is held, end the agent if it began here; if the bus is there."""
        try:
            if self.bus.connected:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._say_goodbye()
        except (CoordError, TimeoutError) as error:
            logger.warning("agent %s left without a goodbye: %s", self.agent, error)
        finally:
            await self._close()

    async def _say_goodbye(self) -> None:
        for task in [*self.keeper.held.values()]:
            with suppress(LeaseLost):
                await task.release("its agent left")
        await self._commands.flush(CLOSE_TIMEOUT_S)
        if self._spawned and not self._stay and not self.keeper.offered:
            await self.ask("agent.leave", {"reason": "its session ended"})

    async def _close(self) -> None:
        for events in [*self._events]:
            await events.aclose()
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await self.bus.close()
        if self._outbox is not None:
            self._outbox.close()


def _tell_fault(task: asyncio.Task[None]) -> None:
    """What runs in the background ends with the session; anything else is a fault that must show."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("a part of the session stopped", exc_info=fault)
