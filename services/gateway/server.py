"""An HTTP server inside a process that has its own ideas about signals."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

BACKLOG = 100
MAX_CONNECTIONS = 200
KEEP_ALIVE_S = 15
STOP_TIMEOUT_S = 5


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The service's process has taken them already."""
        yield


@asynccontextmanager
async def listening(app: Starlette, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application for as long as the context lasts; gives its URL."""
    listener = socket.create_server((host, port), backlog=BACKLOG)
    server = _Server(
        uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
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
