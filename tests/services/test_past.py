"""Views as of a point, through every door of a running system; what is refused, bounded and measured."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Semaphore
from typing import Any

import coord
import pytest
from nats.aio.msg import Msg
from prometheus_client.parser import text_string_to_metric_families

from domain.errors import NotFound
from services.bus.connection import connect
from services.config import Doors
from services.doors.questions import QuestionDoor, Threads, TooManyQuestions, encode_rows
from services.doors.reports import gather
from services.embedded import EmbeddedPostgres
from services.gateway.pages import question
from services.log.event_log import EventLog
from services.reading.past import MAX_LOOKS, Moment, Past, Then, TooManyLooks
from services.reading.reads import view_names
from services.reading.travel import DATED
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.services.mcp_site import Site, call, play
from tests.services.test_console import Browser
from tests.services.web import Web, serving

ELSEWHERE = {"recall", "landing", "session_audit", "session_history"}
PATIENCE_S = 30
RECORDS = {
    "memories": ("memory.store", {"text": "The captain is called Anna"}),
    "decisions": ("decision.record", {"title": "Voice", "choice": "First person"}),
    "failures": ("failure.record", {"feature": "Act two", "approach": "Two narrators", "why": "Unclear"}),
    "patterns": ("pattern.define", {"pattern": "one-voice", "description": "One narrator"}),
    "documentation": ("docs.cache", {"library": "click", "content": "Groups nest"}),
    "queue": ("task.enqueue", {"title": "Outline", "id": "t1"}),
}


@pytest.fixture(scope="module")
def doors(postgres_server: EmbeddedPostgres) -> Iterator[tuple[Doors, Web]]:
    """Writer, projector and gateway for all tests of this file."""
    with (
        temporary_data() as data,
        running_nats(data) as nats,
        temporary_database(postgres_server) as url,
        serving(url, nats.url, data) as web,
    ):
        yield Doors(database_url=url, nats_url=nats.url), web


@pytest.fixture
def web(doors: tuple[Doors, Web]) -> Web:
    """A project of one's own."""
    return Web(doors[1].port, doors[1].data)


@pytest.fixture
def nats_url(doors: tuple[Doors, Web]) -> str:
    return doors[0].nats_url


def learned(web: Web) -> dict[str, int]:
    """One record after the other; the position of each, by its view."""
    return {view: web.post(verb, fields).json["position"] for view, (verb, fields) in RECORDS.items()}


async def asked(nats_url: str, web: Web, view: str, **params: Any) -> coord.Rows:
    async with coord.connect(nats_url, project=web.project, agent="r1") as client:
        return await client.view(view, **params)


def refusal(nats_url: str, web: Web, view: str, **params: Any) -> coord.Rejected:
    with pytest.raises(coord.Rejected) as refused:
        play(asked(nats_url, web, view, **params))
    return refused.value


def test_over_nats_every_list_is_told_as_of_any_point(nats_url: str, web: Web) -> None:
    positions = learned(web)
    web.post("bookmark.set", {"bookmark": "then", "sequence": 2})
    before = positions["memories"] - 1
    for number, (view, position) in enumerate(positions.items(), 1):
        for point in (str(position), f"#{number}"):
            then = play(asked(nats_url, web, view, as_of=point))
            assert (len(then.rows), then.position) == (1, position), view
        assert play(asked(nats_url, web, view, as_of=str(position - 1))).rows == []
    assert play(asked(nats_url, web, "queue", as_of="then")).position == positions["decisions"]
    (counts,) = play(asked(nats_url, web, "counts", as_of="now")).rows
    assert counts["tasks"] == {"queued": 1}
    assert play(asked(nats_url, web, "counts", as_of=str(before))).rows[0]["tasks"] == {}


def test_a_task_is_told_with_all_that_belonged_to_it_then(nats_url: str, web: Web) -> None:
    web.post("agent.spawn", {"agent": "w1", "persona": "plot"}, headers={"Coord-Actor": "w1"})
    web.post("task.enqueue", {"id": "t1", "title": "Outline"})
    then = web.post("task.claim", {"task": "t1"}, headers={"Coord-Actor": "w1"}).json["position"]
    web.post("task.enqueue", {"id": "t2", "title": "Write", "depends_on": ["t1"]})
    done = web.post("task.complete", {"task": "t1", "fence": 1}, headers={"Coord-Actor": "w1"})
    last = done.json["position"]
    (now,) = play(asked(nats_url, web, "task", task="t1", min_position=last, wait_s=PATIENCE_S)).rows
    assert (now["status"], now["dependents"], len(now["activity"])) == ("completed", ["t2"], 3)
    for told in (
        play(asked(nats_url, web, "task", task="t1", as_of=str(then))).rows[0],
        web.get(f"/api/{web.project}/task?task=t1&as_of={then}").json["result"][0],
    ):
        assert (told["status"], told["holder"], told["dependents"]) == ("claimed", "w1", [])
        assert len(told["activity"]) == 2
    again = play(asked(nats_url, web, "task", task="t1", as_of="now")).rows[0]
    assert again == now
    assert refusal(nats_url, web, "task", task="t2", as_of=str(then)).code == "not_found"


