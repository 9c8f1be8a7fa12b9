"""What is measured of landing contexts: the first one, one asked for again, and many sessions at once.

In a project that has tasks, agents, memories, failures, decisions and patterns, through the doors of a
running system. A first context is one of a project that nobody asked about in the last second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from statistics import quantiles
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.client import Client

from services.bench import workloads
from services.bench.load import Load
from services.bench.suite import Figure
from services.bench.system import System
from services.bus.caller import parse_answer
from services.bus.connection import connect
from services.landing.asking import asked
from services.landing.desk import MAX_AGE_S
from services.landing.params import LANDING

FIRSTS = 20
REPEATS = 200
WORDS = [
    "tide",
    "harbour",
    "captain",
    "lantern",
    "chapter",
    "narrator",
    "letter",
    "winter",
    "storm",
    "ending",
    "map",
    "island",
]


class Sizes(Struct, frozen=True):
    """How much there is to know, and how many sessions start at once."""

    tasks: int
    agents: int
    memories: int
    failures: int
    others: int
    sessions: int


FULL = Sizes(tasks=10_000, agents=100, memories=2_000, failures=500, others=100, sessions=100)
QUICK = Sizes(tasks=1_000, agents=50, memories=300, failures=100, others=30, sessions=100)


async def measure(system: System, sizes: Sizes, note: Callable[[str], None]) -> AsyncIterator[Figure]:
    """All figures, one after the other; `note` is told what is being measured."""
    nats = await connect(system.nats_url, "coordctl-bench-landing")
    try:
        async with Load(system.nats_url, "landing") as load:
            note("something to know")
            await _fill(load, sizes)
            await system.settled()
            await _context(nats, 0, 0)  # loads the embedder
            await asyncio.sleep(2)
            async for figure in _one_by_one(nats, note):
                yield figure
            note(f"{sizes.sessions} sessions at once")
            async for figure in _at_once(nats, load, sizes.sessions):
                yield figure
    finally:
        await nats.close()


async def _one_by_one(nats: Client, note: Callable[[str], None]) -> AsyncIterator[Figure]:
    note("landing contexts")
    first_ms, again_ms = [], []
    for number in range(FIRSTS):
        await asyncio.sleep(MAX_AGE_S)
        first_ms.append(await _context(nats, number, 0))
    for _ in range(REPEATS):
        again_ms.append(await _context(nats, FIRSTS, 0))
    for name, took_ms, target_ms in (("first", first_ms, 100), ("asked for again", again_ms, 10)):
        cuts = quantiles(took_ms, n=20)
        yield Figure(name=f"landing context, {name}: p50", value=cuts[9], unit="ms")
        yield Figure(
            name=f"landing context, {name}: p95", value=cuts[18], unit="ms", target=target_ms, at_most=True
        )


async def _at_once(nats: Client, load: Load, sessions: int) -> AsyncIterator[Figure]:
    """From the first command until the last has its context, each with what its own start brought about."""
    began = perf_counter()

    async def start(number: int) -> float:
        fields = {"focus": _text(number), "role": "worker"}
        answer = parse_answer(await load.ask(f"s{number}", "session.start", msgspec.json.encode(fields)))
        return await _context(nats, number, answer.position, session=answer.result["id"])

    took_ms = await asyncio.gather(*map(start, range(sessions)))
    took_s = perf_counter() - began
    yield Figure(name=f"{sessions} sessions started at once", value=took_s, unit="s", target=2, at_most=True)
    yield Figure(name="their contexts, p95", value=quantiles(took_ms, n=20)[18], unit="ms")


async def _context(nats: Client, number: int, min_position: int, **more: Any) -> float:
    """Milliseconds that a context takes, about a subject of its own."""
    own = more or {"agent": f"a{number}", "focus": _text(number)}
    began = perf_counter()
    await asked(nats, "landing", LANDING, {**own, "min_position": min_position, "wait_s": 10})
    return 1_000 * (perf_counter() - began)


async def _fill(load: Load, sizes: Sizes) -> None:
    await workloads.must(load, "bench", "setting.set", {"key": "max_agents", "value": sizes.agents})
    await workloads.spawn(load, [f"a{number}" for number in range(sizes.agents)])
    await workloads.enqueue(load, sizes.tasks)

    async def tell(verb: str, number: int, fields: dict[str, Any]) -> None:
        for first in range(0, number, 200):
            last = min(first + 200, number)
            each = (
                {name: f"{value}{_text(n)}" for name, value in fields.items()} for n in range(first, last)
            )
            await asyncio.gather(*(workloads.must(load, "bench", verb, told) for told in each))

    await tell("memory.store", sizes.memories, {"text": "We know that the "})
    await tell("failure.record", sizes.failures, {"feature": "The ", "approach": "By ", "why": "No "})
    await tell("decision.record", sizes.others, {"title": "Of ", "choice": "Rather "})
    await tell("spike.initiate", sizes.others, {"question": "Whether "})
    for number in range(sizes.others):
        fields = {"pattern": f"p{number}", "description": f"As in {_text(number)}"}
        await workloads.must(load, "bench", "pattern.define", fields)


def _text(number: int) -> str:
    """Words in an order that each number has for itself."""
    count = len(WORDS)
    chosen = (WORDS[(number // count**place + place) % count] for place in range(4))
    return f"{' '.join(chosen)} {number}"
