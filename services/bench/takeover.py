"""How soon a writer answers again for a project of many live tasks, after the one before it was killed.

The tasks are appended to the log of a running system, in a project of their own, and projected; the writer is
killed, and the supervisor starts the next one.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from time import perf_counter

import msgspec
from eventsourcing.persistence import StoredEvent

from domain.catalog import EVENTS, upcast
from domain.messages import Context
from domain.tasks.events import TaskEnqueued
from services.bench.load import Load
from services.bench.suite import Figure
from services.bench.system import SETTLE_TIMEOUT_S, System
from services.bench.workloads import PLAN_TASKS, Verdict
from services.errors import Unavailable
from services.log.codec import Codec
from services.log.event_log import EventLog

PROJECT = "live"
CHUNK_PLANS = 10
TARGET_S = 10
PATIENCE_S = 300.0
ANSWER_TIMEOUT_S = 1.0
PAUSE_S = 0.02
SLOWEST_EVENTS_PER_S = 2_000

_verdict = msgspec.json.Decoder(Verdict).decode


async def taking_over(system: System, tasks: int) -> Figure:
    """From the old writer's end to the new one's first answer in that project: seconds."""
    await asyncio.to_thread(_append, system.database_url, tasks)
    timeout_s = SETTLE_TIMEOUT_S + tasks / SLOWEST_EVENTS_PER_S
    await system.settled(timeout_s)
    await system.relayed(timeout_s)
    async with Load(system.nats_url, PROJECT) as load:
        began = perf_counter()
        system.kill("writer")
        await _answered(load)
        seconds = perf_counter() - began
    name = f"a killed writer's successor answers for {tasks} live tasks"
    return Figure(name=name, value=seconds, unit="s", target=TARGET_S, at_most=True)


async def _answered(load: Load) -> None:
    """Ask until there is a writer that says yes. Raises Unavailable if there never is."""
    until = perf_counter() + PATIENCE_S
    while perf_counter() < until:
        try:
            answer = await asyncio.wait_for(
                load.ask("a0", "agent.spawn", b'{"persona":"writing"}'), ANSWER_TIMEOUT_S
            )
        except TimeoutError:
            continue  # it was asked when the old writer had ended and nobody had noticed yet
        if answer and _verdict(answer).ok:
            return
        await asyncio.sleep(PAUSE_S)  # an empty answer says that nobody listens
    raise Unavailable(what="The writer", why="it did not come back")


def _append(database_url: str, tasks: int) -> None:
    with closing(EventLog(database_url)) as log:
        for chunk in _chunks(tasks):
            log.append(chunk)


def _chunks(tasks: int) -> Iterator[list[StoredEvent]]:
    """Plans of tasks that can be claimed, as the log is to store them."""
    codec, at = Codec(EVENTS, upcast), datetime.now(UTC)
    for first in range(1, tasks + 1, CHUNK_PLANS * PLAN_TASKS):
        last = min(first + CHUNK_PLANS * PLAN_TASKS - 1, tasks)
        yield [_stored(codec, at, number) for number in range(first, last + 1)]


def _stored(codec: Codec, at: datetime, number: int) -> StoredEvent:
    plan, place = divmod(number - 1, PLAN_TASKS)
    context = Context(project=PROJECT, actor="bench", at=at, command_id=f"plan-{plan}")
    event = TaskEnqueued(
        task=f"t{plan:x}n{place}",
        title=f"Task {number}",
        status="queued",
        priority=number % 10,
        plan=f"plan-{plan}",
        local=f"n{place}",
    )
    return codec.encode(event, context, number)