def test_what_has_no_past_and_what_is_no_point_is_refused(nats_url: str, web: Web) -> None:
    learned(web)
    assert {*view_names()} - DATED == {"events", "projects"} | ELSEWHERE
    for view in ("events", "projects"):
        error = refusal(nats_url, web, view, as_of="now")
        assert (error.code, "no past" in str(error)) == ("bad_input", True)
        reply = web.get(f"/api/{web.project}/{view}?as_of=now")
        assert (reply.code, "no past" in reply.json["detail"]) == ("bad_input", True)
    for point, why in (
        ("not, so", "bad_point"),
        ("", "bad_point"),
        (5, "bad_input"),
        ("5" * 201, "bad_input"),
    ):
        assert refusal(nats_url, web, "queue", as_of=point).code == why
    for point in ("999999999", "#99", "2999-01-01"):
        assert refusal(nats_url, web, "queue", as_of=point).code == "point_not_reached"
    assert refusal(nats_url, web, "queue", as_of="never").code == "unknown_bookmark"
    assert refusal(nats_url, web, "queue", as_of="now", statsu="queued").code == "bad_input"
    assert refusal(nats_url, web, "no-such", as_of="now").code == "unknown_view"


def replays(nats_url: str) -> float:
    """How many looks at the past the gateway has measured."""

    async def reported() -> str:
        nats = await connect(nats_url, "coordctl-test")
        try:
            (report,) = [each for each in await gather(nats) if each.service == "gateway"]
            return report.metrics
        finally:
            await nats.close()

    families = text_string_to_metric_families(play(reported()))
    (count,) = (
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "coordctl_replay_seconds_count"
    )
    return count


def test_looks_at_the_past_are_measured_through_every_door(doors: tuple[Doors, Web], web: Web) -> None:
    position = learned(web)["queue"]
    web.get(f"/api/{web.project}/queue?min_position={position}&wait_s={PATIENCE_S}")
    browser, site = Browser(web), Site(doors[0], web.port, web.data)

    async def by_mcp() -> None:
        async with site.over_http(site.token("operator", web.project, "o1")) as client:
            await call(client, "replay", until="#6", view="queue")

    looks = {
        "http": lambda: web.get(f"/api/{web.project}/queue?as_of=now"),
        "nats": lambda: play(asked(doors[0].nats_url, web, "memories", as_of="now")),
        "a landing": lambda: play(asked(doors[0].nats_url, web, "landing", agent="w1", as_of="now")),
        "a view of the console": lambda: browser.part("queue", "as_of=2"),
        "a detail of the console": lambda: browser.part("detail", "kind=task&id=t1&as_of=6"),
        "mcp": lambda: play(by_mcp()),
    }
    for door, look in looks.items():
        before = replays(doors[0].nats_url)
        look()
        assert replays(doors[0].nats_url) > before, door
    before = replays(doors[0].nats_url)
    web.get(f"/api/{web.project}/queue")
    play(asked(doors[0].nats_url, web, "queue"))
    browser.part("queue")
    assert replays(doors[0].nats_url) == before, "the present is no look at the past"


def test_pages_of_one_list_are_of_one_moment_even_where_time_matters(web: Web) -> None:
    for name in ("a", "b", "c"):
        last = web.post("task.plan", {"tasks": [{"local": name, "title": name}]}).json["position"]
    first = web.get(f"/api/{web.project}/plans?limit=2&min_position={last}").json
    web.post("task.plan", {"tasks": [{"local": "d", "title": "d"}]})
    rest = web.get(f"/api/{web.project}/plans?limit=2&min_position={last}&cursor={first['next']}").json
    plans = [row["plan"] for row in first["result"] + rest["result"]]
    assert (len(plans), len({*plans}), rest["position"]) == (3, 3, last)
    asked = {"as_of": "0s ago"}
    first, moment = question("p", "stale_documentation", asked), Moment(7, datetime.now(UTC))
    then = question("p", "stale_documentation", {**asked, "cursor": first.after(moment, 2)})
    assert then.cursor is not None
    assert then.cursor.moment == moment
    for library in ("a", "b", "c"):
        last = web.post("docs.cache", {"library": library, "content": "x", "days": 1e-9}).json["position"]
    url = f"/api/{web.project}/stale_documentation?limit=2&as_of=0s+ago"
    page = web.get(url).json
    rest = web.get(f"{url}&cursor={page['next']}").json
    assert [row["library"] for row in page["result"] + rest["result"]] == ["a", "b", "c"]


