"""The HTTP API on real services: commands, lists at any point, pages, streams, and what is refused how."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from time import sleep

import jsonschema
import pytest

from domain.catalog import COMMANDS
from domain.errors import CoordError
from services.embedded import EmbeddedPostgres
from services.gateway import asking, guard, live, server
from services.gateway.openapi import document
from services.gateway.problems import STATUSES
from services.protocol.refusals import refusals
from services.reading.reads import view_names
from tests.services.web import PATIENCE_S, Stream, Web, alone, serving

MEETS = {
    f"services.{name}"
    for name in ("errors", "gateway.denials", "gateway.live", "reading.points", "reading.reads")
}


@pytest.fixture(scope="module")
def gateway(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    """Writer, projector and gateway for all tests of this file."""
    with alone(postgres_server) as web:
        yield web


@pytest.fixture
def web(gateway: Web) -> Web:
    """A project of one's own."""
    return Web(gateway.port, gateway.data)


def spawned(web: Web, *agents: str) -> None:
    for agent in agents:
        answer = web.post("agent.spawn", {"agent": agent, "persona": "plot"})
        assert answer.status == 200, answer.text


def test_a_worker_does_a_task_and_the_planner_reads_it_now_and_then(web: Web) -> None:
    spawned(web, "w1")
    enqueued = web.post("task.enqueue", {"title": "Outline act two", "id": "t1"})
    worker = web.token("w1")
    claimed = web.post("task.claim", token=worker)
    (lease,) = claimed.json["result"]["tasks"]
    assert (lease["task"], lease["title"]) == ("t1", "Outline act two")
    done = web.post(
        "task.complete",
        {"task": "t1", "fence": lease["fence"], "result": {"words": 900}},
        token=worker,
    )
    assert done.json["result"]["completed"] == ["t1"]

    position = done.json["position"]
    now = web.get(f"/api/{web.project}/queue?min_position={position}", token=worker)
    assert [(row["task"], row["status"]) for row in now.json["result"]] == [("t1", "completed")]
    assert now.json["position"] >= position
    for point in (enqueued.json["position"], f"%23{enqueued.json['sequence']}"):
        then = web.get(f"/api/{web.project}/queue?as_of={point}")
        assert [row["status"] for row in then.json["result"]] == ["queued"]
        assert then.json["position"] == enqueued.json["position"]
    assert (web.get(f"/api/{web.project}/task?task=t1")).json["result"][0]["result"] == {"words": 900}


def test_what_was_learned_is_told_as_of_any_moment(web: Web) -> None:
    first = web.post("task.plan", {"tasks": [{"local": "a", "title": "A"}]}).json["position"]
    grown = web.post("task.plan", {"tasks": [{"local": "b", "title": "B"}]}).json["position"]
    asked = f"/api/{web.project}/plans?min_position={grown}"
    assert len(web.get(asked).json["result"]) == 2
    then = web.get(f"{asked}&as_of={first}").json
    assert (len(then["result"]), then["position"]) == (1, first)
    web.post("docs.cache", {"library": "click", "content": "Groups nest", "days": 1e-9})
    stale = f"/api/{web.project}/stale_documentation"
    assert len(web.get(f"{stale}?as_of=now").json["result"]) == 1
    assert web.get(f"{stale}?as_of={grown}").json["result"] == []


def test_a_key_makes_a_command_happen_once_and_is_each_actors_own(web: Web) -> None:
    key = {"Idempotency-Key": "outline-1"}
    first = web.post("task.enqueue", {"title": "Outline"}, headers=key)
    again = web.post("task.enqueue", {"title": "Outline"}, headers=key)
    assert first.json == again.json
    spawned = web.post("agent.spawn", {"agent": "w1", "persona": "plot"}, headers=key)
    assert spawned.json["result"] == {}
    other = web.post("task.enqueue", {"title": "Outline"}, headers={**key, "Coord-Actor": "w2"})
    assert other.json["result"]["task"] != first.json["result"]["task"]


