"""The MCP doors that clients really use, stdio and HTTP, in both protocols, and what is seen through them."""

import asyncio
import json
import sys
from subprocess import run
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.shared.subscriptions import ResourceUpdated
from mcp_types import ResourceUpdatedNotification, TextResourceContents

from services.mcp import hosted
from tests.services.mcp_site import MODES, ROOT, Site, call, play, refused
from tests.services.test_mcp import row_of, until

pytest_plugins = ["tests.services.mcp_fixtures"]


async def text_of(client: Client, uri: str) -> Any:
    content = (await client.read_resource(uri)).contents[0]
    assert isinstance(content, TextResourceContents)
    return json.loads(content.text)


@pytest.mark.parametrize("mode", MODES)
def test_a_process_of_its_own_serves_a_worker_and_leaves_in_order(
    site: Site, project: str, mode: str
) -> None:
    async def story() -> None:
        await site.ask(project, "task.enqueue", {"id": "t", "title": "Write act one"})
        async with site.over_stdio(project, "w1", "--persona", "writing", mode=mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools][:2] == ["begin", "claim"]
            assert (await call(client, "claim", wait_s=10))["task"] == "t"
            assert (await text_of(client, "coord://agent/w1"))["persona"] == "writing"
        async with site.inside(project, "p1", "planner") as client:
            row = await until(lambda: row_of(client, "t"), lambda row: row["status"] == "queued")
            assert row["reason"] == "agent terminated: its MCP session ended"

    play(story())


@pytest.mark.parametrize("mode", MODES)
def test_over_http_the_token_says_who_one_is_and_what_one_may(site: Site, project: str, mode: str) -> None:
    async def story() -> None:
        planner, worker = site.token("planner", project, "p1"), site.token("worker", project, "w1")
        async with site.over_http(planner, mode) as client:
            plan = [{"local": "a", "title": "Outline"}, {"local": "b", "title": "Write", "after": ["a"]}]
            ids = (await call(client, "plan", tasks=plan))["tasks"]
        async with site.over_http(worker, mode, **{"Coord-Persona": "plot"}) as client:
            assert "plan" not in [tool.name for tool in (await client.list_tools()).tools]
            assert (await call(client, "claim", wait_s=10))["task"] == ids["a"]
        async with site.over_http(worker, mode, **{"Coord-Persona": "plot"}) as client:
            assert (await call(client, "state"))["holds"] == [ids["a"]]
            assert (await call(client, "report", kind="complete", result=1))["freed"] == [ids["b"]]
            assert (await text_of(client, "coord://agent/w1"))["persona"] == "plot"
            assert (await call(client, "add_task", title="Found on the way"))["status"] == "queued"
        async with site.over_http(planner, mode) as client:
            with pytest.raises(MCPError, match="There is no task"):
                await client.read_resource("coord://task/nothing")

    play(story())


@pytest.mark.parametrize(
    ("token", "headers"),
    [("coord_000000000000_" + "x" * 43, {}), ("x", {}), ("worker", {"Coord-Project": "theirs"})],
)
def test_over_http_nobody_is_let_in_without_a_token_that_holds(
    site: Site, project: str, token: str, headers: dict[str, str]
) -> None:
    async def story() -> None:
        shown = site.token("worker", project, "w1") if token == "worker" else token
        with pytest.raises(BaseException) as failed:  # noqa: PT011  # the SDK groups what its tasks raise
            async with site.over_http(shown, "legacy", **headers):
                pass
        assert "MCPError" in repr(failed.value) or "HTTP" in repr(failed.value)

    play(story())


