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
from uvicorn.protocols.http.h11_impl import H11Protocol

BACKLOG = 100
MAX_CONNECTIONS = 1_000
KEEP_ALIVE_S = 15
HEAD_TIMEOUT_S = 15.0
"""How long a client may take to say what it wants; then its place is another's."""

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


class _Impatient(H11Protocol):
    """Ends a connection whose next request does not begin, or whose last one's body drips on unread.

    The server by itself waits for ever for a first request, and for the rest of one that has begun.
    """

    _ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as above
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _expect(self) -> None:
        """Give the client its time, unless that runs already or a request of its is being answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._ending is None:
            self._ending = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None


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
            forgiving(app), http=_Impatient, ws="none", lifespan="off", log_config=None, log_level="warning",
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
