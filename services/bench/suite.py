"""What is measured, in which order, and against which target. Returns figures; prints nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from statistics import quantiles
from time import perf_counter

from msgspec import Struct

from services.bench import workloads
from services.bench.echo import ROOT
from services.bench.load import Load
from services.bench.system import System, lag_sampled, running_echo

IN_FLIGHT = (64, 1_000)
INSERT_EVENTS = 1_000
TASKS_PER_SECOND = 12_000  # what is queued for each second of claiming: more than can be worked off

_CREATE = "CREATE TABLE coord.bench_raw (LIKE coord.events INCLUDING ALL)"
_INSERT = """
INSERT INTO coord.bench_raw (originator_id, originator_version, topic, state)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[])
"""


class Sizes(Struct, frozen=True):
    """How much of each is done; the seconds are those of one measurement."""

    seconds: float
    batch_tasks: int
    waits: int
    queued: tuple[int, ...]
    backlog_tasks: int
    live_tasks: int


FULL = Sizes(
    seconds=6.0,
    batch_tasks=100_000,
    waits=1_000,
    queued=(1_000, 100_000, 300_000),
    backlog_tasks=60_000,
    live_tasks=1_000_000,
)
QUICK = Sizes(
    seconds=2.0,
    batch_tasks=20_000,
    waits=200,
    queued=(1_000, 20_000),
    backlog_tasks=20_000,
    live_tasks=50_000,
)


class Figure(Struct, frozen=True, kw_only=True):
    """One measurement. `target` is a bound: at least for rates, at most for times and sizes.

    `limit` is what was possible in the same run, `plain` the same thing by plain replay from the beginning.
    A `detail` is told as data only.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False
    limit: float | None = None
    plain: float | None = None
    detail: bool = False

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


async def measure(system: System, sizes: Sizes, note: Callable[[str], None]) -> AsyncIterator[Figure]:
    """All figures, one after the other; `note` is told what is being measured."""
    note("the bare transport")
    limits = await _transport(system, sizes)
    note("bare inserts")
    insert = await asyncio.to_thread(_bare_inserts, system, sizes)
    note("agents that claim one task and complete it")
    async for figure in _independent(system, sizes, limits):
        yield figure
    note("claims of up to 100")
    async for figure in _many(system, sizes, insert):
        yield figure
    note("claims that wait")
    async for figure in _waiting(system, sizes):
        yield figure
    note("long queues")
    async for figure in _long_queues(system, sizes):
        yield figure
    note("the projector's backlog")
    async for figure in _backlog(system, sizes):
        yield figure


async def _transport(system: System, sizes: Sizes) -> dict[int, float]:
    """Requests a second through the door and the batching loop alone, by requests in flight."""
    rates = {}
    with running_echo(system) as nats_url:
        for in_flight in IN_FLIGHT:
            async with Load(nats_url, "bench", ROOT) as load:
                rate = await workloads.claim_and("task.complete", load, _agents(in_flight), sizes.seconds)
                rates[in_flight] = rate.per_second
    return rates


def _bare_inserts(system: System, sizes: Sizes) -> float:
    """Events a second into an equal table, 1,000 at once, without lock, function or decision."""
    body = b'{"entity":"t1","actor":"a1","at":"2026-01-01T00:00:00.000000Z","data":{"task":"t1","fence":1}}'
    sequence = 0
    with system.connect() as connection:
        connection.execute(_CREATE)
        began = perf_counter()
        while perf_counter() - began < sizes.seconds:
            numbers = list(range(sequence + 1, sequence + 1 + INSERT_EVENTS))
            sequence += INSERT_EVENTS
            columns = (
                ["bench"] * INSERT_EVENTS,
                numbers,
                ["task.claimed@1"] * INSERT_EVENTS,
                [body] * INSERT_EVENTS,
            )
            connection.execute(_INSERT, columns)
        seconds = perf_counter() - began
        connection.execute("DROP TABLE coord.bench_raw")
    return sequence / seconds