def test_one_token_has_a_bounded_number_of_sessions(
    site: Site, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "MAX_DESKS_PER_TOKEN", 1)

    async def story() -> None:
        token = site.token("observer", project, "v1")
        for persona in ("plot", "plot"):
            async with site.over_http(token, **{"Coord-Persona": persona}) as client:
                await call(client, "state")
        with pytest.raises(BaseException) as failed:  # noqa: PT011  # the SDK groups what its tasks raise
            async with site.over_http(token, **{"Coord-Persona": "map"}):
                pass
        assert "MCPError" in repr(failed.value) or "HTTP" in repr(failed.value)

    play(story())


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")  # it is what the older protocol has
def test_clients_are_told_when_what_they_watch_changes(site: Site, project: str) -> None:
    async def legacy() -> None:
        told: asyncio.Queue[str] = asyncio.Queue()

        async def take(message: Any) -> None:
            if isinstance(message, ResourceUpdatedNotification):
                await told.put(str(message.params.uri))

        async with site.inside(project, "p1", "planner", message_handler=take) as client:
            await client.subscribe_resource("coord://task/t1")
            await call(client, "add_task", title="Not watched")
            await site.ask(project, "task.enqueue", {"id": "t1", "title": "Watched"})
            assert await told.get() == "coord://task/t1"

    async def modern() -> None:
        async with (
            site.inside(project, "p1", "planner", "2026-07-28") as client,
            client.listen(resource_subscriptions=["coord://task/t2"]) as changes,
        ):
            await site.ask(project, "task.enqueue", {"id": "t2", "title": "Watched"})
            assert await anext(aiter(changes)) == ResourceUpdated("coord://task/t2")

    play(legacy())
    play(modern())


def test_a_planner_watches_mends_and_checks_a_plan(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "p1", "planner") as planner, site.inside(project, "w1") as worker:
            plan = [
                {"local": "a", "title": "Outline", "priority": 1},
                {"local": "b", "title": "Write", "after": ["a"]},
            ]
            ids = (await call(planner, "plan", tasks=plan))["tasks"]
            begun = await call(planner, "watch")
            waiting = asyncio.create_task(call(planner, "watch", cursor=begun["cursor"], wait_s=30))
            await call(worker, "claim", wait_s=5)
            assert any("w1" in change for change in (await waiting)["changes"])
            await call(worker, "report", kind="fail", note="no idea", final=True)
            await until(lambda: row_of(planner, ids["a"]), lambda row: row["status"] == "dead")
            await call(planner, "change_task", task=ids["a"], kind="retry")
            await call(worker, "claim", wait_s=5)
            await call(worker, "report", kind="complete", result={"acts": 3})
            await call(planner, "change_task", task=ids["b"], kind="cancel", reason="enough")
            rows = await until(
                lambda: call(planner, "results"), lambda answer: len(answer.get("items", [])) == 2
            )
            assert {row["task"]: row.get("result", row.get("reason")) for row in rows["items"]} == {
                ids["a"]: {"acts": 3}, ids["b"]: "enough"
            }  # fmt: skip
            assert "plot" in str(await call(planner, "personas", text="plot"))
            prompt = await planner.get_prompt("plan_goal", {"goal": "a novel in a week"})
            assert "a novel in a week" in prompt.messages[0].content.text  # type: ignore[union-attr]  # it is text

    play(story())


def test_an_operator_mends_the_fleet_and_looks_back(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "o1", "operator") as operator, site.inside(project, "w1") as worker:
            await call(operator, "add_task", title="Name the moons")
            task = (await call(worker, "claim", wait_s=5))["task"]
            await until(lambda: row_of(operator, task), lambda row: row["status"] == "claimed")
            await call(operator, "requeue", task=task, reason="not now")
            assert "STOP" in (await call(worker, "state"))["alert"]
            await call(operator, "set_setting", key="max_agents", value=3)
            found = await until(
                lambda: call(operator, "settings", key="max_agents"), lambda a: a["items"][0]["value"] == 3
            )
            assert found["items"][0]["meaning"]
            await call(operator, "terminate", agent="w1", reason="done for today")
            then = await call(operator, "replay", until="#3", view="queue")
            assert [row["status"] for row in then["items"]] == ["claimed"]
            differences = (await call(operator, "diff", left="#3"))["differences"]
            assert {row["view"] for row in differences} == {"agents", "queue", "settings"}
            assert await text_of(operator, "coord://replay/queue?until=%232")
            assert (await refused(operator, "replay", until="not, so"))["error"] == "bad_point"

    play(story())


def test_an_observer_can_change_nothing(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "v1", "observer") as client:
            tools = (await client.list_tools()).tools
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)

    play(story())


def test_the_sdk_is_loaded_only_by_those_who_use_it() -> None:
    code = (
        "import sys, cli.main, cli.mcp, services.gateway.app, services.mcp.door;"
        "sys.exit(any(name in sys.modules for name in ('mcp', 'mcp_types', 'pydantic')))"
    )
    done = run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0
