"""What was tried before that is like the work at hand: looked up beside it, and never in its way.

A search is waited for ADVICE_TIMEOUT_S at most; without an answer there is no advice, and for a while nobody
asks again. Asks through the connection.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Any

import msgspec

from coord.bus import Bus
from coord.errors import CoordError
from coord.results import Answer, P, PastFailure, PastSpike

ADVICE_TIMEOUT_S = 0.3
SILENCE_S = 5.0
"""After a search that took too long none is waited for, so long."""

MAX_UNDER_WAY = 8
"""Searches of one session at once; what is asked beyond them gets no advice."""

MAX_SIMILAR = 3
MAX_ABOUT_CHARS = 2_000

logger = logging.getLogger("coord")


class Adviser:
    """Looks up what is surely like this in a project; finds nothing if advice is not `wanted`."""

    def __init__(self, bus: Bus, project: str, *, wanted: bool) -> None:
        self._bus = bus
        self._subject = f"coord.{project}.get.recall"
        self._wanted = wanted
        self._silent_until_s = 0.0
        self._under_way = 0

    async def failures(self, *about: str | None) -> list[PastFailure]:
        """The closest failures; none if they cannot be had now."""
        return await self._alike("failure", about, PastFailure)

    async def spikes(self, *about: str | None) -> list[PastSpike]:
        """The closest spikes that were concluded; none if they cannot be had now."""
        return await self._alike("spike", about, PastSpike)

    async def beside(
        self, asking: Awaitable[Answer], *about: str | None, spikes: bool = False
    ) -> tuple[Answer, list[PastFailure], list[PastSpike]]:
        """The answer to a command, and what is found meanwhile. Raises what asking raises."""
        looking = asyncio.create_task(self._both(about, about if spikes else ()))
        try:
            return await asking, *await looking
        finally:
            looking.cancel()

    async def _both(
        self, failures: Iterable[str | None], spikes: Iterable[str | None]
    ) -> tuple[list[PastFailure], list[PastSpike]]:
        return await asyncio.gather(self.failures(*failures), self.spikes(*spikes))

    async def _alike(self, source: str, about: Iterable[str | None], kind: type[P]) -> list[P]:
        loop = asyncio.get_running_loop()
        text = about_of(*about)
        busy = self._under_way >= MAX_UNDER_WAY or loop.time() < self._silent_until_s
        if not text or not self._wanted or busy:
            return []
        payload = msgspec.json.encode(similar_to(text, source, MAX_SIMILAR))
        self._under_way += 1
        try:
            async with asyncio.timeout(ADVICE_TIMEOUT_S):
                reply = await self._bus.ask(self._subject, payload, patience_s=0, when_away=False)
            return [_converted(hit, kind) for hit in reply["result"]]
        except TimeoutError:
            self._silent_until_s = loop.time() + SILENCE_S
        except (CoordError, msgspec.ValidationError) as error:
            logger.debug("what was tried before cannot be looked up: %s", error)
        finally:
            self._under_way -= 1
        return []


def about_of(*parts: str | None) -> str:
    """What a search for work that is like this looks for."""
    return "\n".join(part for part in parts if part)[:MAX_ABOUT_CHARS]


def similar_to(text: str, source: str, limit: int) -> dict[str, Any]:
    """The parameters of a search for what is surely like a text."""
    return {"text": text, "source": source, "by": "meaning", "sure": True, "limit": limit}


def _converted(hit: dict[str, Any], kind: type[P]) -> P:
    return msgspec.convert({**hit["row"], "id": hit["id"], "score": hit["score"]}, kind)