def test_refusals_are_problems_that_say_what_to_do(web: Web) -> None:
    spawned(web, "w1")
    web.post("task.enqueue", {"title": "Outline", "id": "t1"})
    unknown = web.post("task.complete", {"task": "t9", "fence": 1})
    assert (unknown.status, unknown.code) == (404, "unknown_agent")
    gone = web.post("task.cancel", {"task": "t9"})
    assert (gone.status, gone.code, gone.json["facts"]) == (404, "unknown_task", {"task": "t9"})
    twice = web.post("task.enqueue", {"title": "Outline", "id": "t1"})
    assert (twice.status, twice.code) == (409, "task_exists")
    jsonschema.validate(twice.json, document()["components"]["schemas"]["Problem"])
    assert (web.post("task.claim", {"colour": "red"})).code == "bad_input"
    assert (web.post("task.dance")).status == 404
    assert (web.get(f"/api/{web.project}/nonsense")).code == "unknown_view"
    assert (web.get(f"/api/{web.project}/queue?colour=red")).code == "bad_input"
    assert (web.get(f"/api/{web.project}/queue?limit=5000")).code == "bad_input"
    for point in ("whenever!", ""):
        assert (web.get(f"/api/{web.project}/queue?as_of={point}")).code == "bad_point"
    for wrong in ("settings?scope=null", "factor?at=0.5"):
        assert (web.get(f"/api/{web.project}/{wrong}")).code == "bad_input"
    assert (web.get(f"/api/{web.project}/projects?as_of=1")).code == "bad_input"
    early = web.get(f"/api/{web.project}/queue?min_position=999&wait_s=0")
    assert (early.code, early.headers["retry-after"]) == ("not_yet_visible", "1")
    plain = web.post("task.claim", headers={"Content-Type": "text/plain"})
    assert (plain.status, plain.code) == (415, "wrong_media_type")
    method = web.get(f"/api/{web.project}/task/claim")
    assert (method.status, method.headers["allow"]) == (405, "POST")


