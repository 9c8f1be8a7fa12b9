"""Advice beside an answer: what failed before on work that is like this, and the lesson of it.

Looked for while the command is carried out, or for a claim once it is known what was claimed. It must not be
in an answer's way, which waits for it ADVICE_TIMEOUT_S at most, and goes without if the search is away, slow
or busy. Asks over the gateway's own connection.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any

from msgspec import Struct

from domain.errors import CoordError
from domain.knowledge.spikes import InitiateSpike
from domain.messages import Command
from domain.tasks.commands import ClaimTask, EnqueueTask, StartTask
from services.bus.caller import Answer
from services.gateway.asking import Asker
from services.landing.asking import asked as read
from services.recall.asking import recall
from services.recall.params import surely_like, work_text

ADVICE = "advice"
"""The member of an answer, and the parameter that says whether it is wanted."""

ADVISED = frozenset(each.name for each in (EnqueueTask, ClaimTask, StartTask, InitiateSpike))
"""The commands whose answers may come with advice."""

ADVICE_TIMEOUT_S = 0.3
SILENCE_S = 5.0
"""After a search that took too long none is waited for, so long."""

MAX_UNDER_WAY = 20

logger = logging.getLogger(__name__)


class PastFailure(Struct, frozen=True, kw_only=True):
    """What was tried and failed, the lesson of it, and how much alike it is, from 0 to 1."""

    id: str
    feature: str
    approach: str
    why: str
    lesson: str
    score: float


class PastSpike(Struct, frozen=True, kw_only=True):
    """A trial that was concluded, what it showed, and how much alike it is, from 0 to 1."""

    id: str
    question: str
    approach: str
    result: str
    viable: bool
    lessons: str
    score: float


class Advice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done before that is surely like this, the closest first; long texts are cut short."""

    failures: tuple[PastFailure, ...] = ()
    spikes: tuple[PastSpike, ...] = ()


class Adviser:
    """Looks up what was tried before."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._under_way = 0
        self._silent_until_s = 0.0

    async def beside(
        self, project: str, command: Command, asking: Awaitable[Answer]
    ) -> tuple[Answer, Advice | None]:
        """What a command is answered, and what advice there is. Raises what asking raises, and no more."""
        if isinstance(command, ClaimTask):
            answer = await asking
            return answer, await self._advice(project, command, answer.result.get("tasks", ()))
        looking = asyncio.create_task(self._advice(project, command))
        try:
            return await asking, await looking
        finally:
            looking.cancel()

    async def _advice(
        self, project: str, command: Command, leases: Sequence[dict[str, Any]] = ()
    ) -> Advice | None:
        """None also if there is no asking now: the command is carried out, whatever comes of this."""
        loop = asyncio.get_running_loop()
        if self._under_way >= MAX_UNDER_WAY or loop.time() < self._silent_until_s:
            return None
        self._under_way += 1
        try:
            async with asyncio.timeout(ADVICE_TIMEOUT_S):
                return await self._look(project, command, leases)
        except TimeoutError:
            self._silent_until_s = loop.time() + SILENCE_S
        except CoordError as error:
            logger.debug("there is no advice: %s", error)
        except Exception:
            logger.exception("advice could not be made of what was found")
        finally:
            self._under_way -= 1
        return None

    async def _look(self, project: str, command: Command, leases: Sequence[dict[str, Any]]) -> Advice | None:
        if isinstance(command, InitiateSpike):
            about = work_text(command.question, command.approach)
            failures, spikes = await asyncio.gather(
                self._alike(project, "failure", about), self._alike(project, "spike", about)
            )
        else:
            about = await self._task(project, command, leases)
            failures, spikes = await self._alike(project, "failure", about), []
        if not failures and not spikes:
            return None
        return Advice(failures=(*map(_failure, failures),), spikes=(*map(_spike, spikes),))

    async def _task(self, project: str, command: Command, leases: Sequence[dict[str, Any]]) -> str:
        """What the task at hand is about; of several that were claimed the first."""
        if isinstance(command, EnqueueTask):
            return work_text(command.title, command.description)
        if isinstance(command, StartTask):
            _, leases = await read(self._asker.client, project, "queue", {"entity": command.task})
        return work_text(leases[0]["title"], leases[0]["description"]) if leases else ""

    async def _alike(self, project: str, source: str, about: str) -> list[dict[str, Any]]:
        if not about:
            return []
        _, hits = await recall(self._asker.client, project, surely_like(about, source))
        return hits


def _failure(hit: dict[str, Any]) -> PastFailure:
    names = ("feature", "approach", "why", "lesson")
    return PastFailure(id=hit["id"], score=hit["score"], **_texts(hit["row"], names))


def _spike(hit: dict[str, Any]) -> PastSpike:
    told = _texts(hit["row"], ("question", "approach", "result", "lessons"))
    return PastSpike(id=hit["id"], score=hit["score"], viable=hit["row"]["viable"], **told)


def _texts(row: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {name: row[name] for name in names}
