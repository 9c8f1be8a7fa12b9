"""Whoever takes a task over MCP or with the Python client can hear what failed before on tasks like it."""

import coord
import pytest

from tests.services.mcp_site import MODES, Site, call, play

pytest_plugins = ["tests.services.mcp_fixtures"]

LESSON = {
    "feature": "Act two",
    "approach": "Two narrators in one chapter",
    "why": "Readers lost track",
    "lesson": "Keep one narrator for each chapter",
}


async def known(site: Site, project: str) -> str:
    """A failure that searches find."""
    failure = await site.ask(project, "failure.record", LESSON)
    async with coord.connect(site.doors.nats_url, project=project, agent="r1") as me:
        here = (await me.view("counts")).position
        asked = {"text": "two narrators", "by": "meaning", "min_position": here, "wait_s": 20}
        while not (await me.view("recall", **asked)).rows:
            pass
    return str(failure["id"])


def test_over_mcp_it_comes_with_the_brief(site: Site, project: str) -> None:
    async def story() -> None:
        await known(site, project)
        await site.ask(project, "task.enqueue", {"id": "t1", "title": "A chapter with two narrators"})
        async with site.inside(project, "w1", mode=MODES[0]) as client:
            brief = await call(client, "claim", wait_s=5)
            assert brief["task"] == "t1"
            assert "Keep one narrator" in " ".join(brief["failed_before"])
            added = await call(client, "add_task", title="Write with two narrators in a chapter")
            assert "Keep one narrator" in " ".join(added["failed_before"])
            added = await call(client, "add_task", title="Buy bananas")
            assert "failed_before" not in added or added["failed_before"] == []

    play(story())


def test_the_python_client_asks_when_it_wants_to_know(site: Site, project: str) -> None:
    async def story() -> None:
        failure = await known(site, project)
        async with coord.connect(site.doors.nats_url, project=project, agent="w1", persona="plot") as me:
            await me.enqueue("A chapter with two narrators")
            async for task in me.work(idle_s=5):
                async with task:
                    (found,) = await task.failed_before()
                    assert (found["failure"], found["lesson"]) == (failure, LESSON["lesson"])
                break

    play(story())


@pytest.mark.parametrize("text", ["x" * 10_001, ""])
def test_a_text_that_is_too_long_or_empty_is_refused(site: Site, project: str, text: str) -> None:
    async def story() -> None:
        async with coord.connect(site.doors.nats_url, project=project, agent="r1") as me:
            with pytest.raises(coord.Rejected) as refused:
                await me.view("recall", text=text)
            assert refused.value.code == "bad_input"

    play(story())
