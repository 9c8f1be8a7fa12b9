"""How the supervisor treats one service: starts it again, though not for ever, and takes it along."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from services.supervisor.child import LIFE_FD, MAX_CRASHES, READY_FD, Child

PATIENCE_S = 20
READY = f"import os, sys, time; os.write(int(os.environ['{READY_FD}']), b'ready'); "


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The pipe that ends with the supervisor."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue  # the test closed it


class Keeper:
    """A child of this Python code, and what was said about it."""

    def __init__(self, code: str, life_fd: int) -> None:
        self.said: list[str] = []
        self.child = Child(
            "service", [sys.executable, "-c", code], dict(os.environ), life_fd,
            self._hear,
        )  # fmt: skip
        self._happened = asyncio.Event()
        self.pids: list[int] = []

    def _hear(self, _: str, line: str) -> None:
        self.said.append(line)
        self._happened.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds, looking whenever something has happened to the child."""
        while not holds():
            self._happened.clear()
            await self._happened.wait()

    def changed(self) -> None:
        self._happened.set()
        if self.child.pid is not None and self.child.pid not in self.pids:
            self.pids.append(self.child.pid)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        keeping = asyncio.create_task(self.child.run(self.changed))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield keeping
        finally:
            await self.child.stop(PATIENCE_S)
            await keeping


def test_a_service_that_dies_is_started_again(pipe: tuple[int, int]) -> None:
    async def story() -> None:
        keeper = Keeper(READY + "time.sleep(60)", pipe[0])
        async with keeper.running():
            await keeper.child.ready.wait()
            first = keeper.child.pid
            assert first is not None
            os.kill(first, 9)
            await keeper.until(lambda: len(keeper.pids) == 2 and keeper.child.ready.is_set())
        assert keeper.child.pid is None
        assert any("signal 9" in line for line in keeper.said)

    asyncio.run(story())


def test_a_service_that_crashes_again_and_again_is_given_up(pipe: tuple[int, int]) -> None:
    async def story() -> None:
        keeper = Keeper("print('no luck'); raise SystemExit(3)", pipe[0])
        async with keeper.running() as keeping:
            await keeping
        assert keeper.child.gave_up
        assert len(keeper.pids) == MAX_CRASHES
        assert keeper.said.count("no luck") == MAX_CRASHES
        assert "exit code 3" in keeper.said[1]
        assert "given up" in keeper.said[-1]

    asyncio.run(story())


def test_a_service_notices_when_its_supervisor_is_gone(pipe: tuple[int, int]) -> None:
    reading, writing = pipe

    async def story() -> None:
        keeper = Keeper(READY + f"sys.exit(len(os.read(int(os.environ['{LIFE_FD}']), 1)))", reading)
        async with keeper.running():
            await keeper.child.ready.wait()
            os.close(writing)
            await keeper.until(lambda: bool(keeper.said))
        assert "exit code 0" in keeper.said[0]

    asyncio.run(story())


def test_a_service_that_does_not_end_when_told_is_killed(pipe: tuple[int, int]) -> None:
    async def story() -> None:
        ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        keeper = Keeper(ignoring + READY + "time.sleep(60)", pipe[0])
        async with keeper.running():
            await keeper.child.ready.wait()
            await keeper.child.stop(0.1)
            assert keeper.child.pid is None
        assert any("killed" in line for line in keeper.said)

    asyncio.run(story())


def test_lines_without_end_neither_fill_the_memory_nor_stop_the_service(pipe: tuple[int, int]) -> None:
    async def story() -> None:
        keeper = Keeper(READY + "print('x' * 3_000_000); print('after'); time.sleep(60)", pipe[0])
        async with keeper.running():
            await keeper.until(lambda: "after" in keeper.said)
        assert any("left out" in line for line in keeper.said)

    asyncio.run(story())