async def _independent(system: System, sizes: Sizes, limits: dict[int, float]) -> AsyncIterator[Figure]:
    for in_flight in IN_FLIGHT:
        async with Load(system.nats_url, f"independent-{in_flight}") as load:
            agents = _agents(in_flight)
            await workloads.spawn(load, agents)
            await workloads.enqueue(load, int(TASKS_PER_SECOND * sizes.seconds))
            await system.settled()
            async with lag_sampled(system) as lags:
                rate = await workloads.claim_and("task.complete", load, agents, sizes.seconds)
        most = in_flight == max(IN_FLIGHT)
        name = f"claim, complete; {in_flight} in flight"
        limit = limits[in_flight]
        yield Figure(
            name=name, value=rate.per_second, unit="commands/s", target=10_000 if most else None, limit=limit
        )
        yield Figure(
            name=f"{name}: p50", value=rate.p50_ms, unit="ms", target=None if most else 10, at_most=True
        )
        yield Figure(name=f"{name}: p99", value=rate.p99_ms, unit="ms", at_most=True)
        yield Figure(
            name=f"{name}: share of the bare transport", value=rate.per_second / limit, unit="", target=0.5
        )
        yield Figure(
            name=f"{name}: read models' lag, p99",
            value=quantiles(lags, n=100)[98],
            unit="s",
            target=1,
            at_most=True,
        )


async def _many(system: System, sizes: Sizes, insert: float) -> AsyncIterator[Figure]:
    async with Load(system.nats_url, "many") as load:
        agents = _agents(IN_FLIGHT[0])
        await workloads.spawn(load, agents)
        await workloads.enqueue(load, sizes.batch_tasks)
        await system.settled()
        rate = await workloads.claim_many(load, agents, sizes.batch_tasks)
    yield Figure(
        name="claim up to 100, complete many",
        value=rate.per_second,
        unit="tasks/s",
        target=25_000,
        limit=insert / 2,
    )


async def _waiting(system: System, sizes: Sizes) -> AsyncIterator[Figure]:
    await system.settled()
    async with Load(system.nats_url, "waiting") as load:
        await workloads.spawn(load, ["a0"])
        rate = await workloads.waiting_claim(load, "a0", sizes.waits)
    yield Figure(
        name="waiting claim to start, idle: p50", value=rate.p50_ms, unit="ms", target=2, at_most=True
    )
    yield Figure(
        name="waiting claim to start, idle: p99", value=rate.p99_ms, unit="ms", target=10, at_most=True
    )


async def _long_queues(system: System, sizes: Sizes) -> AsyncIterator[Figure]:
    """The first measurement is the yardstick of the others; its queue is refilled by none of the claims."""
    first = 0.0
    for queued in sizes.queued:
        async with Load(system.nats_url, f"queued-{queued}") as load:
            agents = _agents(100)
            await workloads.spawn(load, agents)
            before = system.rss_bytes("writer")
            await workloads.enqueue(load, queued)
            grown = system.rss_bytes("writer") - before
            await system.settled()
            rate = (await workloads.claim_and("task.release", load, agents, sizes.seconds)).per_second
        first = first or rate
        yield Figure(
            name=f"claims with {queued} tasks queued", value=rate, unit="commands/s", target=0.75 * first
        )
    yield Figure(
        name=f"writer memory a queued task, of {queued}",
        value=grown / queued,
        unit="bytes",
        target=1_024,
        at_most=True,
    )


async def _backlog(system: System, sizes: Sizes) -> AsyncIterator[Figure]:
    async with Load(system.nats_url, "backlog") as load:
        agents = _agents(IN_FLIGHT[0])
        await workloads.spawn(load, agents)
        await system.settled()
        with system.paused("projector"):
            await workloads.enqueue(load, sizes.backlog_tasks)
            await workloads.claim_many(load, agents, sizes.backlog_tasks)
            await system.relayed()
            with system.connect() as connection:
                head, projected = system.positions(connection)
        began = perf_counter()
        await system.settled()
        seconds = perf_counter() - began
    yield Figure(
        name="projector, catching up", value=(head - projected) / seconds, unit="events/s", target=20_000
    )


def _agents(number: int) -> list[str]:
    return [f"a{index}" for index in range(number)]
