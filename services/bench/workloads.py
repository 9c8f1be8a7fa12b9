"""What the load does: each workload drives the system through its door and returns what it saw."""

import asyncio
from collections.abc import Awaitable, Sequence
from statistics import quantiles
from time import perf_counter

import msgspec
from msgspec import Struct

from services.bench.load import Load
from services.errors import Unavailable

PLAN_TASKS = 500
MAX_CLAIM_TASKS = 100


class Lease(Struct):
    task: str
    fence: int


class Claimed(Struct, frozen=True):
    tasks: tuple[Lease, ...] = ()


class Claim(Struct):
    """The part of a claim's reply that the load looks at."""

    ok: bool
    result: Claimed = Claimed()


class Verdict(Struct):
    """The part of any other reply that the load looks at."""

    ok: bool
    error: dict[str, object] | None = None


class Rate(Struct, kw_only=True):
    """Things done in a time, and how long each took (milliseconds)."""

    done: int
    seconds: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @property
    def per_second(self) -> float:
        return self.done / self.seconds


_claim = msgspec.json.Decoder(Claim)
_verdict = msgspec.json.Decoder(Verdict)
_encode = msgspec.json.Encoder().encode


async def must(load: Load, actor: str, verb: str, fields: object) -> None:
    """A command that has to succeed. Raises Unavailable if it did not."""
    verdict = _verdict.decode(await load.ask(actor, verb, _encode(fields)))
    if not verdict.ok:
        raise Unavailable(what=f"The benchmark's {verb}", why=str(verdict.error))


async def claim(load: Load, agent: str, payload: bytes) -> tuple[Lease, ...]:
    """The leases an agent gets; raises Unavailable if it gets none."""
    leases = _claim.decode(await load.ask(agent, "task.claim", payload)).result.tasks
    if not leases:
        raise Unavailable(what="The benchmark", why="the queue ran empty or a claim was refused")
    return leases


async def spawn(load: Load, agents: Sequence[str]) -> None:
    await must(load, "bench", "setting.set", {"key": "max_agents", "value": 100_000})
    spawns = [must(load, name, "agent.spawn", {"persona": "writing"}) for name in agents]
    await asyncio.gather(*spawns)


async def enqueue(load: Load, tasks: int, plans_in_flight: int = 8) -> None:
    """Queue this many tasks, as plans."""
    left = tasks
    while left:
        plans: list[Awaitable[None]] = []
        while left and len(plans) < plans_in_flight:
            size = min(PLAN_TASKS, left)
            left -= size
            plan = [{"local": f"n{i}", "title": f"Task {left + i}", "priority": i % 10} for i in range(size)]
            plans.append(must(load, "bench", "task.plan", {"tasks": plan}))
        await asyncio.gather(*plans)


async def claim_and(verb: str, load: Load, agents: Sequence[str], seconds: float) -> Rate:
    """Every agent claims one task and does this to it, again and again: two commands a task.

    `task.complete` works the queue off; `task.release` leaves it as long as it is.
    """
    laps: list[float] = []
    began = perf_counter()
    until = began + seconds

    async def work(agent: str) -> None:
        while (start := perf_counter()) < until:
            (lease,) = await claim(load, agent, b"{}")
            laps.append(perf_counter() - start)
            start = perf_counter()
            await must(load, agent, verb, lease)
            laps.append(perf_counter() - start)

    await asyncio.gather(*(work(agent) for agent in agents))
    return _rate(laps, perf_counter() - began)


async def steadily(load: Load, agents: Sequence[str], every_s: float, over: asyncio.Event) -> Rate:
    """Each agent claims one task and releases it, once in so many seconds, until it is over.

    Two commands a round, with an event each; counts commands.
    """
    laps: list[float] = []
    began = perf_counter()

    async def work(agent: str, next_at: float) -> None:
        while not over.is_set():
            await asyncio.sleep(max(0.0, next_at - perf_counter()))
            start, next_at = perf_counter(), next_at + every_s
            (lease,) = await claim(load, agent, b"{}")
            laps.append(perf_counter() - start)
            start = perf_counter()
            await must(load, agent, "task.release", lease)
            laps.append(perf_counter() - start)

    starts = (began + every_s * place / len(agents) for place in range(len(agents)))
    await asyncio.gather(*map(work, agents, starts))
    return _rate(laps, perf_counter() - began)


async def claim_many(load: Load, agents: Sequence[str], tasks: int) -> Rate:
    """Every agent claims up to 100 tasks and completes them together; counts tasks."""
    taken = 0
    began = perf_counter()

    async def work(agent: str) -> None:
        nonlocal taken
        while taken < tasks:
            taken += MAX_CLAIM_TASKS
            leases = await claim(load, agent, _encode({"count": MAX_CLAIM_TASKS}))
            await must(load, agent, "task.complete_many", {"tasks": leases})

    await asyncio.gather(*(work(agent) for agent in agents))
    return Rate(done=taken, seconds=perf_counter() - began)


async def waiting_claim(load: Load, agent: str, rounds: int) -> Rate:
    """From the moment a task is sent in to the moment an agent that waits for one has it."""
    laps: list[float] = []
    for index in range(rounds):
        waiting = asyncio.create_task(claim(load, agent, b'{"wait_s":30}'))
        await must(load, agent, "agent.heartbeat", {})  # answered after the claim before it was parked
        start = perf_counter()
        enqueued = asyncio.create_task(must(load, "bench", "task.enqueue", {"title": f"Round {index}"}))
        (lease,) = await waiting
        laps.append(perf_counter() - start)
        await enqueued
        await must(load, agent, "task.complete", lease)
    return _rate(laps, sum(laps))


def _rate(laps: list[float], seconds: float) -> Rate:
    cuts = quantiles(laps, n=100)
    return Rate(done=len(laps), seconds=seconds, p50_ms=cuts[49] * 1e3, p99_ms=cuts[98] * 1e3)
