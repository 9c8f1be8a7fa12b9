"""The HTTP application: health, readiness and metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.errors import Unavailable
from services.gateway.exposition import expose
from services.health import Health, check
from services.link import Link
from services.metrics import GatewayMetrics
from services.reads import Reads

HEALTH_AGE_S = 1.0

Handler = Callable[[Request], Awaitable[Response]]


class Gateway:
    """Answers HTTP requests about the whole system."""

    def __init__(self, database_url: str, reads: Reads, link: Link, metrics: GatewayMetrics) -> None:
        self._database_url = database_url
        self._reads = reads
        self._link = link
        self._metrics = metrics
        self._asking: asyncio.Task[Health] | None = None
        self._asked_at = 0.0

    def app(self) -> Starlette:
        handlers = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._scrape}
        return Starlette(routes=[Route(path, self._counted(path, h)) for path, h in handlers.items()])

    def _counted(self, path: str, handler: Handler) -> Handler:
        async def counted(request: Request) -> Response:
            response = await handler(request)
            self._metrics.requested(path, response.status_code)
            return response

        return counted

    async def _healthz(self, _: Request) -> Response:
        """This process answers, and more is not said."""
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        """200 if every part works, else 503; and which part does not, and why."""
        health = await self._health()
        body = {"ready": health.ready, "parts": health.parts}
        content = msgspec.json.format(msgspec.json.encode(body))
        return Response(content, 200 if health.ready else 503, media_type="application/json")

    async def _scrape(self, _: Request) -> Response:
        health = await self._health()
        try:
            tallies = await asyncio.to_thread(self._reads.tallies) if health.parts["postgres"].ok else []
        except Unavailable:
            tallies = []  # the read models are not there yet; that shows in coordctl_part_up
        content = await asyncio.to_thread(expose, health, tallies)
        return Response(content, media_type=CONTENT_TYPE_LATEST)

    async def _health(self) -> Health:
        """Asked at most once a second, however many want to know."""
        now = time.monotonic()
        if self._asking is None or now - self._asked_at > HEALTH_AGE_S:
            self._asked_at = now
            self._asking = asyncio.create_task(check(self._database_url, self._link))
        return await asyncio.shield(self._asking)