def test_without_a_writer_a_command_is_refused_in_time_and_may_be_sent_again(
    database_url: str, nats_url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_S", 0.2)
    with serving(database_url, nats_url, data, ["gateway"]) as web:
        refused = web.post("task.enqueue", {"title": "Outline"})
        assert (refused.status, refused.code, refused.json["retryable"]) == (503, "unavailable", True)
        assert refused.headers["retry-after"] == "1"


def test_pages_of_a_list_are_all_of_one_moment(web: Web) -> None:
    for number in range(5):
        last = web.post("task.enqueue", {"title": "Scene", "id": f"t{number}"})
    path = f"/api/{web.project}/queue?limit=2&min_position={last.json['position']}"
    page = web.get(path)
    told = [row["task"] for row in page.json["result"]]
    web.post("task.enqueue", {"title": "Before all", "id": "first", "priority": 9})
    web.post("task.cancel", {"task": "t1"})
    while page.json["next"]:
        link = page.headers["link"]
        assert link.endswith('; rel="next"')
        page = web.get(link.partition(">")[0].removeprefix("<"))
        assert all(row["status"] == "queued" for row in page.json["result"])
        told += [row["task"] for row in page.json["result"]]
    assert told == ["t0", "t1", "t2", "t3", "t4"]

    cursor = (web.get(path)).json["next"]
    elsewhere = web.get(f"/api/{web.project}/agents?cursor={cursor}")
    assert (elsewhere.status, elsewhere.code) == (404, "bad_cursor")
    deep = urlsafe_b64encode(b"[" * 6_000).decode()
    for nonsense in ("%00nonsense", deep):
        assert (web.get(f"{path}&cursor={nonsense}")).code == "bad_cursor"

    events, after = [], ""
    while rows := (page := web.get(f"/api/{web.project}/events?limit=3{after}")).json["result"]:
        events += [row["sequence"] for row in rows]
        after = f"&cursor={page.json['next']}"
    assert events == [1, 2, 3, 4, 5, 6, 7]


def test_a_stream_tells_the_past_then_the_present_and_is_resumed_without_gap_or_doubling(web: Web) -> None:
    for number in range(3):
        web.post("task.enqueue", {"title": "Scene", "id": f"t{number}"})
    streams = [Stream(web, f"/api/{web.project}/stream?after={after}") for after in (0, 1)]
    seen: list[list[str]] = [[], []]
    for stream, ids, wanted in zip(streams, seen, (3, 2), strict=True):
        for _ in range(wanted):
            ids.append(stream.next()["id"])
    web.post("task.enqueue", {"title": "Elsewhere"}, project="other")
    web.post("task.plan", {"tasks": [{"local": str(n), "title": "Scene"} for n in range(20)]})
    for stream, ids in zip(streams, seen, strict=True):
        while len(ids) < 22:
            ids.append(stream.next()["id"])
    assert seen[0] == [str(number) for number in range(1, 23)]
    assert seen[1] == [str(number) for number in range(2, 24)]
    streams[0].close()
    again = Stream(web, f"/api/{web.project}/stream", headers={"Last-Event-ID": seen[0][-1]})
    event = json.loads(again.next()["data"])
    assert (event["sequence"], event["event"]) == (23, "task.enqueued")
    again.close()
    streams[1].close()


def flood(web: Web, plans: int) -> int:
    """More than a connection's buffers hold; gives how many events that were."""
    text = "x" * 100_000
    tasks = [{"local": name, "title": "Scene", "description": text} for name in ("a", "b")]
    for _ in range(plans):
        assert web.post("task.plan", {"tasks": tasks}).status == 200
    return plans * len(tasks)


def test_who_does_not_keep_up_with_a_stream_is_told_and_goes_on_from_the_last_event(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_QUEUE_EVENTS", 3)
    slow = Stream(web, f"/api/{web.project}/stream")
    count = flood(web, 50)
    seen = []
    while "event" not in (told := slow.next()):
        seen.append(int(told["id"]))
    assert (told["event"], json.loads(told["data"])["code"]) == ("end", "fell_behind")
    assert json.loads(told["data"])["retryable"] is True
    assert slow.next() == {}
    slow.close()
    assert len(seen) < count
    again = Stream(web, f"/api/{web.project}/stream", headers={"Last-Event-ID": str(seen[-1])})
    seen += [int(again.next()["id"]) for _ in range(count - len(seen))]
    assert seen == list(range(1, count + 1))
    again.close()


def test_who_takes_nothing_or_sends_nothing_is_cut_off(
    database_url: str, nats_url: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STALLED_S", 0.5)
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(live, "MAX_LISTENERS", 1)
    with serving(database_url, nats_url, data) as web:
        slow = HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE_S)
        slow.putrequest("POST", f"/api/{web.project}/task/claim")
        for name, value in {"Authorization": f"Bearer {web.operator}", "Content-Length": "9"}.items():
            slow.putheader(name, value)
        slow.endheaders(b"{")
        answer = slow.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (408, "close")
        assert json.loads(answer.read())["code"] == "slow_body"
        slow.close()

        stalled = Stream(web, f"/api/{web.project}/stream")
        flood(web, 50)
        stream = f"/api/{web.project}/stream"
        while (listening := Stream(web, stream)).answer.status != 200:  # while the other has the place
            assert json.loads(listening.answer.read())["code"] == "too_many_listeners"
            listening.close()
            sleep(0.05)
        listening.close()
        stalled.close()


def test_a_stream_ends_with_a_reason_when_its_token_is_revoked(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_S", 0.1)
    token = web.token(role="observer")
    stream = Stream(web, f"/api/{web.project}/stream", token=token)
    assert stream.answer.status == 200
    web.tokens.revoke(token.split("_")[1])
    end = stream.next()
    assert end["event"] == "end"
    assert json.loads(end["data"])["code"] == "token_revoked"
    assert stream.next() == {}
    stream.close()


def test_the_document_describes_every_command_and_every_list() -> None:
    paths = document()["paths"]
    for verb in COMMANDS:
        operation = paths[f"/api/{{project}}/{verb.replace('.', '/')}"]["post"]
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["result"]
    assert {f"/api/{{project}}/{view}" for view in view_names()} <= {*paths}
    known = document()["components"]
    references = {
        part.partition('"')[0] for part in json.dumps(document()).split('"$ref": "#/components/')[1:]
    }
    assert all(name in known[kind] for kind, _, name in (each.partition("/") for each in references))


def test_every_refusal_that_http_can_meet_has_a_status() -> None:
    """Those of the writer and of reads come by their code alone."""
    own = {each.code for each in CoordError.__subclasses__() if each.__module__ in MEETS}
    assert {*refusals()} | own <= {*STATUSES}
