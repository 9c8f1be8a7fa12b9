"""An agent of the fleet: claims in every way there is, and does with each task what the script says.

Asks by its client alone, and hears of offers from the board.
"""

import asyncio
from random import Random
from typing import Any

from msgspec import Struct

from services.prove.board import Board
from services.prove.client import Client
from services.prove.script import Deed

LEASE_S = 2.0
HANDOFF_EXPIRY_S = 1.0
STALE_AFTER_S = 4.0
BEAT_S = 0.7
WAIT_S = 1.0
MAX_COUNT = 6
SLACK_S = 0.3
"""How long after its end a lease or an offer is taken to be over."""


class Lease(Struct):
    """A task that is held, as far as its holder knows."""

    task: str
    fence: int


class Aside(Struct):
    """A lease that is left alone until a time, and then completed, whether it still holds or not."""

    due: float
    lease: Lease
    silent: bool


class Agent:
    """`run` until it is told to stop."""

    def __init__(self, name: str, board: Board, client: Client) -> None:
        self._name = name
        self._board = board
        self._client = client
        self._random = Random(f"{board.script.seed}/{board.project}/{name}")  # noqa: S311  # dice, no secret
        self._persona = board.agents[name]
        self._aside: list[Aside] = []
        self._next_beat = 0.0
        self._found_nothing = False

    async def run(self, stop: asyncio.Event) -> None:
        await self._client.ask("agent.spawn", {"persona": self._persona})
        while not stop.is_set():
            await self._beat()
            await self._answer_letters()
            await self._look_aside()
            await self._work_on(await self._claim())
        await self._client.ask("agent.leave", {"reason": "the work is done"})

    async def _claim(self) -> list[Lease]:
        """In one of the ways: the next one, several, by waiting, or a task that others want as well."""
        dice, wait_s = self._random.random(), 0.0
        body: dict[str, Any] = {}
        contested = self._board.contested(self._random.random())
        if self._found_nothing or dice < 0.1:
            body = {"wait_s": WAIT_S}
            wait_s = WAIT_S
        elif dice < 0.25 and contested is not None:
            body = {"task": contested}
        elif dice < 0.4:
            body = {"count": self._random.randint(2, MAX_COUNT)}
        reply = await self._client.ask("task.claim", body, wait_s=wait_s)
        if not reply["ok"]:
            if " is dead" in reply["error"]["message"]:
                await self._client.ask("task.retry", {"task": body["task"]})
            return []
        tasks = reply["result"].get("tasks", [])
        self._found_nothing = not tasks
        return [Lease(task["task"], task["fence"]) for task in tasks]

    async def _work_on(self, leases: list[Lease]) -> None:
        """Each as the script says; several that are only completed are completed together."""
        script = self._board.script
        deeds = [(lease, script.deed(self._name, lease.task, lease.fence)) for lease in leases]
        plain = [lease for lease, deed in deeds if deed == "complete"]
        together = len(plain) > 1 and await self._complete_all(plain)
        for lease, deed in deeds:
            if not (together and deed == "complete"):
                await self._do(lease, deed)

    async def _do(self, lease: Lease, deed: Deed) -> None:
        held = {"task": lease.task, "fence": lease.fence}
        match deed:
            case "fail" | "fail for good":
                await self._fail(held, retryable=deed == "fail")
            case "release":
                await self._client.ask("task.release", {**held, "reason": "somebody else knows more"})
            case "offer":
                await self._offer(lease)
            case "hold in silence":
                self._lay_aside(lease, LEASE_S + SLACK_S, silent=True)
            case "start":
                await self._client.ask("task.start", held)
                await self._complete(lease)
            case "report":
                await self._client.ask("task.progress", {**held, "note": "half way", "percent": 50})
                await self._complete(lease)
            case "complete":
                await self._complete(lease)

    async def _complete(self, lease: Lease) -> None:
        body = {"task": lease.task, "fence": lease.fence, "result": {"by": self._name}}
        self._count(await self._client.ask("task.complete", body))

    async def _complete_all(self, leases: list[Lease]) -> bool:
        """Whether it was done: if one of them is lost, none is."""
        tasks = [{"task": lease.task, "fence": lease.fence} for lease in leases]
        reply = await self._client.ask("task.complete_many", {"tasks": tasks})
        self._count(reply)
        return bool(reply["ok"])

    def _count(self, reply: dict[str, Any]) -> None:
        if reply["ok"]:
            self._board.add_completed(len(reply["result"].get("completed", ())))

    async def _fail(self, held: dict[str, Any], *, retryable: bool) -> None:
        reply = await self._client.ask("task.fail", {**held, "error": "no ink", "retryable": retryable})
        if reply["ok"] and reply["result"]["status"] == "dead":
            await self._client.ask("task.retry", {"task": held["task"]})

    async def _offer(self, lease: Lease) -> None:
        """To an agent, or to any of a persona: then several are told, and only one can have it."""
        board = self._board
        others = board.others(self._name)
        if not others:
            await self._complete(lease)
            return
        name = others[int(board.script.chance("receiver", self._name, lease.task, lease.fence) * len(others))]
        persona = board.agents[name]
        open_to_all = board.script.chance("openly", self._name, lease.task, lease.fence) < 0.5
        to = {"to_persona": persona} if open_to_all else {"to_agent": name}
        body = {"task": lease.task, "fence": lease.fence, "expires_s": HANDOFF_EXPIRY_S, **to}
        reply = await self._client.ask("handoff.initiate", body)
        if not reply["ok"]:
            return
        receivers = board.others(self._name, persona)[:3] if open_to_all else [name]
        for receiver in {name, *receivers}:
            board.post(receiver, reply["result"]["handoff"])
        self._lay_aside(lease, HANDOFF_EXPIRY_S + SLACK_S, silent=False)

    async def _answer_letters(self) -> None:
        letters = self._board.letters(self._name)
        while letters:
            handoff = letters.popleft()
            if self._board.script.chance("answer", self._name, handoff) < 0.3:
                await self._client.ask("handoff.reject", {"handoff": handoff, "reason": "too much to do"})
                continue
            reply = await self._client.ask("handoff.accept", {"handoff": handoff})
            if reply["ok"] and "task" in reply["result"]:
                taken = Lease(reply["result"]["task"], reply["result"]["fence"])
                if self._random.random() < 0.3:
                    await self._client.ask("handoff.complete", {"handoff": handoff})
                await self._do(taken, self._board.script.deed(self._name, taken.task, taken.fence))

    async def _look_aside(self) -> None:
        """Complete what was laid aside, as one who does not know that its lease is over."""
        now = asyncio.get_running_loop().time()
        due = [aside for aside in self._aside if aside.due <= now]
        self._aside = [aside for aside in self._aside if aside.due > now]
        for aside in due:
            await self._complete(aside.lease)

    def _lay_aside(self, lease: Lease, seconds: float, *, silent: bool) -> None:
        self._aside.append(Aside(asyncio.get_running_loop().time() + seconds, lease, silent))

    async def _beat(self) -> None:
        """Keep the leases alive, unless one is to end in silence, and see to those that we did not know of.

        A claim that found nothing leaves no trace, so one that is asked again may find something, and whoever
        asked does not look at that answer any more.
        """
        now = asyncio.get_running_loop().time()
        if now < self._next_beat or any(aside.silent for aside in self._aside):
            return
        self._next_beat = now + BEAT_S
        reply = await self._client.ask("agent.heartbeat", {})
        if reply["ok"]:
            known = {aside.lease.task for aside in self._aside}
            held = [Lease(each["task"], each["fence"]) for each in reply["result"]["leases"]]
            await self._work_on([lease for lease in held if lease.task not in known])
