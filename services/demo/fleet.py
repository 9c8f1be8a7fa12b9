"""The whole performance: a plan is enqueued, a fleet works on it, and what is to go wrong goes wrong."""

import asyncio
from typing import Any

from services.bus.caller import Caller
from services.demo import novel
from services.demo.agent import Agent, Pace, Told
from services.demo.board import Board
from services.demo.novel import Member, Piece

OPERATOR = "operator"
PERFORMANCE_TIMEOUT_S = 75.0
KILL_AGAIN_S = 0.1

SETTINGS: dict[str, Any] = {"max_agents": novel.MAX_AGENTS, "stale_after_s": 1.5, "default_lease_s": 30.0}
LEASE_FROM_HALF_WAY_S = 20.0


class Fleet:
    """Twelve slots of agents on one system. `perform` once."""

    def __init__(self, nats_url: str, board: Board, pace: Pace) -> None:
        self._nats_url = nats_url
        self._board = board
        self._pace = pace
        self._operator = Caller(nats_url, novel.PROJECT, OPERATOR)
        self._working: dict[str, asyncio.Task[None]] = {}
        self._killed: set[str] = set()
        self.told: Told = set()

    async def perform(self) -> None:
        """Everything from the first setting to the retrospective. Raises TimeoutError if it gets stuck."""
        async with asyncio.timeout(PERFORMANCE_TIMEOUT_S), self._operator as operator:
            for key, value in SETTINGS.items():
                await operator.ask("setting.set", {"key": key, "value": value})
            estimates = [await operator.ask("estimate.record", each) for each in novel.ESTIMATES]
            await operator.ask("task.plan", {"tasks": [self._planned(piece) for piece in novel.PLAN]})
            await self._board.until(lambda: len(self._board.tasks) == len(novel.PLAN))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._kill_one())
                group.create_task(self._change_half_way())
                for slot in novel.SLOTS:
                    group.create_task(self._run_slot(slot))
            for answer, sessions in zip(estimates, novel.ACTUAL_SESSIONS, strict=True):
                closing = {"estimate": answer.result["id"], "sessions": sessions, "files_created": 12}
                await operator.ask("estimate.close", closing)
            await operator.ask("retro.record", novel.RETROSPECTIVE)

    def _planned(self, piece: Piece) -> dict[str, Any]:
        task: dict[str, Any] = {
            "local": piece.id,
            "id": piece.id,
            "title": piece.title,
            "persona": piece.persona,
            "depends_on": piece.after.split(),
            "retry": {"attempts": 3, "backoff_s": self._pace.backoff_s},
        }
        return task | {"lease_s": self._pace.doomed_lease_s} if piece.id == novel.DOOMED else task

    async def _run_slot(self, members: tuple[Member, ...]) -> None:
        for member in members:
            agent = Agent(member, self._nats_url, self._board, self._pace, self.told)
            working = self._working[member.name] = asyncio.create_task(agent.run())
            try:
                await working
            except asyncio.CancelledError:
                if member.name not in self._killed:
                    raise
            await self._board.until(lambda name=member.name: self._is_gone(name))  # type: ignore[misc]  # binds now

    def _is_gone(self, name: str) -> bool:
        row = self._board.agent(name)
        return row is not None and row.status == "terminated"

    async def _kill_one(self) -> None:
        """Kill whoever works on the doomed task; when its lease has run out, clear the dead agent away."""
        board = self._board
        await board.until(lambda: board.task(novel.DOOMED).status == "in_progress")
        victim = board.task(novel.DOOMED).holder or ""
        self._killed.add(victim)
        working = self._working[victim]
        while not working.done():  # a cancellation is lost if an answer comes at the same moment
            working.cancel()
            await asyncio.wait({working}, timeout=KILL_AGAIN_S)
        await board.until(lambda: board.task(novel.DOOMED).failures > 0)
        await self._operator.ask("agent.terminate", {"agent": victim, "reason": "it was killed"})

    async def _change_half_way(self) -> None:
        await self._board.until(lambda: self._board.completed() >= len(novel.PLAN) // 2)
        change = {"key": "default_lease_s", "value": LEASE_FROM_HALF_WAY_S}
        await self._operator.ask("setting.set", change)
