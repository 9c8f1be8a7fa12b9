"""What is measured of time travel, in which order, against which target. Returns figures; prints nothing.

A long history is appended to the log of a running system, whose projector and relay follow it. Beside each
figure stands what plain replay from the beginning takes for the same, measured in the same run.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalog import EVENTS, upcast
from projections.catalog import PROJECTIONS
from projections.framework import Folds
from projections.views import MAX_WAIT_S
from services.bench import workloads
from services.bench.history import make_history
from services.bench.instants import THINGS, Answer, Ask, Traveller
from services.bench.load import Load
from services.bench.suite import Figure
from services.bench.system import SETTLE_TIMEOUT_S, System, lag_sampled
from services.bus.caller import Caller
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import Connection, connected
from services.reading.diff import Place, diff
from services.reading.reads import Reads
from services.reading.replay import REPLAY_BATCH_EVENTS, Rows
from services.tuning import collect_seldom

PROJECT = "history"
FULL_EVENTS = 1_000_000
QUICK_EVENTS = 100_000
SEED = 1

VIEW_ROUNDS = 20
ENTITY_ROUNDS = 60
TRIAL_PART = 5
"""In a history that is too short to say much, so many times fewer are asked for."""

DIFFS = 10
DIFF_ROWS = 100
FORKS = 5
MAX_FOLD_EVENTS = 1_000_000
"""More would measure the memory that activity takes."""

LOAD_AGENTS = 50
LOAD_EVERY_S = 0.2
CALM_S = 3.0
SLOWEST_EVENTS_PER_S = 2_000
"""Whatever works through the history may take so long that it is given up."""

_SIZES = """
SELECT pg_total_relation_size('coord.events'),
       sum(pg_total_relation_size(format('coord.%I', table_name || '_past')))
       + pg_total_relation_size('coord.checkpoints')
