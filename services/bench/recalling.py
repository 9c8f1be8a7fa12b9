"""What is measured of searches: how well each embedder and the text search find, and how fast that is.

How well is judged on a set of records and queries that was written before anything was tuned. How fast is
measured through the doors of a running system that holds many memories in many projects.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.util import find_spec
from math import inf
from pathlib import Path
from random import Random
from statistics import quantiles
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.client import Client

from services.bench import workloads
from services.bench.load import Load
from services.bench.suite import Figure
from services.bench.system import SETTLE_TIMEOUT_S, System
from services.bus.caller import parse_answer
from services.bus.connection import connect
from services.errors import Unavailable
from services.recall import minilm
from services.recall.choice import Choice
from services.recall.embedder import Embedder, opened

FULL = (100_000, 100)
QUICK = (10_000, 10)
"""Memories, and projects that share them equally."""

RECORDS = Path(__file__).resolve().parents[2] / "tests" / "data" / "recall.json"
SEED = 1
STORES_IN_FLIGHT = 200
SEARCHES = 500
WARM_SEARCHES = 20
FRESH = 20
WORDS = (10, 30)
POLL_S = 0.2
TEXTS_PER_S = 200
REPLY_TIMEOUT_S = 10.0


class Set(Struct, frozen=True, forbid_unknown_fields=True):
    """Records, and what is asked: each query with the place of the record it wants, or with none."""

    records: list[str]
    paraphrases: list[tuple[str, int]]
    exact: list[tuple[str, int]]
    nothing: list[str]


async def measure(
    system: System, size: tuple[int, int], note: Callable[[str], None], records: Path = RECORDS
) -> AsyncIterator[Figure]:
    """All figures, one after the other; `note` is told what is being measured."""
    asked = msgspec.json.decode(await asyncio.to_thread(records.read_bytes), type=Set)
    for choice in _choices():
        note(f"how well {choice.embedder} finds")
        for figure in await asyncio.to_thread(_judged, choice, asked):
            yield figure
    nats = await connect(system.nats_url, "coordctl-bench-recall")
    try:
        note("how well searches find")
        async for figure in _searched(system, nats, asked):
            yield figure
        async for figure in _timed(system, nats, asked, size, note):
            yield figure
    finally:
        await nats.close()


def _choices() -> Iterator[Choice]:
    """The embedders that need no network and are installed."""
    yield Choice()
    if find_spec(minilm.PACKAGE) is not None:
        yield Choice(embedder="minilm")


def _judged(choice: Choice, asked: Set) -> list[Figure]:
    """An embedder alone: exact search is as good as its vectors."""
    embedder = opened(choice)
    records = embedder.embed(asked.records)

    def found(query: str, least: float) -> list[int]:
        (vector,) = embedder.embed([query])
        likeness = [sum(a * b for a, b in zip(vector, each, strict=True)) for each in records]
        ranked = sorted(range(len(records)), key=lambda place: -likeness[place])
        return [place for place in ranked if likeness[place] >= least]

    name = choice.embedder
    wanted = [found(query, -1.0).index(place) for query, place in asked.paraphrases]
    exact = [found(query, -1.0).index(place) for query, place in asked.exact]
    return [
        *_ranked(name, wanted),
        Figure(name=f"{name}: names, recall@1", value=_within(exact, 1), unit=""),
        *(
            Figure(name=f"{name}: false hits at its {what}", value=_any(found, asked.nothing, least), unit="")
            for what, least in (("threshold", embedder.threshold), ("floor", embedder.floor))
        ),
        _embedding(name, embedder, [query for query, _ in asked.paraphrases]),
    ]


def _ranked(name: str, places: Sequence[float]) -> Iterator[Figure]:
    yield Figure(name=f"{name}: paraphrases, recall@1", value=_within(places, 1), unit="")
    yield Figure(name=f"{name}: paraphrases, recall@5", value=_within(places, 5), unit="")
    yield Figure(
        name=f"{name}: paraphrases, MRR",
        value=sum(1 / (place + 1) for place in places) / len(places),
        unit="",
    )


def _within(places: Sequence[float], first: int) -> float:
    """The share of records that came among the first; a place that is not there came nowhere."""
    return sum(place < first for place in places) / len(places)


def _any(found: Callable[[str, float], list[int]], queries: Sequence[str], least: float) -> float:
    """The share of queries that find something."""
    return sum(bool(found(query, least)) for query in queries) / len(queries)


def _embedding(name: str, embedder: Embedder, queries: Sequence[str]) -> Figure:
    took_ms = []
    for query in queries:
        began = perf_counter()
        embedder.embed([query])
        took_ms.append(1_000 * (perf_counter() - began))
    return Figure(name=f"{name}: embedding a query, p50", value=quantiles(took_ms, n=2)[0], unit="ms")


async def _searched(system: System, nats: Client, asked: Set) -> AsyncIterator[Figure]:
    """The text search, and both paths as a search without further words uses them."""
    project = "quality"
    async with Load(system.nats_url, project) as load:
        for record in asked.records:
            await workloads.must(load, "bench", "memory.store", {"text": record, "kind": "fact"})
    position = await _indexed(system, len(asked.records))
    places = {text: place for place, text in enumerate(asked.records)}

    async def ask(query: str, **params: Any) -> list[int]:
        hits = await _search(nats, project, text=query, min_position=position, **params)
        return [places[hit["row"]["text"]] for hit in hits]

    for name, params in (("text", {"by": "text"}), ("both", {})):
        wanted = [_place(await ask(query, **params), place) for query, place in asked.paraphrases]
        exact = [_place(await ask(query, **params), place) for query, place in asked.exact]
        false = [bool(await ask(query, sure=True, **params)) for query in asked.nothing]
        for figure in _ranked(f"{name} search", wanted):
            yield figure
        yield Figure(name=f"{name} search: names, recall@1", value=_within(exact, 1), unit="")
        yield Figure(name=f"{name} search: false hits, if sure", value=sum(false) / len(false), unit="")


def _place(found: Sequence[int], wanted: int) -> float:
    return found.index(wanted) if wanted in found else inf


async def _timed(
    system: System, nats: Client, asked: Set, size: tuple[int, int], note: Callable[[str], None]
) -> AsyncIterator[Figure]:
    memories, projects = size
    note(f"{memories:,} memories in {projects} projects")
    random = Random(SEED)  # noqa: S311  # the same again
    names = [f"m{number}" for number in range(projects)]
    began = perf_counter()
    for name in names:
        await _store(system, name, memories // projects, asked, random)
    stored_s = perf_counter() - began
    yield Figure(name="storing memories", value=memories / stored_s, unit="commands/s")
    await _indexed(system, memories)
    yield Figure(
        name="storing and indexing them", value=memories / (perf_counter() - began), unit="memories/s"
    )
    await system.settled()
    note("searches")
    queries = [query for query, _ in (*asked.paraphrases, *asked.exact)]
    for label, params, p50_ms, p95_ms in (
        ("search", {}, 10, 30), ("search by meaning", {"by": "meaning"}, None, None),
        ("search by text", {"by": "text"}, None, None),
    ):  # fmt: skip
        took_ms = []
        for number in range(WARM_SEARCHES + SEARCHES):
            began = perf_counter()
            await _search(nats, random.choice(names), text=random.choice(queries), **params)
            if number >= WARM_SEARCHES:
                took_ms.append(1_000 * (perf_counter() - began))
        cuts = quantiles(took_ms, n=20)
        of = f"{label}, of {memories:,} in {projects}"
        yield Figure(name=f"{of}: p50", value=cuts[9], unit="ms", target=p50_ms, at_most=True)
        yield Figure(name=f"{of}: p95", value=cuts[18], unit="ms", target=p95_ms, at_most=True)
    note("how soon what is stored is found")
    found_ms = [await _fresh(system, nats, number) for number in range(FRESH)]
    yield Figure(
        name="stored until found, p95",
        value=quantiles(found_ms, n=20)[18],
        unit="ms",
        target=1_000,
        at_most=True,
    )


async def _store(system: System, project: str, memories: int, asked: Set, random: Random) -> None:
    """Texts of the set's words, in any order."""
    words = " ".join(asked.records).split()
    async with Load(system.nats_url, project) as load:
        await workloads.must(load, "bench", "setting.set", {"key": "max_memories", "value": 100_000})
        left = memories
        while left:
            size = min(STORES_IN_FLIGHT, left)
            left -= size
            texts = [" ".join(random.choices(words, k=random.randint(*WORDS))) for _ in range(size)]
            stores = (workloads.must(load, "bench", "memory.store", {"text": text}) for text in texts)
            await asyncio.gather(*stores)


