"""What models learn and let others know, over MCP."""

import coord

from tests.services.mcp_site import Site, call, play, refused

pytest_plugins = ["tests.services.mcp_fixtures"]


def test_what_a_model_records_others_find(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "w1") as client:

            async def record(kind: str, **fields: object) -> dict[str, object]:
                return await call(client, "record", kind=kind, fields=fields)

            voice = {"title": "Narrator", "choice": "The gardener tells act two", "consequences": "One voice"}
            assert (await record("decision", **voice))["id"]
            spike = (await record("spike", question="Can two narrators take turns?"))["id"]
            shown = {"result": "Readers lost track", "viable": False, "lessons": "Keep one voice"}
            await record("spike_end", spike=spike, **shown)
            await record("actions", actions=[{"action": "make test", "success": False, "error": "2 failed"}])
            await record("memory", text="The captain is called Berta", tags=["crew"])
            found = (await call(client, "learned", about="narrators that take turns", kind="spike"))["items"]
            assert found == [
                "Tried: Can two narrators take turns? Readers lost track (not viable). Keep one voice"
            ]
            assert "gardener" in (await call(client, "learned", kind="decision"))["items"][0]
            assert (await call(client, "learned", about="captain Berta"))["items"][0].startswith(
                "The captain"
            )
            again = await record("spike", question="May two narrators take turns?")
            assert "Readers lost track" in str(again["before"])
            assert "kind" in (await refused(client, "record", kind="dance", fields={}))["message"]
            assert (await refused(client, "record", kind="decision", fields={"title": "x"}))[
                "error"
            ] == "bad_input"

    play(story())


def test_an_estimate_comes_back_corrected_and_a_file_is_held_to_a_pattern(site: Site, project: str) -> None:
    async def story() -> None:
        for _ in range(3):
            fields = {"feature": "part", "sessions": 2, "complexity": 5}
            estimate = (await site.ask(project, "estimate.record", fields))["id"]
            await site.ask(project, "estimate.close", {"estimate": estimate, "sessions": 3})
        await site.ask(project, "pattern.define", {"pattern": "short", "description": "Ten pages at most"})
        async with site.inside(project, "w1") as client:
            said = {"feature": "more", "sessions": 10, "complexity": 5}
            assert (await call(client, "record", kind="estimate", fields=said))["corrected"] == 15
            use = {"pattern": "short", "file": "ch1.md", "compliance": 60}
            await call(client, "record", kind="pattern", fields=use)
            (pattern,) = (await call(client, "learned", kind="pattern"))["items"]
            assert pattern == "Pattern short: Ten pages at most"

    play(story())


def test_a_model_mends_what_it_knew_and_asks_what_was_known_then(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "w1") as client:

            async def record(kind: str, **fields: object) -> dict[str, object]:
                return await call(client, "record", kind=kind, fields=fields)

            session = (await call(client, "begin"))["session"]
            await record("memory", text="The captain is called Anna")
            (told,) = (await call(client, "learned", about="captain called"))["items"]
            old = told.removeprefix("The captain is called Anna (").removesuffix(")")
            await record("memory_use", uses=[{"memory": old}])
            newer = (await record("memory", text="The captain is called Berta", supersedes=[old]))["id"]
            await record("memory_share", memory=newer, to_agent="w2")
            await record("pattern_new", pattern="short", description="Ten pages at most")
            await record("complexity", files=[{"file": "plot.py", "score": 3}])
            estimate = (await record("estimate", feature="x", sessions=2, complexity=3))["id"]
            await record("estimate_end", estimate=estimate, sessions=3)
            found = (await call(client, "learned", about="captain called", kind="memory"))["items"]
            assert found == [f"The captain is called Berta ({newer})"]
            async with coord.connect(site.doors.nats_url, project=project, agent="op") as me:
                (stored,) = (await me.view("memories", entity=[old])).rows
            assert (stored["session"], stored["uses"], stored["status"]) == (session, 1, "superseded")
            then = (await call(client, "learned", about="captain called", kind="memory", as_of="#4"))["items"]
            assert then == [f"The captain is called Anna ({old})"]

    play(story())


def test_documentation_is_looked_up_before_it_is_looked_for(site: Site, project: str) -> None:
    async def story() -> None:
        async with site.inside(project, "w1") as client:
            assert (await call(client, "learned", library="click"))["next"].startswith("record: kind=docs")
            page = {"library": "click", "release": "8", "content": "Groups nest"}
            await call(client, "record", kind="docs", fields=page)
            assert (await call(client, "learned", library="click"))["items"] == ["click 8: Groups nest"]
            await call(client, "record", kind="docs", fields={**page, "days": 1e-9})
            assert (await call(client, "learned", library="click"))["items"] == [
                "click 8 (stale): Groups nest"
            ]

    play(story())
