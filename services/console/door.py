"""`/console` on the gateway: hands requests to the console, which is loaded when the first one comes."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from domain.errors import CoordError
from services.gateway.asking import Asker
from services.gateway.entry import Entry
from services.gateway.live import Live
from services.gateway.tokens import Tokens
from services.log.event_log import EventLog
from services.metrics import GatewayMetrics
from services.reading.reads import Reads

if TYPE_CHECKING:
    from services.console.app import Console

PATHS = ("/console", "/console/{rest:path}")


class Means(Struct, frozen=True):
    """What the console works with; all of it is the gateway's."""

    database_url: str
    log: EventLog
    reads: Reads
    live: Live
    asker: Asker
    entry: Entry
    tokens: Tokens
    metrics: GatewayMetrics
    denied: Callable[[CoordError], None]


class ConsoleDoor:
    """An ASGI application. Close it in the end."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._console: Console | None = None
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        console = self._console or await self._opened()
        await console.app(scope, receive, send)

    async def close(self) -> None:
        if self._console is not None:
            self._console.close()

    async def _opened(self) -> "Console":
        async with self._opening:
            if self._console is None:
                self._console = await asyncio.to_thread(_load, self._means)
            return self._console


def _load(means: Means) -> "Console":
    """The templates take a moment to load, in which the gateway answers others."""
    from services.console.app import Console

    return Console(means)
