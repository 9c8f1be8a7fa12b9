"""`/mcp` on the gateway: lets in whoever shows a token, and loads the rest when the first one comes.

The token's role chooses the profile, its actor the agent. Of several projects the header Coord-Project names
one; Coord-Persona says which persona a worker is.
"""

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from services.access.roles import EVERY
from services.bus.link import Link
from services.bus.wire import check_name
from services.gateway.asking import Asker
from services.gateway.denials import Forbidden
from services.gateway.entry import Entry, Holder
from services.reading.past import Measured
from services.reading.reads import Reads

if TYPE_CHECKING:
    from services.mcp.hosted import Hosting

PATH = "/mcp"
PROJECT_HEADER = "Coord-Project"
PERSONA_HEADER = "Coord-Persona"
DEFAULT_PROJECT = "main"
DEFAULT_PERSONA = "research"
ROLES = frozenset({"worker", "planner", "operator", "observer"})


class McpDoor:
    """An ASGI application. Close it in the end."""

    def __init__(
        self, entry: Entry, asker: Asker, reads: Reads, link: Link, database_url: str, measured: Measured
    ) -> None:
        """`measured` goes around each look at the past."""
        self._entry = entry
        self._asker = asker
        self._reads = reads
        self._link = link
        self._database_url = database_url
        self._measured = measured
        self._hosting: Hosting | None = None
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what Entry.admit does, TooManyAtOnce, BadName or Forbidden, before anything is sent."""
        headers = Headers(scope=scope)
        holder = self._entry.admit(headers)
        if holder.role not in ROLES:
            raise Forbidden(why=f"The role {holder.role} of token {holder.token.id} has no MCP profile")
        project = _project(holder, headers.get(PROJECT_HEADER))
        persona = headers.get(PERSONA_HEADER, DEFAULT_PERSONA)
        check_name("persona", persona)
        hosting = await self._opened()
        with self._entry.under_way(holder):
            await hosting.serve(holder, project, persona, scope, receive, send)

    async def close(self) -> None:
        """End every session in order."""
        if self._hosting is not None:
            await self._hosting.close()

    async def _opened(self) -> "Hosting":
        async with self._opening:
            if self._hosting is None:
                hosted = await asyncio.to_thread(_load)
                self._hosting = hosted(
                    self._entry, self._asker, self._reads, self._link, self._database_url, self._measured
                )
            return self._hosting


def _load() -> "type[Hosting]":
    """The SDK takes a moment to load, in which the gateway answers others."""
    from services.mcp.hosted import Hosting

    return Hosting


def _project(holder: Holder, named: str | None) -> str:
    """The project that is named, or the token's only one. Raises BadName or Forbidden."""
    known = holder.token.projects
    project = named or (known[0] if len(known) == 1 and known[0] != EVERY else DEFAULT_PROJECT)
    holder.check_project(project)
    return project
