"""What a listener on JetStream knows of the fleet: the folds of the read models, applied to what it hears."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from domain.catalog import EVENTS
from domain.messages import Recorded
from projections.agents import AGENTS, AgentRow
from projections.handoffs import HANDOFFS, HandoffRow
from projections.queue import QUEUE, TaskRow
from services.bus.connection import connect
from services.log.codec import Codec
from services.relay.relay import POSITION, SEQUENCE, STREAM

RECENT_EVENTS = 50
STREAM_TIMEOUT_S = 10.0
STREAM_POLL_S = 0.05
LISTENER = "listener"

Listener = Callable[[Recorded], None]


class Board:
    """The agents, tasks and handoffs of a project as far as they were heard of."""

    def __init__(self, project: str, codec: Codec, on_event: Listener) -> None:
        self._project = project
        self._codec = codec
        self._on_event = on_event
        self._rows: dict[str, dict[Any, Any]] = {each.name: {} for each in (AGENTS, QUEUE, HANDOFFS)}
        self._changed = asyncio.Condition()
        self.recent: deque[Recorded] = deque(maxlen=RECENT_EVENTS)
        self.heard_events = 0
        self.in_order = True

    @property
    def agents(self) -> list[AgentRow]:
        return list(self._rows[AGENTS.name].values())

    @property
    def tasks(self) -> list[TaskRow]:
        return list(self._rows[QUEUE.name].values())

    @property
    def handoffs(self) -> list[HandoffRow]:
        return list(self._rows[HANDOFFS.name].values())

    def agent(self, name: str) -> AgentRow | None:
        row: AgentRow | None = self._rows[AGENTS.name].get((self._project, name))
        return row

    def task(self, name: str) -> TaskRow:
        row: TaskRow = self._rows[QUEUE.name][self._project, name]
        return row

    def is_active(self, name: str) -> bool:
        row = self.agent(name)
        return row is not None and row.status == "active"

    def completed(self) -> int:
        return sum(task.status == "completed" for task in self.tasks)

    def has_work_for(self, persona: str) -> bool:
        """Whether a task of this persona is not completed yet."""
        return any(task.persona == persona and task.status != "completed" for task in self.tasks)

    def offer_to(self, agent: str, persona: str) -> HandoffRow | None:
        """A handoff that waits for this agent's answer."""
        offers = (row for row in self.handoffs if row.status == "initiated" and row.from_agent != agent)
        return next((row for row in offers if row.to_agent == agent or row.to_persona == persona), None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as the condition holds; it is tried after each event."""
        async with self._changed:
            await self._changed.wait_for(condition)

    @asynccontextmanager
    async def listening(self, nats_url: str) -> AsyncIterator[None]:
        """Hear every event of the project, from the first on."""
        nats = await connect(nats_url, f"coordctl-{LISTENER}", actor=LISTENER)
        try:
            jetstream = nats.jetstream()
            await _stream_exists(jetstream)
            subjects = f"coord.{self._project}.evt.>"
            await jetstream.subscribe(subjects, stream=STREAM, ordered_consumer=True, cb=self._hear)
            yield
        finally:
            await nats.close()

    async def _hear(self, message: Msg) -> None:
        recorded = self._decode(message)
        self.in_order &= recorded.sequence == self.heard_events + 1
        self.heard_events += 1
        for projection in (AGENTS, QUEUE, HANDOFFS):
            projection.fold_into(self._rows[projection.name], projection.touches([recorded]))
        self.recent.append(recorded)
        self._on_event(recorded)
        async with self._changed:
            self._changed.notify_all()

    def _decode(self, message: Msg) -> Recorded:
        headers = message.headers or {}
        name = ".".join(message.subject.split(".")[3:5])
        topic = f"{name}@{EVENTS[name].version}"
        place = (int(headers[POSITION]), self._project, int(headers[SEQUENCE]))
        return self._codec.decode((*place, topic, message.data))


async def _stream_exists(jetstream: JetStreamContext) -> None:
    """Wait for the relay to create its stream, which it does soon after its start."""
    async with asyncio.timeout(STREAM_TIMEOUT_S):
        while True:
            try:
                await jetstream.stream_info(STREAM)
            except NotFoundError:
                await asyncio.sleep(STREAM_POLL_S)
            else:
                return
