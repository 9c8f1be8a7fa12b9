"""Leading and standing by, on a real database: one works at a time, and whoever loses the lock stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from services.leadership import Leadership
from services.terms import Leader

PATIENCE_S = 20


class Candidate:
    """A process that would lead, and how often it has."""

    def __init__(self, name: str, url: str, working: list[str]) -> None:
        self.name = name
        self.terms = 0
        self.leader = Leader(Leadership(url, "tests.leader"))
        self.stop = asyncio.Event()
        self.stands_by = asyncio.Event()
        self.leads = asyncio.Event()
        self._working = working

    async def term(self, over: asyncio.Event) -> None:
        assert self._working == [], "two lead at once"
        self._working.append(self.name)
        self.terms += 1
        self.leads.set()
        await over.wait()
        self.leads.clear()
        self._working.remove(self.name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Candidate"]:
        work = asyncio.create_task(self.leader.run(self.term, self.stop, self.stands_by.set))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield self
        finally:
            self.stop.set()
            await work


def test_a_candidate_stands_by_until_the_leader_stops(database_url: str) -> None:
    async def story() -> None:
        working: list[str] = []
        async with Candidate("second", database_url, working).running() as outer:
            await outer.leads.wait()
            async with Candidate("first", database_url, working).running() as other:
                await other.stands_by.wait()
                assert working == ["second"]
                outer.stop.set()
                await other.leads.wait()
                assert working == ["first"]

    asyncio.run(story())


def test_a_leader_that_loses_its_connection_stops_and_leads_again_when_it_can(database_url: str) -> None:
    async def story() -> None:
        async with Candidate("first", database_url, []).running() as candidate:
            await candidate.leads.wait()
            await asyncio.to_thread(cut_connections, database_url)
            while candidate.terms < 2:
                await candidate.leads.wait()
                await asyncio.sleep(0.01)

    asyncio.run(story())


def cut_connections(url: str) -> None:
    """What a restart of the database does to its clients."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
