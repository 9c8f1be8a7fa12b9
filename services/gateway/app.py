"""The HTTP application: health, readiness and metrics, the API, and the guard before all of them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from domain.errors import CoordError
from services.bus.link import Link
from services.console.door import PATHS as CONSOLE_PATHS
from services.console.door import ConsoleDoor, Means
from services.gateway.api import Api, refusal_of
from services.gateway.asking import Asker
from services.gateway.denials import (
    CrossSite,
    Forbidden,
    TokenExpired,
    TokenInUrl,
    TokenRevoked,
    Unauthenticated,
    UnknownHost,
)
from services.gateway.entry import Entry
from services.gateway.exposition import expose
from services.gateway.guard import Guard
from services.gateway.live import Live
from services.gateway.pages import Lists
from services.gateway.problems import problem
from services.gateway.tokens import Tokens
from services.health.health import Health, check
from services.log.event_log import EventLog
from services.mcp.door import PATH as MCP_PATH
from services.mcp.door import McpDoor
from services.metrics import GatewayMetrics
from services.monitoring.sources import Sources
from services.reading.past import Past
from services.reading.reads import Reads

HEALTH_AGE_S = 1.0
TURNED_AWAY = (CrossSite, Forbidden, TokenExpired, TokenInUrl, TokenRevoked, Unauthenticated, UnknownHost)

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


class Gateway:
    """Answers HTTP requests about the whole system. Close it in the end.

    `names` are the hosts it goes by beside loopback's. If it is `public`, what is told of the whole system
    needs a token too.
    """

    def __init__(
        self,
        database_url: str,
        reads: Reads,
        link: Link,
        metrics: GatewayMetrics,
        tokens: Tokens,
        sources: Sources,
        *,
        names: Sequence[str] = (),
        public: bool = False,
    ) -> None:
        self._database_url = database_url
        self._reads = reads
        self._link = link
        self._metrics = metrics
        self._sources = sources
        self._names = names
        self._public = public
        self._entry = Entry(tokens)
        self._log = EventLog(database_url)
        self._live = Live(self._log)
        lists = Lists(reads, Past(database_url, self._log, metrics.replaying))
        asker = Asker(link)
        self._mcp = McpDoor(self._entry, asker, reads, link, database_url, metrics.replaying)
        self._api = Api(self._entry, asker, lists, self._live, self._denied)
        self._console = ConsoleDoor(
            Means(
                database_url, self._log, reads, self._live, asker, self._entry, tokens, metrics, self._denied
            )
        )
        self._asking: asyncio.Task[Health] | None = None
        self._asked_at = 0.0

    def app(self) -> Starlette:
        handlers = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._scrape}
        routes = [Route(path, self._counted(path, handler)) for path, handler in handlers.items()]
        for path, methods, handler in self._api.routes():
            routes.append(Route(path, self._counted(path, handler), methods=methods))
        routes.append(Route(MCP_PATH, self._mcp))
        routes += [Route(path, self._console) for path in CONSOLE_PATHS]
        app = Starlette(
            routes=routes,
            middleware=[Middleware(Guard, names=self._names, denied=self._denied)],
            exception_handlers={
                ClientDisconnect: _gone,
                HTTPException: self._unrouted,
                Exception: self._unrouted,
            },
        )
        app.router.redirect_slashes = False
        return app

    async def close(self) -> None:
        """End the streams, and answer what was asked."""
        await self._mcp.close()
        await self._live.close()
        self._api.close()
        await self._console.close()
        self._log.close()

    def _counted(self, path: str, handler: Handler) -> Handler:
        """The handler, its refusals as problems; all of its answers counted."""

        async def counted(request: Request) -> Response:
            began = time.perf_counter()
            try:
                response = await handler(request)
            except CoordError as error:
                self._denied(error)
                response = problem(error)
            self._metrics.requested(path, response.status_code, time.perf_counter() - began)
            return response

        return counted

    async def _unrouted(self, _: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        self._denied(refusal)
        allowed = refusal.facts.get("allowed")
        return problem(refusal, {"Allow": allowed} if allowed else None)

    def _denied(self, error: CoordError) -> None:
        self._metrics.denied(error.code)
        if isinstance(error, TURNED_AWAY):
            logger.warning("a request is turned away: %s", error, extra={"code": error.code})

    async def _healthz(self, _: Request) -> Response:
        """This process answers, and more is not said."""
        return PlainTextResponse("ok\n")

    async def _readyz(self, request: Request) -> Response:
        """200 if every part works, else 503; and which part does not, and why, to those who may know."""
        health = await self._health()
        body: dict[str, Any] = {"ready": health.ready}
        if self._may_look(request):
            body["parts"] = health.parts
        content = msgspec.json.format(msgspec.json.encode(body))
        return Response(content, 200 if health.ready else 503, media_type="application/json")

    async def _scrape(self, request: Request) -> Response:
        if not self._may_look(request):
            raise Unauthenticated(why="Others can reach this gateway, so its metrics need a token")
        health, figures = await asyncio.gather(self._health(), self._sources.figures())
        content = await asyncio.to_thread(expose, health, figures)
        return Response(content, media_type=CONTENT_TYPE_LATEST)

    def _may_look(self, request: Request) -> bool:
        """Whether the whole system's state is for whoever asks: for all on loopback, else with a token."""
        if self._public and "authorization" not in request.headers:
            return False
        if self._public:
            self._entry.admit(request.headers)
        return True

    async def _health(self) -> Health:
        """Asked at most once a second, however many want to know."""
        now = time.monotonic()
        if self._asking is None or now - self._asked_at > HEALTH_AGE_S:
            self._asked_at = now
            self._asking = asyncio.create_task(check(self._database_url, self._link))
        return await asyncio.shield(self._asking)


async def _gone(_: Request, __: Exception) -> Response:
    """For one that went before its request was whole: nobody is left to be told, and nothing is at fault."""
    logger.debug("a client went before its request was whole")
    return Response(status_code=400)
