"""Operators' commands through the console, on real services: done once, in their name, refused in words."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from services.access.roles import Role
from services.embedded import EmbeddedPostgres
from tests.services.web import Reply, Web, alone


@pytest.fixture(scope="module")
def gateway(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    with alone(postgres_server) as web:
        yield web


class Browser:
    """Somebody who is logged in to the console, in a project of their own."""

    def __init__(self, web: Web, role: Role, actor: str, projects: tuple[str, ...]) -> None:
        self.web = web
        self.project = web.project
        connection = HTTPConnection("127.0.0.1", web.port, timeout=60)
        form = urlencode({"token": web.token(actor, role, projects)})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/console/login", form, headers)
        self.cookie = connection.getresponse().headers["set-cookie"].partition(";")[0]
        connection.close()

    def do(
        self, verb: str, fields: Any, *, key: str = "", project: str = "", kind: str = "application/json"
    ) -> Reply:
        path = f"/console/{project or self.project}/do/{verb.replace('.', '/')}"
        headers = {"Cookie": self.cookie, "Content-Type": kind, "Idempotency-Key": key or uuid4().hex}
        return self.web.send("POST", path, token=None, headers=headers, body=json.dumps(fields).encode())

    def look(self, path: str) -> Reply:
        return self.web.get(f"/console/{self.project}/{path}", token=None, headers={"Cookie": self.cookie})


@pytest.fixture
def ann(gateway: Web) -> Browser:
    """The operator of all projects, and an agent that holds a task."""
    ann = Browser(Web(gateway.port, gateway.data), "operator", "ann", ("*",))
    ann.web.post("agent.spawn", {"agent": "w1", "persona": "plot"})
    ann.web.post("task.enqueue", {"title": "Outline", "id": "t1"})
    claimed = ann.web.post("task.claim", headers={"Coord-Actor": "w1"})
    assert claimed.json["result"]["tasks"][0]["fence"] == 1
    ann.web.get(f"/api/{ann.project}/queue?min_position={claimed.json['position']}&wait_s=20")
    return ann


def last(browser: Browser, sequence: int) -> dict[str, Any]:
    """An event as the log has it."""
    after = f"events?after={sequence - 1}&limit=1"
    (event,) = browser.web.get(f"/api/{browser.project}/{after}").json["result"]
    return dict(event)


def test_a_command_is_sent_in_the_operators_name_and_once_for_each_key(ann: Browser) -> None:
    done = ann.do("task.reprioritize", {"task": "t1", "priority": 5}, key="click-1")
    assert (done.status, done.json["says"]) == (200, "t1 has priority 5.")
    event = last(ann, done.json["sequence"])
    assert (event["event"], event["actor"]) == ("task.reprioritized", "ann")
    ann.do("task.reprioritize", {"task": "t1", "priority": 7})
    again = ann.do("task.reprioritize", {"task": "t1", "priority": 5}, key="click-1")
    assert again.json["sequence"] == done.json["sequence"]
    same = ann.do("task.reprioritize", {"task": "t1", "priority": 7})
    assert same.json["says"] == "It was so already; nothing was changed."


def test_a_task_is_taken_from_its_holder_in_the_operators_name(ann: Browser) -> None:
    done = ann.do("task.requeue", {"task": "t1", "reason": "too slow"})
    assert done.json["says"] == "t1 is back in the queue."
    event = last(ann, done.json["sequence"])
    assert (event["actor"], event["data"]["agent"], event["data"]["reason"]) == ("ann", "w1", "too slow")
    again = ann.do("task.requeue", {"task": "t1"})
    assert again.json["says"] == "It was so already; nothing was changed."
    assert ann.do("task.requeue", {"task": "t9"}).code == "unknown_task"


def test_everything_that_is_offered_can_be_done(ann: Browser) -> None:
    cancelled = ann.do("task.cancel", {"task": "t1", "reason": "not wanted"})
    assert cancelled.json["says"] == "t1 is cancelled."
    changed = ann.do("setting.set", {"key": "max_agents", "value": 3, "scope": "project"})
    assert changed.json["says"] == "max_agents is changed."
    assert ann.do("setting.unset", {"key": "max_agents", "scope": "project"}).status == 200
    assert ann.do("agent.terminate", {"agent": "w1"}).json["says"] == "w1 is terminated."

    fork, here = f"{ann.project[:20]}-fork", {"origin": ann.project, "sequence": 2}
    forked = ann.do("project.fork", here, project=fork)
    assert forked.json["says"] == f"{fork} begins as {ann.project} was right after #2."
    restored = ann.do("project.restore", {"sequence": 3, "reason": "again"})
    assert restored.json["says"] == f"{ann.project} is what it was right after #3."
    told = ann.look(f"part/detail?of=task:t1&seen={restored.json['position']}").text
    assert "let go of t1: restored to #3: again" in told.replace("&#39;", "'")


def test_what_is_refused_is_told_in_its_own_words(ann: Browser) -> None:
    wrong = ann.do("setting.set", {"key": "max_agents", "value": 0, "scope": "project"})
    assert (
        wrong.json["detail"]
        == "Setting max_agents must be a whole number, 1 or more, 100000 at most; 0 is not."
    )
    assert ann.do("task.retry", {"task": "t1"}).code == "wrong_state"
    assert ann.do("task.cancel", {"task": "t1", "colour": "red"}).code == "bad_input"
    assert ann.do("task.claim", {}).code == "unknown_verb"  # the console has no button for it
    assert ann.do("task.cancel", {"task": "t1"}, kind="text/plain").code == "wrong_media_type"


def test_observers_and_strangers_are_refused(ann: Browser) -> None:
    observer = Browser(ann.web, "observer", "oscar", (ann.project,))
    assert observer.do("task.cancel", {"task": "t1"}).code == "not_permitted"
    seen = observer.look("part/detail?of=task:t1")
    assert seen.status == 200
    assert "data-do" not in seen.text
    assert observer.look("part/confirm?verb=task.cancel&about=task:t1").code == "not_permitted"

    planner = Browser(ann.web, "planner", "paula", (ann.project,))
    assert planner.do("task.requeue", {"task": "t1"}).code == "not_permitted"
    assert planner.do("agent.terminate", {"agent": "w1"}).code == "not_permitted"
    elsewhere = Browser(ann.web, "operator", "olga", ("elsewhere",))
    assert elsewhere.do("task.cancel", {"task": "t1"}).code == "not_permitted"
    assert (
        elsewhere.do("project.fork", {"origin": ann.project, "sequence": 1}, project="elsewhere").status
        == 403
    )
    ann.cookie = "coord_console=none"
    assert ann.do("task.cancel", {"task": "t1"}).code == "unauthenticated"
