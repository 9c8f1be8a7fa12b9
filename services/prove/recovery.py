"""How long it takes until all is well after a fault: commands answered, stream and tables caught up.

Asks by clients of its own, a probe for each project, whose commands are in the evidence like all others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from time import time
from types import TracebackType
from typing import Self

import psycopg
from nats.errors import Error as NatsError

from domain.errors import CoordError
from services.errors import Unavailable
from services.prove.client import Client
from services.prove.evidence import Transcript
from services.prove.site import Site

PROBE_TIMEOUT_S = 0.25
WATCH_S = 1.0
"""For how long answers are waited for that come late."""

LOOK_S = 0.05
CATCH_UP_TIMEOUT_S = 60.0


class Probes:
    """Use as an async context manager."""

    def __init__(self, site: Site, folder: Path, projects: Sequence[str]) -> None:
        self._clients = {
            project: Client(
                site.nats_url, project, "probe", Transcript(folder, f"{project}-probe"), max_backoff_s=LOOK_S
            )
            for project in projects
        }
        self._stack = AsyncExitStack()
        self._asked = 0
        self._answered: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def written(self) -> int:
        """Wait until each project has answered a command that writes; returns the last one's position."""
        return max(await asyncio.gather(*map(self._ask, self._clients)))

    async def answered(self, since: float) -> dict[str, float]:
        """Seconds since then until commands were answered at once, by project.

        What was killed may still do one thing or the other, so after the first answer some are late; they are
        watched for a while.
        """
        await asyncio.gather(*(self._watch(project, since + WATCH_S) for project in self._clients))
        return {project: at - since for project, at in self._answered.items()}

    async def _watch(self, project: str, until: float) -> None:
        """Move the time of the answer to that of the last one that is late."""
        while (asked := time()) < until:
            before = self._answered[project]
            await self._ask(project)
            if self._answered[project] - asked < PROBE_TIMEOUT_S:
                self._answered[project] = before
            await asyncio.sleep(LOOK_S)

    async def _ask(self, project: str) -> int:
        """Returns the position of what was written. Raises Unavailable."""
        self._asked += 1
        body = {"key": "probe", "value": self._asked}
        reply = await self._clients[project].ask("setting.set", body, timeout_s=PROBE_TIMEOUT_S)
        if not reply["ok"]:
            raise Unavailable(what="The probe", why=reply["error"]["message"])
        self._answered[project] = time()
        return int(reply["position"])


async def caught_up(site: Site, head: int, since: float) -> dict[str, float]:
    """Seconds since then until the stream and the tables had this position. Raises Unavailable."""
    relay, projector = await asyncio.gather(
        _reached(site.relayed, head, "The relay"), _reached(site.projected, head, "The projector")
    )
    return {"relay": relay - since, "projector": projector - since}


async def patiently(look: Callable[[], Awaitable[int]], what: str) -> int:
    """What it says as soon as it can be asked. Raises Unavailable."""
    return await _told(look, what, lambda _: True)


async def _reached(look: Callable[[], Awaitable[int]], position: int, what: str) -> float:
    await _told(look, what, lambda found: found >= position)
    return time()


async def _told(look: Callable[[], Awaitable[int]], what: str, enough: Callable[[int], bool]) -> int:
    why = "it did not catch up"
    try:
        async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
            while True:
                try:
                    if enough(found := await look()):
                        return found
                except (CoordError, NatsError, OSError, psycopg.Error) as error:
                    why = str(error) or type(error).__name__
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise Unavailable(what=what, why=f"{why}, for {CATCH_UP_TIMEOUT_S:.0f} s") from error
