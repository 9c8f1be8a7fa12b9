"""Over HTTP whoever takes on work is told what failed before on work like it, if that is known soon."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from nats.aio.msg import Msg

from services.access.permissions import SEARCHES
from services.bus.connection import connect
from services.embedded import EmbeddedPostgres
from services.gateway import advice
from services.gateway.openapi import document
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.services.web import Reply, Web, serving

LESSON = {
    "feature": "Act two",
    "approach": "Two narrators in one chapter",
    "why": "Readers lost track",
    "lesson": "Keep one narrator for each chapter",
}
ALIKE = "A chapter with two narrators"


@pytest.fixture(scope="module")
def system(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    with (
        temporary_data() as data,
        running_nats(data) as nats,
        temporary_database(postgres_server) as url,
        serving(url, nats.url, data, ["writer", "projector", "recall", "gateway"]) as web,
    ):
        yield web


@pytest.fixture
def web(system: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """A project of one's own in which something has failed; however busy the machine is, advice comes."""
    monkeypatch.setattr(advice, "ADVICE_TIMEOUT_S", 20.0)
    web = Web(system.port, system.data)
    web.post("agent.spawn", {"agent": "w1", "persona": "plot"})
    found_after(web, web.post("failure.record", LESSON), "failure")
    return web


def found_after(web: Web, recorded: Reply, source: str) -> None:
    """Wait until what was recorded is found."""
    place = f"min_position={recorded.json['position']}&wait_s=20"
    found = web.get(f"/api/{web.project}/recall?text=two+narrators&by=meaning&source={source}&{place}")
    assert len(found.json["result"]) == 1, found.text


def lessons(answer: Reply) -> list[str]:
    """Those an answer comes with, which is as it is described."""
    assert answer.status == 200, answer.text
    if "advice" not in answer.json:
        return []
    described = {"$ref": "#/components/schemas/Advice", "components": document()["components"]}
    jsonschema.validate(answer.json["advice"], described)
    return [failure["lesson"] for failure in answer.json["advice"]["failures"]]


def test_adding_claiming_and_starting_a_task_tell_what_failed_before(web: Web) -> None:
    added = web.post("task.enqueue", {"title": ALIKE, "id": "t1"})
    assert lessons(added) == [LESSON["lesson"]]
    (failure,) = added.json["advice"]["failures"]
    assert {name: failure[name] for name in LESSON} == LESSON
    assert 0 < failure["score"] <= 1
    assert failure["id"]
    claimed = web.post("task.claim", token=web.token("w1"))
    assert lessons(claimed) == [LESSON["lesson"]]
    (lease,) = claimed.json["result"]["tasks"]
    web.get(f"/api/{web.project}/queue?min_position={claimed.json['position']}&wait_s=20")
    started = web.post("task.start", {"task": "t1", "fence": lease["fence"]}, token=web.token("w1"))
    assert lessons(started) == [LESSON["lesson"]]


def test_a_spike_is_told_failures_and_spikes_like_it(web: Web) -> None:
    spike = {"question": "Do two narrators work in one chapter?", "approach": "Write one"}
    first = web.post("spike.initiate", spike)
    assert "spikes" not in first.json["advice"]
    ended = web.post(
        "spike.conclude",
        {"spike": first.json["result"]["id"], "result": "Nobody followed", "viable": False, "lessons": "One"},
    )
    found_after(web, ended, "spike")
    again = web.post("spike.initiate", spike)
    assert lessons(again) == [LESSON["lesson"]]
    (like,) = again.json["advice"]["spikes"]
    assert (like["id"], like["viable"], like["lessons"]) == (first.json["result"]["id"], False, "One")


def test_nothing_is_told_of_what_is_unlike_or_to_whom_does_not_want_it(web: Web) -> None:
    assert lessons(web.post("task.enqueue", {"title": "Buy bananas"})) == []
    assert lessons(sent(web, "task/enqueue?advice=false")) == []
    assert lessons(sent(web, "task/enqueue?advice=true")) == [LESSON["lesson"]]
    for wrong in ("task/enqueue?advice=perhaps", "task/enqueue?title=A", "task/complete?advice=false"):
        assert sent(web, wrong).code == "bad_input"


def sent(web: Web, path: str) -> Reply:
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"title": ALIKE}).encode()
    return web.send("POST", f"/api/{web.project}/{path}", headers=headers, body=body)


def test_there_are_only_so_many_searches_at_once(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "MAX_UNDER_WAY", 0)
    assert lessons(web.post("task.enqueue", {"title": ALIKE})) == []


def test_a_command_is_carried_out_while_no_search_answers_and_the_next_waits_for_none(
    database_url: str, nats_url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "SILENCE_S", 1_000.0)

    async def story(web: Web) -> None:
        assert lessons(await add(web)) == []  # there is nobody who searches
        searches: list[Msg] = []

        async def hang(search: Msg) -> None:
            searches.append(search)

        client = await connect(nats_url, "test")
        await client.subscribe(SEARCHES, cb=hang)
        await client.flush()
        for _ in range(2):
            assert lessons(await add(web)) == []
            assert len(searches) == 1
        await client.close()

    async def add(web: Web) -> Reply:
        return await asyncio.to_thread(web.post, "task.enqueue", {"title": ALIKE})

    with serving(database_url, nats_url, data) as web:
        asyncio.run(story(web))
