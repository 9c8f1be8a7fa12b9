"""A process of the fleet: the agents and planners of some projects, each on a connection of its own.

Run as a module. Told by lines on its input what to do: first its charge, then `allow N`, and `stop`; ends
when the input does. Tells by lines on its output how many tasks are completed, and when all is over.
"""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from services.prove.agent import Agent
from services.prove.board import Board
from services.prove.client import Client, expect_losses
from services.prove.evidence import Transcript
from services.prove.planner import Planner
from services.prove.script import Script
from services.tuning import collect_seldom

TELL_S = 0.05
LINE_BYTES = 1024 * 1024


class Charge(Struct, frozen=True, kw_only=True):
    """What a worker is to do, and where it writes down what its clients are told."""

    nats_url: str
    folder: str
    script: Script
    projects: list[str]


class Progress(Struct, frozen=True, kw_only=True):
    """What a worker tells: completions so far by its clients' answers."""

    completed: int
    enqueued: int
    over: bool = False


class Worker:
    """All clients of some projects."""

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._boards = [Board(charge.script, project) for project in charge.projects]
        self._stop = asyncio.Event()

    async def run(self, orders: asyncio.StreamReader) -> None:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(orders))
            telling = group.create_task(self._tell())
            clients = [await stack.enter_async_context(client) for client in self._clients()]
            running = [group.create_task(each) for each in self._lives(clients)]
            await asyncio.wait(running)
            listening.cancel()
            telling.cancel()
        self._say(over=True)

    def _clients(self) -> list[Client]:
        return [self._client(board, name) for board in self._boards for name in (*board.agents, "planner")]

    def _client(self, board: Board, name: str) -> Client:
        script, project = self._charge.script, board.project
        transcript = Transcript(Path(self._charge.folder), f"{project}-{name}")
        return Client(
            self._charge.nats_url, project, name, transcript, lambda command: script.mishap(name, command)
        )

    def _lives(self, clients: list[Client]) -> Iterator[Coroutine[None, None, None]]:
        rest = iter(clients)
        for board in self._boards:
            for name in board.agents:
                yield Agent(name, board, next(rest)).run(self._stop)
            yield Planner(board, next(rest)).run(self._stop)

    async def _listen(self, orders: asyncio.StreamReader) -> None:
        while line := await orders.readline():
            match line.split():
                case [b"allow", number]:
                    for board in self._boards:
                        board.allow(int(number))
                case [b"stop"]:
                    self._stop.set()
        raise SystemExit(1)  # whoever gave the orders is gone

    async def _tell(self) -> None:
        while True:
            self._say()
            await asyncio.sleep(TELL_S)

    def _say(self, *, over: bool = False) -> None:
        completed = sum(board.completed for board in self._boards)
        enqueued = sum(board.enqueued for board in self._boards)
        progress = Progress(completed=completed, enqueued=enqueued, over=over)
        sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
        sys.stdout.buffer.flush()


async def main() -> None:
    orders = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    charge = msgspec.json.decode(await orders.readline(), type=Charge)
    await Worker(charge).run(orders)


if __name__ == "__main__":
    collect_seldom()
    expect_losses()
    uvloop.run(main())
