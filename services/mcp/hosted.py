"""MCP over HTTP for many clients: one session for each token (and persona), whatever protocol they speak.

The protocol of 2026-07-28 has no sessions, so what a client holds stands with the token it shows: who comes
again with it goes on where it was. A session ends when nobody called for a while, or with the gateway. Loads
the SDK, so the door imports it when the first client comes.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from domain.errors import CoordError
from services.bus.link import Link
from services.bus.wire import COMMAND_ID_HEADER, command_subject, parse_command
from services.errors import RETRY_AFTER_S
from services.gateway.asking import Asker
from services.gateway.entry import Entry, Holder
from services.landing.asking import asked as ask_landing
from services.landing.params import LANDING_VIEWS
from services.mcp.desk import Desk
from services.mcp.line import Heard, Item, Unsubscribe, listening
from services.mcp.profiles import PROFILES
from services.mcp.serving import server_of
from services.reading.past import Measured
from services.reading.reads import Reads
from services.recall.asking import recall
from services.recall.params import VIEW as RECALL
from services.tracing.current import current_trace
from services.waiting import either

IDLE_S = 1800.0
"""How long a session lasts without a call: as long as the SDK's own."""

CLEAN_EVERY_S = 30.0
START_TIMEOUT_S = 10.0
MAX_DESKS = 1_000
MAX_DESKS_PER_TOKEN = 20
"""One for each project and persona that the holder of a token names."""

MAX_BODY_BYTES = 256 * 1024
DESK = "coord.desk"
"""Where a request's scope holds the session that it belongs to."""

logger = logging.getLogger(__name__)


class TooManySessions(CoordError):
    code = "busy"
    says = "There are {limit} MCP sessions already, the limit for {whom}; try again in {retry_after_s} s."
    retryable = True


class GatewayLine:
    """The line of somebody the gateway let in, over its own connections."""

    def __init__(
        self, entry: Entry, holder: Holder, project: str, asker: Asker, reads: Reads, link: Link
    ) -> None:
        self._entry = entry
        self.project = project
        self.actor = holder.actor
        self._holder = holder
        self._asker = asker
        self._reads = reads
        self._link = link
        self._seen = 0

    async def ask(self, verb: str, fields: Mapping[str, Any], *, wait_s: float = 0.0) -> Item:
        self._entry.check(self._holder)  # a token that is revoked has no heartbeats either
        self._holder.check_verb(self.project, verb)
        payload = msgspec.json.encode(fields)
        parse_command(verb, payload)
        subject = command_subject(self.project, self.actor, verb)
        headers = {COMMAND_ID_HEADER: uuid4().hex, **current_trace(verb)}
        answer = await self._asker.ask(subject, payload, headers, wait_s)
        self._seen = max(self._seen, answer.position)
        return answer.result

    async def read(self, view: str, **params: Any) -> list[Item]:
        asked = {**params, "min_position": self._seen}
        if view == RECALL:
            _, hits = await recall(self._link.client, self.project, asked)
            return hits
        if view in LANDING_VIEWS:
            _, rows = await ask_landing(self._link.client, self.project, view, asked)
            return rows
        rows = await asyncio.to_thread(self._reads.read, self.project, view, asked)
        found: list[Item] = msgspec.to_builtins(rows)
        return found

    async def listen(self, heard: Heard) -> Unsubscribe:
        return await listening(self._link.client, self.project, heard)


class _Seat:
    """A session and when it was called last."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.calls = 0
        self.used_s = time.monotonic()


class Hosting:
    """All MCP sessions of a gateway. Close it in the end."""

    def __init__(
        self, entry: Entry, asker: Asker, reads: Reads, link: Link, database_url: str, measured: Measured
    ) -> None:
        self._measured = measured
        self._entry = entry
        self._asker = asker
        self._reads = reads
        self._link = link
        self._database_url = database_url
        self._seats: dict[tuple[str, ...], _Seat] = {}
        self._stop = asyncio.Event()
        self._started = asyncio.Event()
        self._managers = {
            name: StreamableHTTPSessionManager(
                server_of(name, _desk_of),
                session_idle_timeout=IDLE_S,
                max_sessions=MAX_DESKS,
                max_request_body_size=MAX_BODY_BYTES,
            )
            for name in PROFILES
        }
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End every session in order."""
        self._stop.set()
        await self._running

    async def serve(
        self, holder: Holder, project: str, persona: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one request of somebody who was let in."""
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._started.wait()
        seat = self._seat(holder, project, persona)
        user = AuthenticatedUser(AccessToken(token="", client_id=holder.token.id, scopes=[]))
        seat.calls += 1
        try:
            manager = self._managers[holder.role]
            await manager.handle_request({**scope, DESK: seat.desk, "user": user}, receive, send)
        finally:
            seat.calls -= 1
            seat.used_s = time.monotonic()

    def _seat(self, holder: Holder, project: str, persona: str) -> _Seat:
        key = (holder.token.id, holder.actor, project, persona)
        if key not in self._seats:
            self._make_room(holder)
            line = GatewayLine(self._entry, holder, project, self._asker, self._reads, self._link)
            desk = Desk(line, persona=persona, database_url=self._database_url, measured=self._measured)
            self._seats[key] = _Seat(desk)
        return self._seats[key]

    def _make_room(self, holder: Holder) -> None:
        """Raises TooManySessions."""
        own = sum(token == holder.token.id for token, *_ in self._seats)
        if own >= MAX_DESKS_PER_TOKEN:
            raise TooManySessions(limit=own, whom="one token", retry_after_s=RETRY_AFTER_S)
        if len(self._seats) >= MAX_DESKS:
            raise TooManySessions(limit=MAX_DESKS, whom="the gateway", retry_after_s=RETRY_AFTER_S)

    async def _run(self) -> None:
        """Run the servers until we close, and see to sessions that nobody calls; all in one task, as they
        must be entered and left in the same one."""
        async with _entered(self._managers.values()):
            self._started.set()
            while not await either(self._stop, CLEAN_EVERY_S):
                idle_since_s = time.monotonic() - IDLE_S
                idle = [k for k, seat in self._seats.items() if not seat.calls and seat.used_s < idle_since_s]
                await self._end([self._seats.pop(key) for key in idle])
            await self._end([*self._seats.values()])

    async def _end(self, seats: list[_Seat]) -> None:
        for result in await asyncio.gather(*(seat.desk.close() for seat in seats), return_exceptions=True):
            if isinstance(result, BaseException):
                logger.error("an MCP session could not end in order", exc_info=result)


@asynccontextmanager
async def _entered(managers: Any) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for manager in managers:
            await stack.enter_async_context(manager.run())
        yield


def _desk_of(ctx: ServerRequestContext[Any]) -> Desk:
    assert ctx.request is not None, "over HTTP every message has its request"
    desk: Desk = ctx.request.scope[DESK]
    return desk
