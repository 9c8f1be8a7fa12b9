"""Clients of the MCP doors of a running system, and what a model reads of their answers."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult

from services.access.roles import Role
from services.bus.caller import Caller
from services.config import Doors
from services.gateway.tokens import Tokens
from services.mcp.desk import Desk
from services.mcp.serving import server_for
from services.mcp.stdio import opened

MODES = ("legacy", "2026-07-28")
"""The handshake of 2025-11-25, and the protocol that has none."""

PATIENCE_S = 120
ROOT = Path(__file__).resolve().parent.parent.parent

T = TypeVar("T")


class Site:
    """A running system; each test uses a project of its own on it."""

    def __init__(self, doors: Doors, port: int, data: Path) -> None:
        self.doors = doors
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.tokens = Tokens(data)

    def token(self, role: Role, project: str, actor: str) -> str:
        return self.tokens.create(actor, role, [project])[1]

    @asynccontextmanager
    async def desk(self, project: str, actor: str, persona: str = "research") -> AsyncIterator[Desk]:
        async with opened(self.doors.nats_url, project, actor, persona, self.doors.database_url) as desk:
            yield desk

    @asynccontextmanager
    async def inside(
        self, project: str, actor: str, profile: str = "worker", mode: str = "legacy", **more: Any
    ) -> AsyncIterator[Client]:
        """A client of a server in this process."""
        async with (
            self.desk(project, actor) as desk,
            Client(server_for(profile, desk), mode=mode, **more) as client,
        ):
            yield client

    @asynccontextmanager
    async def over_stdio(
        self, project: str, actor: str, *arguments: str, mode: str = "legacy"
    ) -> AsyncIterator[Client]:
        """A client of a `coordctl mcp` of its own."""
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COORD_")},
            "COORD_DATABASE_URL": self.doors.database_url,
            "COORD_NATS_URL": self.doors.nats_url,
            "COORD_PROJECT": project,
            "COORD_AGENT": actor,
            "PYTHONPATH": str(ROOT),
        }
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "cli.main", "mcp", *arguments], env=environ
        )
        async with Client(stdio_client(command), mode=mode) as client:
            yield client

    @asynccontextmanager
    async def over_http(self, token: str, mode: str = "legacy", **headers: str) -> AsyncIterator[Client]:
        """A client of the gateway."""
        shown = {"Authorization": f"Bearer {token}", **headers}
        async with (
            create_mcp_http_client(headers=shown) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client

    async def ask(self, project: str, verb: str, fields: dict[str, Any], actor: str = "operator") -> Any:
        """A command beside MCP."""
        async with Caller(self.doors.nats_url, project, actor) as caller:
            return (await caller.ask(verb, fields)).result


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end, within our patience."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE_S):
            return await story

    return asyncio.run(bounded())


def told(result: CallToolResult) -> dict[str, Any]:
    """What a model reads of an answer."""
    answer: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]  # it is text
    if not result.is_error:
        assert result.structured_content == answer
    return answer


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A call that goes well."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return told(result)


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A call that is refused."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.content
    return told(result)
