"""An HTTP server inside a process that has its own ideas about signals."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

BACKLOG = 100
MAX_CONNECTIONS = 1_000
KEEP_ALIVE_S = 15
STOP_TIMEOUT_S = 5
STALLED_S = 60.0
"""How long an answer may wait for a client that takes none of it; then the system ends the connection."""

logger = logging.getLogger(__name__)


def forgiving(app: ASGIApp) -> ASGIApp:
    """An application whose answer may find the connection closed: a request can turn bad in its body.

    The server has then refused it already, and what is written would only be a traceback.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except h11.LocalProtocolError as error:
            logger.warning("a request was refused while it was being answered: %s", error)

    return answer


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The service's process has taken them already."""
        yield


@asynccontextmanager
async def listening(app: Starlette, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application for as long as the context lasts; gives its URL."""
    listener = socket.create_server((host, port), backlog=BACKLOG)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux; connections take it over from their listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_S * 1000))
    server = _Server(
        uvicorn.Config(
            forgiving(app), http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()
