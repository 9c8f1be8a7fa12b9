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

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def answered(self, since: float) -> dict[str, float]:
        """Seconds since then until commands that write were answered at once, by project. Raises Unavailable.

        What was killed may still do one thing or the other, so the probes go on for a while.
        """
        times = await asyncio.gather(*(self._answered(client, since) for client in self._clients.values()))
        return {project: at - since for project, at in zip(self._clients, times, strict=True)}

    async def _answered(self, client: Client, since: float) -> float:
        """When the last answer came that was late; when the first came if none was."""
        answered = 0.0
        while time() - since < WATCH_S:
            asked = time()
            await self._ask(client)
            if time() - asked > PROBE_TIMEOUT_S or not answered:
                answered = time()
            await asyncio.sleep(LOOK_S)
        return answered

    async def _ask(self, client: Client) -> None:
        self._asked += 1
        body = {"key": "probe", "value": self._asked}
        reply = await client.ask("setting.set", body, timeout_s=PROBE_TIMEOUT_S)
        if not reply["ok"]:
            raise Unavailable(what="The probe", why=reply["error"]["message"])


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