async def _fresh(system: System, nats: Client, number: int) -> float:
    """Milliseconds from the answer to a store until it is found."""
    async with Load(system.nats_url, "fresh") as load:
        text = f"fresh fact {number} of ticket-{number:04}"
        answer = await load.ask("bench", "memory.store", msgspec.json.encode({"text": text}))
    began = perf_counter()
    while perf_counter() - began < REPLY_TIMEOUT_S:
        position = parse_answer(answer).position
        hits = await _search(nats, "fresh", text=text, by="meaning", min_position=position, wait_s=5)
        if any(hit["row"]["text"] == text for hit in hits):
            return 1_000 * (perf_counter() - began)
    raise Unavailable(what="The search", why="it did not find what was stored")


async def _search(nats: Client, project: str, **params: Any) -> list[dict[str, Any]]:
    message = await nats.request(
        f"coord.{project}.get.recall", msgspec.json.encode(params), timeout=REPLY_TIMEOUT_S
    )
    found: Any = parse_answer(message.data).result
    return list(found)


async def _indexed(system: System, texts: int) -> int:
    """Wait until all that is stored has its vectors; gives the position."""
    until = perf_counter() + SETTLE_TIMEOUT_S + texts / TEXTS_PER_S
    with system.connect() as connection:
        while perf_counter() < until:
            head, _ = system.positions(connection)
            done = connection.execute("SELECT coalesce(min(position), 0) FROM coord.recall_models").fetchone()
            if done is not None and done[0] >= head:
                return head
            await asyncio.sleep(POLL_S)
    raise Unavailable(what="The recall service", why="it did not catch up")
