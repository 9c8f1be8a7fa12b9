"""The operator of a run: sets what the projects are to be like, and revives the tasks that died.

Asks by clients of its own; reads the dead tasks from the tables of the read models.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.sql import SQL, Identifier

from services.errors import Unavailable
from services.log.database import connect
from services.prove.agent import LEASE_S, STALE_AFTER_S
from services.prove.client import Client
from services.prove.evidence import Transcript
from services.prove.site import Site

LOOK_S = 0.5
MAX_DEAD_TASKS = 500

SETTINGS: Mapping[str, Any] = {
    "max_agents": 1_000,
    "default_lease_s": LEASE_S,
    "stale_after_s": STALE_AFTER_S,
}

_TABLE = "SELECT table_name FROM coord.projections WHERE name = 'queue'"
_DEAD = "SELECT project, task FROM {} WHERE status = 'dead' LIMIT %s"


class Operator:
    """Use as an async context manager, and `run` until cancelled."""

    def __init__(self, site: Site, folder: Path, projects: Sequence[str]) -> None:
        self._site = site
        self._clients = {
            project: Client(site.nats_url, project, "operator", Transcript(folder, f"{project}-operator"))
            for project in projects
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def prepare(self) -> None:
        """Set the terms: short leases, so that what is abandoned comes back during the run."""
        for client in self._clients.values():
            for key, value in SETTINGS.items():
                reply = await client.ask("setting.set", {"key": key, "value": value})
                if not reply["ok"]:
                    raise Unavailable(what="A setting of the run", why=reply["error"]["message"])

    async def run(self) -> None:
        """Revive what died; what the tables say may be over already, and is then refused."""
        while True:
            for project, task in await asyncio.to_thread(self._dead):
                await self._clients[project].ask("task.retry", {"task": task})
            await asyncio.sleep(LOOK_S)

    def _dead(self) -> list[tuple[str, str]]:
        try:
            with connect(self._site.database_url, impatient=True) as connection:
                tables = connection.execute(_TABLE).fetchall()
                if not tables:
                    return []
                query = SQL(_DEAD).format(Identifier("coord", tables[0][0]))
                return connection.execute(query, (MAX_DEAD_TASKS,)).fetchall()
        except psycopg.Error:
            return []  # it is away; they are still dead when it is back