FROM coord.projections
"""


async def measure(system: System, events: int, note: Callable[[str], None]) -> AsyncIterator[Figure]:
    """All figures, one after the other; `note` is told what is being measured.

    This process folds as the services do, and so its garbage is collected as theirs is.
    """
    collect_seldom()
    codec, patience_s = Codec(EVENTS, upcast), SETTLE_TIMEOUT_S + events / SLOWEST_EVENTS_PER_S
    part = 1 if events >= QUICK_EVENTS else TRIAL_PART
    with _opened(system) as log:
        note(f"a history of {events:,} events, made and projected")
        async for figure in _history(system, log, codec, events, patience_s):
            yield figure
        with connected(system.database_url) as connection:
            traveller = Traveller(log, codec, connection, PROJECT, Random(SEED))  # noqa: S311  # the same again
            note("views at random instants")
            views = traveller.views(VIEW_ROUNDS // part)
            p95_ms = 400 if events <= FULL_EVENTS else 1_000
            for figure in _asked("any view at a random instant", traveller, views, p50_ms=150, p95_ms=p95_ms):
                yield figure
            note("entities at random instants")
            entities = traveller.entities(ENTITY_ROUNDS // part)
            for figure in _asked("one entity at a random instant", traveller, entities, p50_ms=20):
                yield figure
            note("diffs of random instants")
            yield _differed(log, codec, connection, traveller)
        yield _stored(system)
        note("folding in memory")
        folded, replayed = _folded(log, codec)
        yield Figure(name="folding in memory, a core", value=folded, unit="events/s", target=100_000)
        yield Figure(name="reading, decoding and folding, a core", value=replayed, unit="events/s")
        note("the rebuild of all read models, under load")
        async for figure in _rebuilt(system, replayed, patience_s):
            yield figure
        note("forks")
        async for figure in _forked(system, traveller, patience_s):
            yield figure


@contextmanager
def _opened(system: System) -> Iterator[EventLog]:
    log = EventLog(system.database_url)
    try:
        yield log
    finally:
        log.close()


async def _history(
    system: System, log: EventLog, codec: Codec, events: int, patience_s: float
) -> AsyncIterator[Figure]:
    """Make it, and wait until nobody has anything left to do about it.

    A month's tables have been vacuumed and analyzed many times over.
    """
    began = perf_counter()
    make_history(log, codec, PROJECT, events, SEED)
    await system.settled(patience_s)
    seconds = perf_counter() - began
    await system.relayed(patience_s)
    with system.connect() as connection:
        connection.execute("VACUUM (ANALYZE)")
        (tasks,) = connection.execute("SELECT count(*) FROM coord.queue").fetchone() or (0,)
    made, _ = log.project_head(PROJECT)
    yield Figure(name="history", value=made, unit="events")
    yield Figure(name="tasks in it", value=tasks, unit="tasks")
    yield Figure(name="made by the domain, and projected meanwhile", value=made / seconds, unit="events/s")


def _asked(
    name: str, traveller: Traveller, asks: Sequence[Ask], *, p50_ms: float, p95_ms: float | None = None
) -> Iterator[Figure]:
    """How long the answers take, all together and by view.

    Plain replay is tried with the first ask of each of three views, and has to give the same answer: its
    median stands beside the median, and the slowest beside the slow ones.
    """
    laps: defaultdict[str, list[float]] = defaultdict(list)
    first: dict[str, tuple[Ask, Answer]] = {}
    for ask in asks:
        answer = traveller.travel(ask)
        laps[ask.view].append(answer.ms)
        first.setdefault(ask.view, (ask, answer))
    plain = [_replayed(traveller, *first[view]) for view in THINGS]
    p50, p95 = _percentiles([lap for each in laps.values() for lap in each])
    yield Figure(name=f"{name}: p50", value=p50, unit="ms", target=p50_ms, at_most=True, plain=median(plain))
    yield Figure(name=f"{name}: p95", value=p95, unit="ms", target=p95_ms, at_most=True, plain=max(plain))
    for view, each in laps.items():
        p50, p95 = _percentiles(each)
        yield Figure(name=f"{name}: {view}: p50", value=p50, unit="ms", at_most=True, detail=True)
        yield Figure(name=f"{name}: {view}: p95", value=p95, unit="ms", at_most=True, detail=True)


def _replayed(traveller: Traveller, ask: Ask, travelled: Answer) -> float:
    replayed = traveller.replay(ask)
    traveller.check(ask, travelled.items, replayed.items)
    return replayed.ms


def _percentiles(laps: Sequence[float]) -> tuple[float, float]:
    """The median, and what one in twenty exceeds."""
    cuts = quantiles(laps, n=20)
    return cuts[9], cuts[18]


def _differed(log: EventLog, codec: Codec, connection: Connection, traveller: Traveller) -> Figure:
    """All views of two moments, beside plain replays of the queue alone at both."""
    laps, plain = [], 0.0
    for _ in range(DIFFS):
        moments = sorted(traveller.instant() for _ in range(2))
        began = perf_counter()
        left, right = (Place(PROJECT, log.at_time(PROJECT, moment)) for moment in moments)
        diff(log, codec, connection, left, right, limit_rows=DIFF_ROWS)
        laps.append(perf_counter() - began)
        plain = plain or sum(traveller.replay(Ask(view="queue", moment=each)).ms for each in moments) / 1e3
    name = "diff of two random instants, all views: slowest"
    return Figure(name=name, value=max(laps), unit="s", target=1, at_most=True, plain=plain)


def _stored(system: System) -> Figure:
    """What checkpoints take, as a share of the log; both with their indexes."""
    with system.connect() as connection:
        log_bytes, kept_bytes = connection.execute(_SIZES).fetchone() or (1, 0)
    share = float(kept_bytes) / float(log_bytes)
    return Figure(
        name="checkpoints, share of the log's size", value=share, unit="", target=0.25, at_most=True
    )


def _folded(log: EventLog, codec: Codec) -> tuple[float, float]:
    """Events a second of all projections together in one thread: folded alone, and with all before that."""
    folds = Folds(PROJECTIONS)
    states: list[Rows] = [{} for _ in PROJECTIONS]
    sequence, folding_s = 0, 0.0
    began = perf_counter()
    while sequence < MAX_FOLD_EVENTS and (
        rows := log.read_project(PROJECT, sequence, limit_events=REPLAY_BATCH_EVENTS)
    ):
        batch = [codec.decode(row) for row in rows]
        start = perf_counter()
        folds.fold_into(states, batch)
        folding_s += perf_counter() - start
        sequence = batch[-1].sequence
    return sequence / folding_s, sequence / (perf_counter() - began)


async def _rebuilt(system: System, replayed: float, patience_s: float) -> AsyncIterator[Figure]:
    """Rebuilding while agents go on working, and how they fared meanwhile and before that."""
    async with Load(system.nats_url, "meanwhile") as load:
        agents = [f"a{number}" for number in range(LOAD_AGENTS)]
        await workloads.spawn(load, agents)
        await workloads.enqueue(load, 2 * LOAD_AGENTS)
        await system.settled()
        calm = await _while_working(system, load, agents, asyncio.sleep(CALM_S, 0.0))
        busy = await _while_working(system, load, agents, _rebuild(system, patience_s))
    yield Figure(
        name="rebuilding all read models", value=busy.done, unit="events/s", target=40_000, plain=replayed
    )
    for name, work in (("while rebuilding", busy), ("without a rebuild", calm)):
        yield Figure(name=f"commands {name}", value=work.rate.per_second, unit="commands/s")
        yield Figure(name=f"commands {name}: p50", value=work.rate.p50_ms, unit="ms", at_most=True)
        yield Figure(name=f"commands {name}: p99", value=work.rate.p99_ms, unit="ms", at_most=True)
        yield Figure(name=f"read models' lag {name}, p99", value=work.lag_s, unit="s", at_most=True)


async def _rebuild(system: System, patience_s: float) -> float:
    """Events a second, as the command line rebuilds: in a process of its own, from its start to its end."""
    began = perf_counter()
    told = await system.run("projection", "rebuild", "--all", "--json", timeout_s=patience_s)
    events = max(each["events"] for each in msgspec.json.decode(told))
    return float(events) / (perf_counter() - began)


class _Work(Struct, frozen=True):
    """What was done while agents worked, and how they fared."""

    done: float
    rate: workloads.Rate
    lag_s: float


async def _while_working(
    system: System, load: Load, agents: Sequence[str], doing: Coroutine[Any, Any, float]
) -> _Work:
    """Agents claim and release at a steady pace that leaves the machine room."""
    over = asyncio.Event()
    async with lag_sampled(system) as lags:
        working = asyncio.create_task(workloads.steadily(load, agents, LOAD_EVERY_S, over))
        try:
            done = await doing
        finally:
            over.set()
            rate = await working
    return _Work(done, rate, quantiles(lags, n=100)[98])


async def _forked(system: System, traveller: Traveller, patience_s: float) -> AsyncIterator[Figure]:
    """Forks of random instants, each until an agent works in it and what there is to do is read.

    Beside the slowest stands a plain replay of what there was to do.
    """
    moments = [traveller.instant() for _ in range(FORKS)]
    with Reads(system.database_url, pool_connections=1) as reads:
        forks = [
            await _fork(system, reads, f"fork-{number}", traveller.sequence(moment), patience_s)
            for number, moment in enumerate(moments)
        ]
    answered, seconds = zip(*forks, strict=True)
    slowest = max(seconds)
    plain = traveller.replay(Ask(view="queue", moment=moments[seconds.index(slowest)]))
    yield Figure(
        name="fork, to its own answer: median", value=median(answered), unit="s", at_most=True, detail=True
    )
    name = "fork, to its first command and first view"
    yield Figure(name=f"{name}: median of {FORKS}", value=median(seconds), unit="s", at_most=True)
    yield Figure(
        name=f"{name}: slowest", value=slowest, unit="s", target=1, at_most=True, plain=plain.ms / 1e3
    )


async def _fork(
    system: System, reads: Reads, name: str, sequence: int, patience_s: float
) -> tuple[float, float]:
    """How long one takes until it is answered, and until it is in use (seconds)."""
    async with Caller(system.nats_url, name, "a1") as caller:
        began = perf_counter()
        await caller.ask("project.fork", {"origin": PROJECT, "sequence": sequence}, wait_s=patience_s)
        answered_s = perf_counter() - began
        spawned = await caller.ask("agent.spawn", {"persona": "writing"})
        reads.read(name, "queue", {"min_position": spawned.position, "wait_s": MAX_WAIT_S})
        return answered_s, perf_counter() - began
