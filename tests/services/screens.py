"""`coordctl top` on a screen without a terminal: keys are pressed, and what can be seen is read."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from cli.top_app import Top
from services.top.tabs import TABS, Tab

WAIT_S = 30


class Screen:
    """The screen, as a person has it."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    @property
    def lines(self) -> list[str]:
        """All lines, from top to bottom."""
        size = self.app.size
        return [strip.text for strip in self.app.screen._compositor.render_strips(size)]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor(self) -> str:
        """The line under the cursor."""
        widget = self.app.lines
        return self.lines[widget.region.y + widget.place.cursor - widget.place.top]

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def click(self, text: str) -> None:
        """On the first place that shows the text."""
        for y, line in enumerate(self.lines):
            if text in line:
                await self._pilot.click(offset=(line.index(text) + 1, y))
                return
        raise AssertionError(self.text)

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when it does. The screen is shown if it never does."""
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline, self.text
            await asyncio.sleep(0.02)

    async def shows(self, *texts: str) -> None:
        """Return when all of the texts can be seen."""
        await self.until(lambda: all(text in self.text for text in texts))

    async def at(self, sequence: int) -> None:
        """Return when the rows of this moment, and nothing later, are shown."""
        await self.until(
            lambda: self.app.moment.sequence == sequence and not self.app.busy and not self.app.lost
        )


@asynccontextmanager
async def screen(
    find: Callable[[], str], tab: Tab = TABS[0], *, until: str | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Screen]:
    """`coordctl top` at work, on a screen of so many columns and lines."""
    app = Top(find, "main", tab, until)
    async with app.run_test(size=size) as pilot:
        yield Screen(app, pilot)
