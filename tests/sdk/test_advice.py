"""What the client tells of the past beside work, and that no work waits for it long."""

import asyncio
from typing import Any

import coord
import pytest
from nats.aio.msg import Msg

from services.access.permissions import SEARCHES
from services.bus.connection import connect
from tests.sdk.services import Services

LESSON = {
    "feature": "Act two",
    "approach": "Two narrators in one chapter",
    "why": "Readers lost track",
    "lesson": "Keep one narrator for each chapter",
}
ALIKE = "A chapter with two narrators"
NOTHING = b'{"ok": true, "position": 0, "result": []}'
PATIENCE_S = 40.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, advice comes."""
    monkeypatch.setattr("coord.advice.ADVICE_TIMEOUT_S", PATIENCE_S)


async def known(me: coord.Client, verb: str, **fields: Any) -> str:
    """Record what searches find from when this returns; gives its id."""
    made = await me.command(verb, **fields)
    source = verb.partition(".")[0]
    asked = {"text": "two narrators", "by": "meaning", "source": source, "wait_s": 20}
    assert (await me.view("recall", **asked, min_position=made.position)).rows
    return str(made.result.get("id", fields.get("spike")))


@pytest.mark.usefixtures("patient")
def test_whoever_takes_on_work_hears_what_failed_before(system: Services) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            coord.connect(system.url, project="advice", agent="a1", persona="plot") as me,
            coord.connect(system.url, project="advice", agent="a2", advice=False) as deaf,
        ):
            failure = await known(me, "failure.record", **LESSON)
            made = await me.enqueue(ALIKE, id="t1")
            assert (made.task, [each.lesson for each in made.failures]) == ("t1", [LESSON["lesson"]])
            assert (await me.enqueue("Buy bananas", run_after="2099-01-01T00:00:00Z")).failures == []
            assert (await deaf.enqueue(ALIKE, run_after="2099-01-01T00:00:00Z")).failures == []
            async for task in me.work(idle_s=0.5):
                async with task:
                    (found,) = task.failures
                    assert (found.id, found.why) == (failure, LESSON["why"])
                    assert 0 < found.score <= 1
            first = await me.spike("Do two narrators work in one chapter?", approach="Write one")
            assert [[each.id for each in first.failures], first.spikes] == [[failure], []]
            ended = {"spike": first.id, "result": "Nobody followed", "viable": False}
            await known(me, "spike.conclude", **ended)
            again = await me.spike("Do two narrators work in one chapter?")
            assert [(each.id, each.viable) for each in again.spikes] == [(first.id, False)]

    asyncio.run(run())


@pytest.mark.usefixtures("patient")
def test_without_async(system: Services) -> None:
    async def story() -> None:
        async with coord.connect(system.url, project="plain", agent="op") as me:
            await known(me, "failure.record", **LESSON)

    asyncio.run(story())
    with coord.sync.connect(system.url, project="plain", agent="a1", persona="plot") as me:
        assert len(me.enqueue(ALIKE).failures) == 1
        assert len(me.spike(ALIKE).failures) == 1
        for task in me.work(idle_s=0.5):
            assert len(task.failures) == 1


def test_work_goes_on_while_no_search_answers_and_the_next_waits_for_none(
    system: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coord.advice.SILENCE_S", 1_000.0)
    system.stop("recall")

    async def run() -> None:
        searches: list[Msg] = []
        heard = asyncio.Event()

        async def hang(search: Msg) -> None:
            searches.append(search)
            heard.set()

        async with (
            asyncio.timeout(PATIENCE_S),
            coord.connect(system.url, project="silent", agent="a1", persona="plot") as me,
        ):
            assert (await me.enqueue(ALIKE, id="t1")).failures == []  # there is nobody who searches
            hanging = await connect(system.url, "test")
            await hanging.subscribe(SEARCHES, cb=hang)
            await hanging.flush()
            work = me.work(idle_s=5)
            leaving = asyncio.ensure_future(anext(work))
            await heard.wait()
            leaving.cancel()
            await asyncio.wait({leaving})
            async with await anext(work) as task:  # what was claimed by then is not forgotten
                assert (task.id, task.failures) == ("t1", [])
            assert (await me.enqueue(ALIKE)).failures == []
            assert len(searches) == 2
            for search in searches:
                await search.respond(NOTHING)  # for the gateway, which waits longer
            await hanging.close()

    try:
        asyncio.run(run())
    finally:
        system.start("recall")