def test_several_views_are_read_at_one_moment(doors: tuple[Doors, Web], web: Web) -> None:
    learned(web)
    log = EventLog(doors[0].database_url)
    try:
        then = Then(Past(doors[0].database_url, log), "now")
        assert len(then.read(web.project, "memories")) == 1
        web.post("task.enqueue", {"title": "Another"})
        assert len(then.read(web.project, "queue")) == 1
    finally:
        log.close()


def test_only_so_many_looks_are_under_way_at_once(doors: tuple[Doors, Web], web: Web) -> None:
    learned(web)
    under_way, go, log = Semaphore(0), Event(), EventLog(doors[0].database_url)

    @contextmanager
    def held() -> Iterator[None]:
        under_way.release()
        assert go.wait(PATIENCE_S)
        yield

    past = Past(doors[0].database_url, log, held, turn_timeout_s=0)
    with ThreadPoolExecutor() as threads:
        looks = [threads.submit(past.view, web.project, "queue", "now", {}) for _ in range(MAX_LOOKS)]
        for _ in looks:
            assert under_way.acquire(timeout=PATIENCE_S)
        with pytest.raises(TooManyLooks) as busy:
            past.view(web.project, "queue", "now", {})
        assert (busy.value.code, busy.value.retryable) == ("busy", True)
        go.set()
        assert [len(look.result()[1]) for look in looks] == [1] * MAX_LOOKS
    assert len(past.view(web.project, "queue", "now", {})[1]) == 1
    log.close()


def test_only_so_many_looks_wait_and_the_present_goes_on() -> None:
    async def story() -> None:
        past, present, go = Threads(1, "looks", 2), Threads(1, "reads"), Event()

        def look() -> bytes:
            assert go.wait(PATIENCE_S)
            return b"then"

        looks = [asyncio.create_task(past.run(look)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyQuestions) as busy:
            await past.run(look)
        assert (busy.value.code, busy.value.retryable, busy.value.facts["waiting"]) == ("busy", True, 2)
        assert await present.run(lambda: b"now") == b"now"
        go.set()
        assert await asyncio.gather(*looks) == [b"then", b"then"]
        assert await past.run(look) == b"then"
        past.close()
        present.close()

    asyncio.run(story())


class Slow(QuestionDoor):
    """Answers when it may; notes how each question ended."""

    def __init__(self, nats: Any) -> None:
        super().__init__(nats, "slow.*.get.*", "slow", kind="questions", limit=1)
        self.may, self.asked = asyncio.Event(), asyncio.Event()
        self.outcomes: list[tuple[str, bool]] = []

    async def answer(self, message: Msg) -> bytes:
        self.asked.set()
        await self.may.wait()
        match message.subject.rpartition(".")[2]:
            case "missing":
                raise NotFound(kind="task", id="t1")
            case "broken":
                raise ZeroDivisionError
        return encode_rows(7, [])

    def count(self, _: Msg, outcome: str, seconds: float | None) -> None:
        self.outcomes.append((outcome, seconds is not None))


def test_a_door_refuses_what_is_too_much_and_answers_what_it_took(nats_url: str) -> None:
    async def story() -> None:
        nats = await connect(nats_url, "coordctl-test")
        door = Slow(nats)
        await door.open()

        async def ask(view: str) -> Any:
            return json.loads((await nats.request(f"slow.p.get.{view}", timeout=PATIENCE_S)).data)

        await nats.publish("slow.p.get.queue", reply="coord.p.evt.task.done.t1")
        waits = asyncio.create_task(ask("queue"))
        await door.asked.wait()
        assert (await ask("queue"))["error"]["code"] == "busy"
        closing = asyncio.create_task(door.close())
        door.may.set()
        assert await waits == {"ok": True, "position": 7, "result": []}
        await closing
        await door.open()
        assert (await ask("missing"))["error"]["code"] == "not_found"
        assert (await ask("broken"))["error"]["code"] == "internal_error"
        await door.close()
        assert door.outcomes == [
            ("foreign_reply_subject", False), ("busy", False), ("ok", True), ("not_found", True),
            ("internal_error", True),
        ]  # fmt: skip
        await nats.close()

    play(story())
