"""Lots shared out among processes, on a real Postgres: fair shares, silent holders, sessions lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import psycopg
import pytest

from services.log.database import LogUnavailable
from services.sharing.holdings import Holdings
from services.sharing.shares import Session, Shares

LOTS = 16
KIND = "tests.lots"
PATIENCE_S = 20


class Member:
    """A process that takes its share, and what it works on."""

    def __init__(self, url: str, working: set[int]) -> None:
        self.shares = Shares(url, KIND, LOTS, "tests-lot")
        self.holdings = Holdings(self.shares, self.term)
        self.settled = asyncio.Event()
        self.stop = asyncio.Event()
        self.sessions: dict[int, Session] = {}
        self._working = working

    async def term(self, session: Session, over: asyncio.Event, serves: Callable[[], None]) -> None:
        assert session.lot not in self._working, "two work on one lot"
        self._working.add(session.lot)
        self.sessions[session.lot] = session
        serves()
        await over.wait()
        self._working.remove(session.lot)

    @property
    def count(self) -> int:
        return len(self.holdings.serving())

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Member"]:
        work = asyncio.create_task(self.holdings.run(self.stop, self.settled.set))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield self
        finally:
            self.stop.set()
            await work


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # several processes and the database move it
            await asyncio.sleep(0.02)


def counts(members: Iterable[Member]) -> list[int]:
    return sorted(member.count for member in members)


def test_each_has_a_fair_share_and_those_who_stay_take_over_from_those_who_go(database_url: str) -> None:
    async def story() -> None:
        working: set[int] = set()
        one, two, three = (Member(database_url, working) for _ in range(3))
        async with one.running():
            await one.settled.wait()
            assert one.holdings.serving() == list(range(LOTS))
            async with two.running():
                await until(lambda: counts((one, two)) == [8, 8])
                async with three.running():
                    await until(lambda: counts((one, two, three)) == [5, 5, 6])
                    assert working == set(range(LOTS))
                await until(lambda: counts((one, two)) == [8, 8])
            await until(lambda: one.count == LOTS)
        assert working == set()

    asyncio.run(story())


def test_a_process_that_is_silent_loses_everything_and_one_that_beats_nothing(database_url: str) -> None:
    silent = Shares(database_url, KIND, LOTS, "tests-silent")
    assert silent.look().share == LOTS
    sessions = [silent.take(lot) for lot in range(LOTS)]
    silent._pulse.stop()

    async def story() -> None:
        async with Member(database_url, set()).running() as member:
            await until(lambda: member.count == LOTS)

    asyncio.run(story())
    for session in sessions:
        assert session is not None
        with pytest.raises(LogUnavailable):
            session.check()
        assert session.lost
    silent.close()


def test_lots_whose_sessions_are_cut_are_given_up_and_taken_anew(database_url: str) -> None:
    async def story() -> None:
        async with Member(database_url, set()).running() as member:
            await member.settled.wait()
            before = dict(member.sessions)
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'tests-lot%%'"
                )
            await until(lambda: member.count == LOTS and not any(
                member.sessions[lot] is before[lot] for lot in range(LOTS)
            ))  # fmt: skip
            assert all(session.lost for session in before.values())

    asyncio.run(story())


def test_a_lot_has_one_holder(database_url: str) -> None:
    one, other = (Shares(database_url, KIND, LOTS, "tests-lot") for _ in range(2))
    session = one.take(3)
    assert session is not None
    assert other.take(3) is None
    assert 3 not in other.look().free
    session.close()
    taken = other.take(3)
    assert taken is not None
    taken.close()
    one.close()
    other.close()
