"""Sources of figures: each read seldom, by one reader at a time, and never waited for long.

A scrape takes what a source has. What is being read for too long comes with a later scrape, and until then
the former figures stand; a source that fails has none. Touches nothing but what its sources read.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, Metric

WAIT_S = 2.0
"""How long a scrape waits for a source."""

AGE_S = 4.0
"""How old figures become before they are read again."""

REST = 20
"""After a reading that its server works for, a source rests for so many times what that took."""

logger = logging.getLogger(__name__)

Read = Callable[[], Awaitable[Sequence[Metric]]]


class Source:
    """Figures of one kind, remembered for a while.

    `fails` are the errors by which it is away for now; `rest` is REST where reading costs the server much.
    """

    def __init__(self, name: str, read: Read, *fails: type[Exception], rest: int = 0) -> None:
        self.name = name
        self._rest = rest
        self._read = read
        self._fails = fails
        self._reading: asyncio.Task[None] | None = None
        self._figures: Sequence[Metric] = ()
        self._read_at = monotonic()
        self._next_at = 0.0
        self._missed = False
        self.ok = False
        self.took_s = 0.0

    @property
    def age_s(self) -> float:
        """How long ago the figures were read, or nobody has begun to."""
        return monotonic() - self._read_at

    async def figures(self) -> Sequence[Metric]:
        """The latest there are, read anew if it is time for that."""
        if self._reading is None and monotonic() >= self._next_at:
            self._reading = asyncio.create_task(self._look())
        if (reading := self._reading) is not None:
            await asyncio.wait({reading}, timeout=WAIT_S)
            if reading.done():
                reading.result()  # raises what nobody expected
        return self._figures

    async def _look(self) -> None:
        began = monotonic()
        figures: Sequence[Metric] | None = None
        try:
            figures = await self._read()
        except self._fails as error:
            if not self._missed:
                logger.warning("figures of %s cannot be read: %s", self.name, error)
        finally:
            self._figures, self.ok = figures or (), figures is not None
            if self.ok and self._missed:
                logger.info("figures of %s can be read again", self.name)
            self._missed = not self.ok
            self._read_at = monotonic()
            self.took_s = self._read_at - began
            self._next_at = began + max(AGE_S, self._rest * self.took_s)
            self._reading = None


class Sources:
    """All of them, asked side by side."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    async def figures(self) -> list[Metric]:
        """The figures of all, and how the sources themselves are."""
        found = await asyncio.gather(*(source.figures() for source in self._sources))
        return [*(metric for figures in found for metric in figures), *self._of_themselves()]

    def _of_themselves(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "coordctl_source_up", "1 if these figures could be read the last time.", labels=["source"]
        )
        age = GaugeMetricFamily(
            "coordctl_source_age_seconds", "How long ago these figures were read.", labels=["source"]
        )
        took = GaugeMetricFamily(
            "coordctl_source_read_seconds", "How long reading these figures took.", labels=["source"]
        )
        for source in self._sources:
            up.add_metric([source.name], source.ok)
            age.add_metric([source.name], source.age_s)
            took.add_metric([source.name], source.took_s)
        return up, age, took
