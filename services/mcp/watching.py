"""Live change: which resources an event of the project changes, and telling the clients that watch them.

Clients of the 2025-11-25 protocol subscribe to a URI and are sent notifications; those of 2026-07-28 listen
on a stream. Both are fed from one subscription to the project's events, made when the first client watches.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, SubscriptionsListenRequestParams, SubscriptionsListenResult

from services.mcp.line import Line

MAX_WATCHED_URIS = 256
MAX_STREAMS = 32
_AGENTS = ("agent", "from_agent", "to_agent")

logger = logging.getLogger(__name__)


class Watcher:
    """Tells one session's clients what changed. Close it in the end."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._bus = InMemorySubscriptionBus()
        self._handler = ListenHandler(self._bus, max_subscriptions=MAX_STREAMS)
        self._watched: dict[str, ServerSession] = {}
        self._starting = asyncio.Lock()
        self._unsubscribe: Any = None

    async def close(self) -> None:
        self._handler.close()
        if self._unsubscribe is not None:
            await self._unsubscribe()

    async def listen(
        self, ctx: ServerRequestContext[Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream, until the client ends it or the session does."""
        await self._start()
        return await self._handler(ctx, params)

    async def subscribe(self, uri: str, session: ServerSession) -> None:
        await self._start()
        if len(self._watched) >= MAX_WATCHED_URIS and uri not in self._watched:
            raise MCPError(INVALID_PARAMS, f"{MAX_WATCHED_URIS} resources are watched, the limit; end one.")
        self._watched[uri] = session

    def unsubscribe(self, uri: str) -> None:
        self._watched.pop(uri, None)

    async def _start(self) -> None:
        async with self._starting:
            if self._unsubscribe is None:
                self._unsubscribe = await self._line.listen(self._heard)

    async def _heard(self, subject: str, body: bytes) -> None:
        for uri in {*changed_by(subject, body)}:
            await self._bus.publish(ResourceUpdated(uri))
            if session := self._watched.get(uri):
                try:
                    await session.send_resource_updated(uri)
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                    self.unsubscribe(uri)  # its client is gone


def changed_by(subject: str, body: bytes) -> Iterator[str]:
    """The resources that an event changes, by the end of its subject (`task.claimed.t1`) and its body."""
    context, _, entity = subject.split(".", 2)
    if context in ("task", "agent"):
        yield f"coord://{context}/{entity}"
    try:
        data = msgspec.json.decode(body).get("data", {})
    except (msgspec.DecodeError, AttributeError) as error:
        logger.warning("an event on %s cannot be read, so nobody is told of it: %s", subject, error)
        return
    if isinstance(data.get("task"), str):
        yield f"coord://task/{data['task']}"
    yield from (f"coord://agent/{data[name]}" for name in _AGENTS if isinstance(data.get(name), str))
