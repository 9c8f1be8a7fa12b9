"""A working day in a minute: what a fleet does that all is well with, and then what goes wrong in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from services.bus.caller import Caller, Refused
from tests.monitoring.site import Site

PROJECT = "novel"
OTHER = "almanac"
LIFE_S = 1.0
"""How long agents may be silent, and their leases last, in the project where things go wrong."""


class Actor:
    """Asks as one agent, or as the operator."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, verb: str, **fields: Any) -> dict[str, Any]:
        return (await self._caller.ask(verb, fields)).result

    async def claims(self) -> dict[str, Any]:
        """The task that was given, with its fence."""
        answer = await self("task.claim")
        task: dict[str, Any] = answer["tasks"][0]
        return {"task": task["task"], "fence": task["fence"]}


@asynccontextmanager
async def acting(site: Site, name: str, project: str = PROJECT) -> AsyncIterator[Actor]:
    async with Caller(site.nats.url, project, name) as caller:
        yield Actor(caller)


async def work(site: Site) -> None:
    """Everything that a fleet does: plan, work, hand over, refuse, and write down what was learned."""
    async with acting(site, "operator") as boss, acting(site, "a1") as a1, acting(site, "a2") as a2:
        await boss("persona.define", persona="rhyme", definition="Finds words that sound alike.")
        await boss("task.plan", tasks=[
            {"local": "outline", "title": "Outline"},
            {"local": "draft", "title": "Draft", "depends_on": ["outline"]},
            {"local": "title", "title": "Title"},
            {"local": "cover", "title": "Cover"},
            {"local": "blurb", "title": "Blurb"},
        ])  # fmt: skip
        for agent in (a1, a2):
            await agent("agent.spawn", persona="plot")
        outline = await a1.claims()
        await a1("task.start", **outline)
        await a1("task.complete", **outline)
        failed = await a2.claims()
        await a2("task.fail", **failed, error="it rained")
        offered = await a1.claims()
        handoff = await a1("handoff.initiate", **offered, to_agent="a2")
        await a2("handoff.accept", handoff=handoff["handoff"])
        open_ = await a1.claims()
        await a1("handoff.initiate", **open_, to_agent="a2")
        await a1("task.claim", wait_s=0.2)
        with suppress(Refused):
            await a1("task.start", **outline)
        await a1("failure.record", feature="outline", approach="by hand", why="slow", lesson="draw it")
        estimate = await a1("estimate.record", feature="draft", sessions=2, complexity=3)
        await a1("estimate.close", estimate=estimate["id"], sessions=3)
        await a1("estimate.record", feature="cover", sessions=1, complexity=1)
        await a1("retro.record", feature="outline", surprises="none")


async def go_wrong(site: Site) -> None:
    """Agents that fall silent with tasks in their hands, a task that cannot be done, and one nobody takes."""
    async with acting(site, "operator") as boss:
        await boss("setting.set", key="stale_after_s", value=LIFE_S)
        await boss("task.enqueue", title="For nobody", persona="rhyme")
        for number in range(6):
            await boss("task.enqueue", title=f"Chapter {number}", lease_s=LIFE_S, priority=9)
    async with acting(site, "a3") as a3:
        await a3("agent.spawn", persona="plot")
        await a3("task.claim", count=5)
    async with acting(site, "a4") as a4:
        await a4("agent.spawn", persona="plot")
        lost = await a4.claims()
        await a4("task.fail", **lost, error="impossible", retryable=False)
        for _ in range(40):
            with suppress(Refused):
                await a4("task.start", **lost)


async def command(site: Site, count: int = 1, project: str = OTHER) -> None:
    """Some commands at once, whatever becomes of them; they are asked again until they are done."""
    async with acting(site, "operator", project) as boss:
        await asyncio.gather(*(boss("task.enqueue", title=f"Page {number}") for number in range(count)))
