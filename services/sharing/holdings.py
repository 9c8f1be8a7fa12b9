"""What one process holds of the lots: it takes its share, runs a term for each, and gives up the surplus.

Touches the database by the shares alone; what a term touches is the term's.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, field

from domain.errors import CoordError
from services.log.database import LogUnavailable
from services.sharing.shares import SILENT_S, Session, Shares
from services.waiting import either

POLL_S = 0.25
JITTER = 0.2

Term = Callable[[Session, asyncio.Event, Callable[[], None]], Awaitable[None]]
"""The work on one lot: until the event is set; calls its last argument when it serves.

The event is also set when the session is lost. The work then finishes what it has. A CoordError ends it
early, and the lot is taken anew.
"""

logger = logging.getLogger(__name__)


class Holding(Struct, eq=False):
    """A lot that is ours, and the work on it."""

    session: Session
    over: asyncio.Event = field(default_factory=asyncio.Event)
    work: "asyncio.Task[None] | None" = None
    serves: bool = False


class Holdings:
    """Runs terms for as many lots as are this process's share. `run` once."""

    def __init__(self, shares: Shares, term: Term, noun: str = "lot") -> None:
        """`noun` is what a lot is called in messages."""
        self._shares = shares
        self._term = term
        self._noun = noun
        self._held: dict[int, Holding] = {}
        self._wanting = True
        self._away = False
        self._looked_at = 0.0

    def serving(self) -> list[int]:
        """The lots whose work is going on."""
        return sorted(lot for lot, holding in self._held.items() if holding.serves)

    async def run(self, stop: asyncio.Event, settled: Callable[[], None]) -> None:
        """Hold our share until told to stop; `settled` is called when all of it serves, maybe none of it."""
        self._looked_at = asyncio.get_running_loop().time()
        try:
            while not stop.is_set():
                await self._round(settled)
                jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # not a secret
                await either(stop, POLL_S * jitter)
        finally:
            await self._end()

    async def _round(self, settled: Callable[[], None]) -> None:
        await self._part_with_lost()
        try:
            allotment = await asyncio.to_thread(self._shares.look)
            ours = [lot for lot, holding in self._held.items() if not holding.over.is_set()]
            self._give_up(sorted(ours)[allotment.share :])
            free = [lot for lot in allotment.free if lot not in self._held]
            await self._take(free[: max(allotment.share - len(ours), 0)], settled)
        except LogUnavailable as error:
            if not self._away:
                logger.warning("cannot look after the %ss now: %s", self._noun, error)
            self._away = True
            return
        if self._away:
            logger.info("looking after the %ss again", self._noun)
        self._away = False
        self._tell(settled)

    async def _part_with_lost(self) -> None:
        """End the work on what is lost, forget what has ended, and raise what nobody expected."""
        now = asyncio.get_running_loop().time()
        silent_s, self._looked_at = now - self._looked_at, now
        if silent_s > SILENT_S:
            await asyncio.to_thread(self._shares.check)
        lost = [lot for lot, each in self._held.items() if each.session.lost and not each.over.is_set()]
        for lot in lost:
            self._held[lot].over.set()
        if lost and silent_s > SILENT_S:
            logger.warning(
                "this process was silent for %.1f s and lost %d %ss: others may have them by now, and it"
                " stands by for its share", silent_s, len(lost), self._noun,
            )  # fmt: skip
        elif lost:
            logger.warning("lost the sessions of %d %ss; taking what is free", len(lost), self._noun)
        for lot, holding in list(self._held.items()):
            if holding.work is not None and holding.work.done():
                del self._held[lot]
                holding.work.result()

    def _give_up(self, lots: Sequence[int]) -> None:
        """Let others have what is more than our share, as soon as the work on it is finished."""
        for lot in lots:
            self._held[lot].over.set()
        if lots:
            logger.info("gives up %ss %s to others", self._noun, ", ".join(map(str, lots)))

    async def _take(self, lots: Sequence[int], settled: Callable[[], None]) -> None:
        """Take what is free, side by side; another may be quicker. Raises LogUnavailable."""
        taking = (asyncio.to_thread(self._shares.take, lot) for lot in lots)
        found = await asyncio.gather(*taking, return_exceptions=True)
        taken = [session for session in found if isinstance(session, Session)]
        for session in taken:
            holding = self._held[session.lot] = Holding(session)
            holding.work = asyncio.create_task(self._work(holding, settled))
        if taken:
            logger.info("holds %ss %s", self._noun, ", ".join(map(str, sorted(self._held))))
        self._wanting = len(taken) < len(lots)
        for failed in found:
            if isinstance(failed, BaseException):
                raise failed

    async def _work(self, holding: Holding, settled: Callable[[], None]) -> None:
        def serves() -> None:
            holding.serves = True
            self._tell(settled)

        try:
            await self._term(holding.session, holding.over, serves)
        except CoordError as error:
            if not error.retryable:
                raise
            logger.warning("%s %d cannot be served now: %s", self._noun, holding.session.lot, error)
        finally:
            holding.serves = False
            await asyncio.to_thread(holding.session.close)

    def _tell(self, settled: Callable[[], None]) -> None:
        if not self._wanting and all(holding.serves for holding in self._held.values()):
            settled()

    async def _end(self) -> None:
        for holding in self._held.values():
            holding.over.set()
        works = [holding.work for holding in self._held.values() if holding.work is not None]
        ended = await asyncio.gather(*works, return_exceptions=True)
        await asyncio.to_thread(self._shares.close)
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome
