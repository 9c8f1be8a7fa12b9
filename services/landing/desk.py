"""Answers questions about sessions: landing contexts, what a session delegated, what it did.

What concerns everybody in a project is gathered once for all who ask within a moment; nobody is told what is
older than that moment, nor less than what they know of already (`min_position`). What failures are like a
task the recall service says; without it, words alone do, and the answer says so.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from nats.aio.client import Client

from domain.catalog import EVENTS, upcast
from domain.errors import CoordError
from services.landing import gathering, sessions
from services.landing.gathering import Fleet, Own
from services.landing.params import AUDIT, LANDING, Item, Landing, LandingParams, OfSessionParams
from services.landing.prompt import tell
from services.landing.sources import Past, Present
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.past import Measured
from services.reading.points import parse_point, resolve
from services.reading.reads import Reads, parse
from services.reading.travel import Travel
from services.recall.asking import recall

MAX_AGE_S = 0.8
"""How old what was gathered may be; with what it takes to answer that stays below a second."""

READERS = 8
TURNS = 64
"""Projects share them; those of one project gather one after the other."""

MAX_PROJECTS = 200
MAX_LANDINGS = 2_000
RECALL_TIMEOUT_S = 0.5
MAX_NEAR = 15
MAX_NEAR_MEMORIES = 10

T = TypeVar("T")


class _Kept(Struct, frozen=True):
    """An answer that holds for a moment. `since` is the monotonic time at which its reading began."""

    value: Any
    position: int
    since: float

    def is_good(self, min_position: int) -> bool:
        return monotonic() - self.since < MAX_AGE_S and self.position >= min_position


class LandingDesk:
    """Answers questions; use it from one event loop, and close it in the end."""

    def __init__(
        self, url: str, reads: Reads, client: Callable[[], Client], measured: Measured = nullcontext
    ) -> None:
        """`client` gives the connection to NATS, over which recall is asked. It may raise Unavailable."""
        self._url = url
        self._reads = reads
        self._measured = measured
        self._client = client
        self._log = EventLog(url)
        self._codec = Codec(EVENTS, upcast)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="landing")
        self._fleets: dict[str, _Kept] = {}
        self._turns = [asyncio.Lock() for _ in range(TURNS)]
        self._landings: dict[bytes, _Kept] = {}

    def close(self) -> None:
        self._readers.shutdown()
        self._log.close()

    async def answer(
        self, project: str, view: str, given: Mapping[str, Any]
    ) -> tuple[int, list[dict[str, Any]]]:
        """The position that the answer includes, and its rows.

        Raises BadInput, NotFound, NotYetVisible, Unavailable or what a point may raise.
        """
        params = parse(view, given)
        if view == LANDING:
            assert isinstance(params, LandingParams)
            landing = await self._landing(project, params)
            return landing.position, [_told(landing)]
        assert isinstance(params, OfSessionParams)
        return await self._in_thread(self._of_session, project, view, params)

    async def _landing(self, project: str, params: LandingParams) -> Landing:
        asked = msgspec.structs.replace(params, min_position=0, wait_s=0)
        key = msgspec.json.encode([project, asked])
        kept = self._landings.get(key)
        if kept is not None and kept.is_good(params.min_position):
            return kept.value  # type: ignore[no-any-return]  # kept below
        if params.as_of is not None:
            known, mine = await self._in_thread(self._then, project, params)
            return await self._composed(known, mine, params)
        shared = await self._fleet(project, params)
        present = Present(self._reads)
        mine = await self._in_thread(gathering.own, present, project, params, shared.value)
        landing = await self._composed(shared.value, mine, params)
        _keep(self._landings, key, _Kept(landing, shared.position, shared.since), MAX_LANDINGS)
        return landing

    async def _fleet(self, project: str, params: LandingParams) -> _Kept:
        """What concerns everybody: gathered by the first who asks, while the others wait for it."""
        kept = self._fleets.get(project)
        if kept is not None and kept.is_good(params.min_position):
            return kept
        if params.min_position:
            await self._in_thread(self._reads.wait_for, params.min_position, params.wait_s)
        async with self._turns[hash(project) % TURNS]:
            kept = self._fleets.get(project)
            if kept is not None and kept.is_good(params.min_position):
                return kept
            since = monotonic()
            known: Fleet = await self._in_thread(gathering.fleet, Present(self._reads), project)
            kept = _Kept(known, known.position, since)
            _keep(self._fleets, project, kept, MAX_PROJECTS)
            return kept

    async def _composed(self, known: Fleet, mine: Own, params: LandingParams) -> Landing:
        failures, remembered, missing = await self._alike(known, mine, params)
        strongest = gathering.several(mine.memories, known.memories, "memory", gathering.MAX_MEMORIES)
        memories = gathering.several(remembered, strongest, "memory", gathering.MAX_MEMORIES)
        told = tell(known, mine, failures, memories, missing, params.tokens)
        return Landing(
            project=known.project,
            position=known.position,
            at=known.at,
            agent=mine.agent,
            persona=mine.persona,
            role=mine.role,
            session=mine.session,
            focus=mine.focus,
            task=mine.task,
            handoffs=mine.handoffs,
            failures=failures,
            decisions=known.decisions,
            patterns=known.patterns,
            memories=memories,
            tasks=known.tasks,
            claimable=mine.claimable,
            agents=known.agents,
            settings=known.settings,
            spikes=known.spikes,
            factors=known.factors,
            stale_documentation=known.stale_documentation,
            missing=missing,
            prompt=told.text,
            tokens=told.tokens,
            left_out=told.left_out,
        )

    async def _alike(
        self, known: Fleet, mine: Own, params: LandingParams
    ) -> tuple[list[Item], list[Item], list[str]]:
        """Failures and memories near the work, and what is missing; of no work in particular, the latest."""
        if not mine.near:
            return known.failures[: gathering.MAX_FAILURES], [], []
        asked: dict[str, Any] = {"text": mine.near, "max_chars": gathering.MAX_TEXT_CHARS, "wait_s": 0}
        if mine.agent is not None:
            asked["reader"] = mine.agent
        if params.as_of is not None:
            asked["as_of"] = str(known.position)
        try:
            failures, memories = await asyncio.wait_for(self._near(known.project, asked), RECALL_TIMEOUT_S)
        except (CoordError, TimeoutError) as error:
            why = str(error).rstrip(".") if isinstance(error, CoordError) else "the search takes too long"
            missing = [f"what is like your work, but for failures that share words with it ({why})"]
            return gathering.alike_in_words(mine.near, known.failures), [], missing
        return [*map(gathering.failure_of, failures)], [*map(gathering.memory_of, memories)], []

    async def _near(self, project: str, asked: Mapping[str, Any]) -> tuple[list[Item], list[Item]]:
        """Rows of the closest failures and memories. Many memories must not hide all failures."""
        both = {**asked, "source": ["failure", "memory"], "limit": MAX_NEAR}
        _, hits = await recall(self._client(), project, both)
        failures = [hit["row"] for hit in hits if hit["source"] == "failure"]
        memories = [hit["row"] for hit in hits if hit["source"] == "memory"]
        if not failures and len(hits) == MAX_NEAR:
            alone = {**asked, "source": ["failure"], "limit": gathering.MAX_FAILURES}
            failures = [hit["row"] for hit in (await recall(self._client(), project, alone))[1]]
        return failures[: gathering.MAX_FAILURES], memories[:MAX_NEAR_MEMORIES]

    def _then(self, project: str, params: LandingParams) -> tuple[Fleet, Own]:
        with self._measured(), self._travel() as travel:
            position = self._position(travel, project, params.as_of)
            past = Past(travel, position)
            known = gathering.fleet(past, project)
            return known, gathering.own(past, project, params, known)

    def _of_session(
        self, project: str, view: str, params: OfSessionParams
    ) -> tuple[int, list[dict[str, Any]]]:
        measured = nullcontext if params.as_of is None else self._measured
        with measured(), self._travel() as travel:
            position = self._position(travel, project, params.as_of)
            answer = sessions.audit if view == AUDIT else sessions.history
            return position, [_told(each) for each in answer(travel, project, position, params)]

    def _position(self, travel: Travel, project: str, as_of: str | None) -> int:
        point = parse_point("now" if as_of is None else as_of)
        return resolve(point, self._log, travel, project, datetime.now(UTC))

    @contextmanager
    def _travel(self) -> Iterator[Travel]:
        with connected(self._url) as connection:
            yield Travel(self._log, self._codec, connection)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)


K = TypeVar("K")


def _keep(kept: dict[K, _Kept], key: K, value: _Kept, limit: int) -> None:
    """Keep a value; the one that was kept longest gives way to it."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > limit:
        del kept[next(iter(kept))]


def _told(answer: Struct) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(answer, builtin_types=(datetime,))
    return told
