"""`coordctl prove soak`: a part of full load for minutes, and whether memory and lag stay flat under it.

Full load is measured first: claims and completions of 1,000 agents at once. Then fewer agents keep to a pace.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter

import psutil  # type: ignore[import-untyped]  # psutil ships no types
import psycopg
from msgspec import Struct
from nats.errors import Error as NatsError
from prometheus_client.parser import text_string_to_metric_families

from domain.errors import CoordError
from services.bench import workloads
from services.bench.load import Load
from services.doors import reports
from services.errors import Unavailable
from services.health import standing
from services.prove.site import Site, running_site
from services.waiting import heed_cancellation

PROJECT = "soak"
FULL_AGENTS, PACED_AGENTS = 1_000, 200
FULL_S = 8.0
FULL_TASKS = 100_000
BACKLOG_S = 5.0
"""How many seconds of work are queued, so that no claim finds nothing."""

SAMPLE_S = 3.0
_QUEUES = ("coordctl_inbox_requests", "coordctl_parked_claims")

Note = Callable[[str], None]


class Sample(Struct, frozen=True, kw_only=True):
    """The system at a moment, `at` seconds from the beginning of the pace; lags in seconds."""

    at: float
    tasks: int
    rss_bytes: dict[str, int]
    relay_lag_events: int
    projector_lag_events: int
    projector_lag_s: float
    queues: dict[str, float]


class Pace(Struct, frozen=True, kw_only=True):
    """What was found to be full load, what was to be held, and what was: commands a second.

    `unseen` counts the samples that could not be taken, because somebody did not answer in time.
    """

    full: float
    wanted: float
    held: float
    tasks: int
    unseen: int = 0


class _Counter:
    """The tasks completed so far, and the samples that could not be taken."""

    def __init__(self) -> None:
        self.tasks = 0
        self.unseen = 0


async def soak(
    minutes: float, share: float, program: Sequence[str], environ: Mapping[str, str], note: Note
) -> tuple[Pace, list[Sample]]:
    """The whole of it, on a system that is started for it and gone afterwards."""
    with running_site(program, environ, up=()) as site:
        async with Load(site.nats_url, PROJECT) as load:
            heed_cancellation()
            note(f"finding full load: {FULL_AGENTS} agents, {FULL_S:.0f} s")
            full = await _full(load)
            note(f"full load is {full:.0f} commands/s; holding {share * full:.0f} for {minutes:g} minutes")
            await _settled(site)
            tasks = _Counter()
            began = perf_counter()
            async with _sampled(site, tasks) as samples:
                await _paced(load, share * full / 2, minutes * 60, tasks)
            seconds = perf_counter() - began
    held = 2 * tasks.tasks / seconds
    pace = Pace(full=full, wanted=share * full, held=held, tasks=tasks.tasks, unseen=tasks.unseen)
    return pace, samples


async def _full(load: Load) -> float:
    """Commands a second with as many agents at once as there are; what is left queued goes last."""
    agents = [f"full-{number}" for number in range(FULL_AGENTS)]
    await workloads.spawn(load, [*agents, *_paced_agents()])
    await workloads.enqueue(load, FULL_TASKS)
    rate = await workloads.claim_and("task.complete", load, agents, FULL_S)
    return rate.per_second


def _paced_agents() -> list[str]:
    return [f"paced-{number}" for number in range(PACED_AGENTS)]


async def _paced(load: Load, tasks_per_second: float, seconds: float, tasks: _Counter) -> None:
    """Claim and complete at this pace; late ones catch up, so that a pause is no rest."""
    agents = _paced_agents()
    every_s = len(agents) / tasks_per_second
    over = asyncio.Event()
    planning = asyncio.create_task(_plan(load, tasks_per_second, over))
    began = perf_counter()

    async def work(agent: str, next_at: float) -> None:
        while next_at < began + seconds:
            await asyncio.sleep(max(0.0, next_at - perf_counter()))
            next_at += every_s
            (lease,) = await workloads.claim(load, agent, b"{}")
            await workloads.must(load, agent, "task.complete", lease)
            tasks.tasks += 1

    try:
        starts = (began + every_s * place / len(agents) for place in range(len(agents)))
        await asyncio.gather(*map(work, agents, starts))
    finally:
        over.set()
        await planning


async def _plan(load: Load, tasks_per_second: float, over: asyncio.Event) -> None:
    """Bring in as many tasks as are taken, some seconds ahead."""
    await workloads.enqueue(load, int(BACKLOG_S * tasks_per_second))
    began = perf_counter()
    for second in count(1):
        try:
            await asyncio.wait_for(over.wait(), max(0.0, began + second - perf_counter()))
        except TimeoutError:
            await workloads.enqueue(load, round(tasks_per_second))
        else:
            return


@asynccontextmanager
async def _sampled(site: Site, tasks: _Counter) -> AsyncIterator[list[Sample]]:
    """While the body runs, look at the system every few seconds."""
    samples: list[Sample] = []
    began = perf_counter()

    async def look() -> None:
        while True:
            try:
                samples.append(await _sample(site, perf_counter() - began, tasks.tasks))
            except (CoordError, NatsError, psycopg.Error):
                tasks.unseen += 1
            await asyncio.sleep(SAMPLE_S)

    looking = asyncio.create_task(look())
    try:
        yield samples
    finally:
        looking.cancel()
        await asyncio.wait({looking})
    if not looking.cancelled():
        looking.result()  # raises what ended it


async def _sample(site: Site, at: float, tasks: int) -> Sample:
    rss = await asyncio.to_thread(_rss, site.pids())
    async with standing.connected(site.nats_url) as nats:
        found = await reports.gather(nats)
        relayed = await standing.relayed(nats)
    stand = await asyncio.to_thread(standing.look, site.database_url)
    projected = stand.projected
    assert projected is not None, "there are projections"
    return Sample(
        at=at,
        tasks=tasks,
        rss_bytes=rss,
        relay_lag_events=max(0, stand.head - relayed),
        projector_lag_events=projected.events,
        projector_lag_s=projected.seconds,
        queues=_queues(found),
    )


def _rss(pids: Mapping[str, int]) -> dict[str, int]:
    return {name: int(psutil.Process(pid).memory_info().rss) for name, pid in pids.items()}


def _queues(found: Sequence[reports.Report]) -> dict[str, float]:
    """What waits in the writers, all of them together."""
    sums = dict.fromkeys(_QUEUES, 0.0)
    for report in found:
        for family in text_string_to_metric_families(report.metrics):
            if family.name in sums:
                sums[family.name] += sum(sample.value for sample in family.samples)
    return sums


async def _settled(site: Site, timeout_s: float = 120.0) -> None:
    """Wait until the stream and the tables have the whole log. Raises Unavailable."""
    until = perf_counter() + timeout_s
    while perf_counter() < until:
        head, relayed, projected = await site.head(), await site.relayed(), await site.projected()
        if min(relayed, projected) >= head:
            return
        await asyncio.sleep(0.1)
    raise Unavailable(what="The system", why="it did not catch up")
