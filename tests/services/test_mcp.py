"""The worker's MCP tools on a real system, in both protocols: what a model is told, and what it comes to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp import Client, MCPError

from tests.services.mcp_site import MODES, Site, call, play, refused

pytest_plugins = ["tests.services.mcp_fixtures"]


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """What is told as soon as it holds: the read models follow the log."""
    while not holds(found := await ask()):  # noqa: ASYNC110  # the read models can only be asked
        await asyncio.sleep(0.05)
    return found


async def row_of(client: Client, name: str) -> Any:
    return (await call(client, "state", about=name))["items"][0]


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_is_briefed_reports_and_is_gone_with_its_session(
    site: Site, project: str, mode: str
) -> None:
    async def story() -> None:
        await site.ask(project, "task.enqueue", {"id": "outline", "title": "Outline act two"})
        written = {"id": "write", "title": "Write it", "input": {"words": 900}, "depends_on": ["outline"]}
        await site.ask(project, "task.enqueue", written)
        async with site.inside(project, "w1", mode=mode) as client:
            first = await call(client, "claim", wait_s=5)
            assert (first["task"], first["next"].split(":")[0]) == ("outline", "report")
            assert "fence" not in str(first)
            assert (await call(client, "report", kind="progress", note="half"))["status"] == "in_progress"
            done = await call(client, "report", kind="complete", result={"scenes": 12})
            assert done["freed"] == ["write"]
            second = await call(client, "claim", wait_s=5)
            assert second["input"] == {"words": 900}
            assert second["results"] == {"outline": {"scenes": 12}}
            standing = await call(client, "state")
            assert (standing["agent"], standing["holds"]) == ("w1", ["write"])
        async with site.inside(project, "p1", "planner", mode) as client:
            row = await until(lambda: row_of(client, "write"), lambda row: row["status"] == "queued")
            assert row["reason"] == "agent terminated: its MCP session ended"
            await until(lambda: row_of(client, "w1"), lambda row: row["status"] == "terminated")

    play(story())


def test_who_tries_again_is_told_what_failed_before(site: Site, project: str) -> None:
    async def story() -> None:
        retry = {"attempts": 3, "backoff_s": 0}
        await site.ask(project, "task.enqueue", {"id": "t", "title": "Draw the map", "retry": retry})
        async with site.inside(project, "w1") as client:
            await call(client, "claim", wait_s=5)
            assert "note" in (await refused(client, "report", kind="fail"))["message"]
            failed = await call(client, "report", kind="fail", note="the coast has a gap")
            assert (failed["status"], failed["next"].split(":")[0]) == ("failed", "record")
            lesson = {"feature": "map", "approach": "by hand", "why": "it leaks", "lesson": "close the coast"}
            await call(client, "record", kind="failure", fields={"task": "t", **lesson})
            again = await call(client, "claim", wait_s=10)
            told = " ".join(again["failed_before"])
            assert again["attempt"] == 2
            assert "close the coast" in told
            assert "the coast has a gap" in told
            found = (await call(client, "learned", about="how do I close a coast?"))["items"]
            assert found == ["map: by hand failed: it leaks. Lesson: close the coast"]

    play(story())


def test_a_task_changes_hands_with_what_the_next_one_must_know(site: Site, project: str) -> None:
    async def story() -> None:
        await site.ask(project, "task.enqueue", {"id": "t", "title": "Write the duel"})
        async with site.inside(project, "w1") as giver, site.inside(project, "w2") as taker:
            await call(giver, "claim", wait_s=5)
            await call(taker, "claim", wait_s=0)
            await call(giver, "hand_off", to_agent="w2", goal="a draw", ruled_out=["a death"])
            taken = await until(lambda: call(taker, "claim", wait_s=0), lambda brief: "task" in brief)
            assert taken["task"] == "t"
            assert taken["handoff"] == {
                "from": "w1", "reason": "", "goal": "a draw", "ruled_out": ["a death"]
            }  # fmt: skip
            assert "w2 took t over" in (await call(giver, "state"))["alert"]
            assert (await call(taker, "report", kind="complete"))["status"] == "completed"

    play(story())


def test_a_lost_lease_is_told_loudly_and_once(site: Site, project: str) -> None:
    async def story() -> None:
        await site.ask(project, "task.enqueue", {"id": "t", "title": "Name the moons"})
        async with site.inside(project, "w1") as client:
            await call(client, "claim", wait_s=5)
            await site.ask(project, "task.cancel", {"task": "t", "reason": "there are no moons"})
            answer = await refused(client, "report", kind="complete", result=7)
            assert (answer["error"], answer["alert"][:20]) == ("not_held", "STOP working on t: y")
            assert "next" in answer
            assert "alert" not in await call(client, "state")

    play(story())


def test_heartbeats_keep_a_lease_longer_than_its_term(site: Site, project: str) -> None:
    async def story() -> None:
        task = {"id": "t", "title": "Think for long", "lease_s": 1, "retry": {"attempts": 1}}
        await site.ask(project, "task.enqueue", task)
        async with site.inside(project, "w1") as client:
            assert (await call(client, "claim", wait_s=5))["lease_s"] == 1
            await asyncio.sleep(1.5)  # longer than the term, without a word from the model
            assert (await call(client, "report", kind="complete"))["status"] == "completed"

    play(story())


def test_a_claim_that_was_given_up_is_handed_out_by_the_next(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.desk(project, "w1") as desk:
            given_up = asyncio.create_task(desk.claim(None, 20))
            await until(lambda: site.ask(project, "agent.heartbeat", {}, "w1"), bool)
            given_up.cancel()
            await asyncio.wait({given_up})
            await site.ask(project, "task.enqueue", {"id": "t", "title": "Found later"})
            lease = await desk.claim(None, 10)
            assert lease is not None
            assert lease["task"] == "t"

    play(story())


def test_mistakes_are_answered_with_what_to_do(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "w1") as client:
            assert (await refused(client, "report", kind="complete"))["error"] == "not_held"
            assert "kind" in (await refused(client, "report", kind="dance"))["message"]
            assert (await refused(client, "claim", task="nothing"))["error"] == "unknown_task"
            assert (await refused(client, "state", cursor="x"))["error"] == "bad_input"
            assert (await call(client, "claim", wait_s=0))["next"] == "stop: no task is left"
            with pytest.raises(MCPError, match="no tool"):
                await client.call_tool("plan", {})

    play(story())


def test_the_queue_comes_in_pages(site: Site, project: str) -> None:
    async def story() -> None:
        plan = [{"local": f"t{number}", "title": f"Part {number}"} for number in range(23)]
        async with site.inside(project, "p1", "planner") as client:
            await call(client, "plan", tasks=plan)
            seen, cursor, pages = [], "", 0
            while pages == 0 or cursor:
                page = await call(client, "tasks", cursor=cursor)
                seen += [row["title"] for row in page["items"]]
                cursor, pages = page.get("cursor", ""), pages + 1
            assert (seen, pages) == ([task["title"] for task in plan], 3)

    play(story())
