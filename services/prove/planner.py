"""Who brings the tasks of a project in, in plans and alone, as far as allowed, as fast as they are done."""

import asyncio
from typing import Any

from services.errors import Unavailable
from services.prove.board import Board
from services.prove.client import Client

BACKLOG_TASKS = 500
PLAN_TASKS = 100
LOOK_S = 1.0


class Planner:
    """`run` until all tasks are enqueued, or until told to stop."""

    def __init__(self, board: Board, client: Client) -> None:
        self._board = board
        self._client = client

    async def run(self, stop: asyncio.Event) -> None:
        board = self._board
        while board.enqueued < board.total and not stop.is_set():
            room = min(board.allowed, board.completed + BACKLOG_TASKS) - board.enqueued
            if room <= 0:
                await self._news()
                continue
            size = min(room, PLAN_TASKS)
            if size > 1 and board.script.chance("alone", board.project, board.enqueued) < 0.2:
                size = 1
            await self._enqueue(range(board.enqueued, board.enqueued + size))
            board.enqueued += size

    async def _news(self) -> None:
        self._board.news.clear()
        try:
            await asyncio.wait_for(self._board.news.wait(), LOOK_S)
        except TimeoutError:
            return  # the caller looks whether it is to stop

    async def _enqueue(self, numbers: range) -> None:
        script, project = self._board.script, self._board.project
        tasks: list[dict[str, Any]] = [script.task(project, number) for number in numbers]
        if len(tasks) == 1:
            reply = await self._client.ask("task.enqueue", tasks[0])
        else:
            for place, (number, task) in enumerate(zip(numbers, tasks, strict=True)):
                task["local"] = f"n{place}"
                if place and script.depends(project, number):
                    task["depends_on"] = [f"n{place - 1}"]
            reply = await self._client.ask("task.plan", {"tasks": tasks})
        if not reply["ok"]:
            raise Unavailable(what="A plan of the run", why=reply["error"]["message"])
