"""The MCP server of one client over its stdin and stdout, as `coordctl mcp` runs it.

The client's end of the pipe is the session: when it closes, or on SIGTERM, the session ends in order. A
server that is killed says nothing, and its leases expire.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.stdio import stdio_server

from services.mcp.desk import Desk
from services.mcp.line import OwnLine
from services.mcp.serving import server_for


async def serve(
    profile: str, nats_url: str, project: str, actor: str, persona: str, database_url: str | None
) -> None:
    """Serve until the client is gone. Raises Unavailable without a NATS server."""
    async with opened(nats_url, project, actor, persona, database_url) as desk:
        server = server_for(profile, desk)
        leaving = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
        told_to_leave = asyncio.create_task(_leave(leaving, desk))
        try:
            async with stdio_server() as (requests, answers):
                await server.run(requests, answers, server.create_initialization_options())
        finally:
            told_to_leave.cancel()


@asynccontextmanager
async def opened(
    nats_url: str, project: str, actor: str, persona: str, database_url: str | None
) -> AsyncIterator[Desk]:
    """A session of its own, ended in order."""
    async with OwnLine(nats_url, project, actor) as line:
        desk = Desk(line, persona=persona, database_url=database_url)
        try:
            yield desk
        finally:
            await desk.close()


async def _leave(leaving: asyncio.Event, desk: Desk) -> None:
    """On SIGTERM end the session, and the process at once: a thread of it waits for the client's next line,
    which nothing can interrupt."""
    await leaving.wait()
    await desk.close()
    os._exit(0)
