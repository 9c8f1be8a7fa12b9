"""The web console on real services: who gets in, what may be done, what is shown, and what is told live."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from cli.main import coordctl
from services.console import entry, live
from services.console.app import HEADERS
from services.console.entry import RECORD, Sessions
from services.console.pages import Pages
from services.embedded import EmbeddedPostgres
from services.gateway.denials import Unauthenticated
from services.gateway.entry import Entry, Holder
from services.gateway.tokens import FOLDER, Tokens
from tests.services.web import Reply, Stream, Web, alone

ROOT = Path(__file__).parents[2]
VIEWS = ("fleet", "queue", "handoffs", "timeline", "learned", "settings")
HOSTILE = """<script>alert(1)</script>'"><img src=x onerror=alert(2)>{{ 7 * 7 }}"""
INLINE = re.compile(r"<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=|<style|javascript:")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def gateway(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    """Writer, projector and gateway for all tests of this file."""
    with alone(postgres_server) as web:
        yield web


class Browser:
    """One that is logged in, in a project of its own."""

    def __init__(self, web: Web, token: str = "") -> None:
        self.web = web
        self.cookie = cookie_of(login(web, code(web, token)))

    def get(self, path: str, **headers: str) -> Reply:
        return self.web.get(path, token=None, headers={"Cookie": self.cookie, **headers})

    def part(self, name: str, query: str = "") -> Reply:
        return self.get(f"/console/{self.web.project}/part/{name}?{query}")

    def page(self, query: str = "") -> Reply:
        return self.get(f"/console/{self.web.project}?{query}", Accept="text/html")

    def do(self, verb: str, fields: Mapping[str, Any], **headers: str) -> Reply:
        path = f"/console/{self.web.project}/do/{verb.replace('.', '/')}"
        told = {"Cookie": self.cookie, **JSON, **headers}
        return self.web.send("POST", path, token=None, headers=told, body=json.dumps(fields))

    def live(self, after: int, **headers: str) -> Stream:
        path = f"/console/{self.web.project}/live?after={after}"
        return Stream(self.web, path, token=None, headers={"Cookie": self.cookie, **headers})


@pytest.fixture
def web(gateway: Web) -> Web:
    """A project of one's own, in which something happened."""
    web = Web(gateway.port, gateway.data)
    web.post("agent.spawn", {"agent": "w1", "persona": "plot"})
    web.post("task.enqueue", {"id": "t1", "title": "Outline act two"})
    last = web.post("task.enqueue", {"id": "t2", "title": "Draft act two", "depends_on": ["t1"]})
    web.get(f"/api/{web.project}/queue?min_position={last.json['position']}")
    return web


@pytest.fixture
def browser(web: Web) -> Browser:
    return Browser(web)


def code(web: Web, token: str = "") -> str:
    reply = web.send("POST", "/console/codes", token=token)
    assert reply.status == 200, reply.text
    made: str = reply.json["code"]
    return made


def login(web: Web, code: str) -> Reply:
    return web.send("POST", "/console/login", token=None, headers=JSON, body=json.dumps({"code": code}))


def cookie_of(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


def form(web: Web, **fields: str) -> Reply:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    return web.send("POST", "/console/login", token=None, headers=headers, body=urlencode(fields))


# Coming in


def test_a_code_logs_one_browser_in_once(web: Web) -> None:
    made = code(web)
    welcome = login(web, made)
    assert welcome.status == 204
    attributes = {each.strip().lower() for each in welcome.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/console"} <= attributes
    page = web.get(f"/console/{web.project}", token=None, headers={"Cookie": cookie_of(welcome)})
    assert (page.status, "Outline act two" in page.text) == (200, False)
    again = login(web, made)
    assert (again.status, again.code, "set-cookie" in again.headers) == (401, "unauthenticated", False)
    assert web.send("POST", "/console/codes", token=None).code == "unauthenticated"


def test_a_token_logs_in_through_the_form_and_leads_nowhere_but_into_the_console(web: Web) -> None:
    inside = f"/console/{web.project}?view=queue"
    for place, leads in [
        (inside, inside),
        ("", "/console"),
        ("https://elsewhere/", "/console"),
        ("//elsewhere/", "/console"),
        ("/console//elsewhere", "/console"),
        ("/console/\\elsewhere", "/console"),
        ("/consolation", "/console"),
    ]:
        reply = form(web, token=web.operator, next=place)
        assert (reply.status, reply.headers["location"]) == (303, leads)
    wrong = form(web, token=f"coord_{'0' * 12}_{'x' * 43}", next=inside)
    assert (wrong.status, "set-cookie" in wrong.headers) == (401, False)
    assert "The token is not known." in wrong.text
    assert "Authorization" not in wrong.text, "that is for programs"
    assert form(web, token="<b>", next='"><script>').status == 401
    assert "<script>" not in form(web, token="<b>", next='"><script>').text


def test_strangers_see_the_login_and_nothing_else(web: Web) -> None:
    page = web.get(f"/console/{web.project}?view=queue", token=None, headers={"Accept": "text/html"})
    assert page.status == 303
    assert page.headers["location"] == f"/console/login?next=%2Fconsole%2F{web.project}%3Fview%3Dqueue"
    for path in ("part/queue", "data/moment", "live"):
        assert web.get(f"/console/{web.project}/{path}", token=None).code == "unauthenticated"
    assert web.get("/console/login", token=None).status == 200
    forged = web.get(f"/console/{web.project}/part/queue", token=None, headers={"Cookie": "coord_console=x"})
    assert forged.code == "unauthenticated"
    bearer = web.get(f"/console/{web.project}/part/queue")
    assert bearer.code == "unauthenticated"


def test_a_session_ends_with_its_token_and_when_one_logs_out(web: Web) -> None:
    token = web.token(role="observer")
    browser = Browser(web, token)
    assert browser.part("queue").status == 200
    web.tokens.revoke(token.split("_")[1])
    assert browser.part("queue").code == "token_revoked"
    other = Browser(web)
    left = web.send("POST", "/console/logout", token=None, headers={"Cookie": other.cookie})
    assert left.status == 303
    assert other.part("queue").code == "unauthenticated"


def test_a_session_outlives_the_gateway_and_is_known_to_others(web: Web, browser: Browser) -> None:
    tokens = Tokens(web.data)
    secret = browser.cookie.partition("=")[2]
    assert Sessions(tokens, Entry(tokens)).holder(secret).actor == "operator"
    kept = (web.data / FOLDER / RECORD).read_text()
    assert secret not in kept
    assert (web.data / FOLDER / RECORD).stat().st_mode & 0o77 == 0


def test_of_too_many_sessions_the_oldest_ends(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MAX_KEPT", 3)
    tokens = Tokens(data)
    _, text = tokens.create("w1", "observer", ["*"])
    sessions, holder = Sessions(tokens, Entry(tokens)), Holder("w1", tokens.holder(text))
    first, *others = [sessions.begin(holder) for _ in range(4)]
    assert [sessions.holder(each) for each in others] == [holder] * 3
    with pytest.raises(Unauthenticated):
        sessions.holder(first)


def test_other_sites_and_other_names_are_refused(web: Web, browser: Browser) -> None:
    elsewhere = browser.get(f"/console/{web.project}", Host="elsewhere:80")
    assert (elsewhere.status, elsewhere.code) == (421, "unknown_host")
    for headers in ({"Origin": "https://elsewhere"}, {"Sec-Fetch-Site": "cross-site"}):
        done = browser.do("task.cancel", {"task": "t1"}, **headers)
        assert (done.status, done.code) == (403, "cross_site")
    as_form = browser.do("task.cancel", {"task": "t1"}, **{"Content-Type": "text/plain"})
    assert as_form.code == "wrong_media_type"


# Doing


def test_an_operator_acts_in_its_own_name_and_an_observer_cannot_act(web: Web, browser: Browser) -> None:
    done = browser.do("task.reprioritize", {"task": "t1", "priority": 7}, **{"Idempotency-Key": "once"})
    assert done.status == 200, done.text
    last = web.get(f"/api/{web.project}/activity?limit=1&min_position={done.json['position']}").json["result"]
    assert (last[0]["actor"], last[0]["event"]) == ("operator", "task.reprioritized")
    assert "data-do=" in browser.part("settings").text
    assert "data-do=" not in browser.part("settings", f"as_of={last[0]['sequence']}").text

    observer = Browser(web, web.token("eve", "observer"))
    assert observer.part("queue").status == 200
    assert "data-do=" not in observer.page("view=settings").text
    refused = observer.do("task.cancel", {"task": "t1"})
    assert (refused.status, refused.code) == (403, "not_permitted")


def test_a_token_opens_the_pages_of_its_own_projects_alone(web: Web) -> None:
    other = Web(web.port, web.data)
    browser = Browser(web, web.token("eve", "observer"))
    assert browser.get(f"/console/{other.project}/part/queue").code == "not_permitted"
    assert browser.get(f"/console/{other.project}/live").code == "not_permitted"
    home = browser.get("/console", Accept="text/html")
    assert (home.status, home.headers["location"]) == (303, f"/console/{web.project}")


# Showing


def test_every_view_is_part_of_a_page_and_comes_alone_now_and_then(browser: Browser) -> None:
    for view in VIEWS:
        page, part = browser.page(f"view={view}"), browser.part(view)
        assert (page.status, part.status) == (200, 200), view
        assert f'<section id="part" data-view="{view}"' in page.text
        assert part.text.lstrip().startswith(f'<section id="part" data-view="{view}" data-sequence="3"')
        then = browser.part(view, "as_of=1")
        assert 'data-sequence="1" data-head="3"' in then.text
        assert 'data-words="w1 was spawned as plot by operator" data-live="no"' in then.text
    assert "Outline act two" in browser.part("queue").text
    assert "Outline act two" not in browser.part("queue", "as_of=1").text
    assert browser.part("queue", "as_of=4").code == "unknown_sequence"
    assert browser.part("queue", "as_of=one").code == "bad_input"
    assert browser.part("nonsense").code == "no_such_page"


def test_lists_are_filtered_and_paged(web: Web, browser: Browser) -> None:
    tasks = [{"local": f"n{n}", "title": f"Scene {n}", "priority": n % 3} for n in range(150)]
    last = web.post("task.plan", {"tasks": tasks})
    seen = f"seen={last.json['position']}"
    titles: list[str] = []
    for offset in (0, 100, 200):
        page = browser.part("queue-rows", f"{seen}&text=scene&offset={offset}").text
        titles += re.findall(r">(Scene \d+)<", page)
        assert ('data-more="yes"' in page) == (offset == 0)
    assert len(titles) == len({*titles}) == 150
    assert 'data-total="151"' in browser.part("queue-rows", f"{seen}&status=queued").text
    assert ">Draft act two<" in browser.part("queue-rows", f"{seen}&status=blocked").text
    words = browser.part("timeline-rows", f"{seen}&text=scene%20149").text
    assert words.count('role="row"') == 1
    assert "Nothing like that" in browser.part("timeline-rows", f"{seen}&kind=trouble").text


def test_the_board_shows_and_counts_what_it_is_filtered_for(web: Web, browser: Browser) -> None:
    many = [{"local": str(n), "title": f"Scene {n}"} for n in range(30)]
    web.post("task.plan", {"tasks": many})
    held = web.post("task.claim", {"task": "t1"}, headers={"Coord-Actor": "w1"}).json["result"]["tasks"][0]
    for verb in ("task.start", "task.complete"):
        done = web.post(verb, {"task": "t1", "fence": held["fence"]}, headers={"Coord-Actor": "w1"})
    last, seen = done.json["sequence"], f"seen={done.json['position']}"
    for moment in (seen, f"as_of={last}"):
        columns = board(browser.part("queue", moment))
        assert columns["completed"] == ("1", ["Outline act two"], "")
        assert (columns["queued"][0], len(columns["queued"][1]), columns["queued"][2]) == ("31", 25, "6 more")
        columns = board(browser.part("queue", f"text=act&{moment}"))
        assert columns["completed"] == ("1", ["Outline act two"], "")
        assert columns["queued"] == ("1", ["Draft act two"], "")
        columns = board(browser.part("queue", f"text=scene&{moment}"))
        assert (columns["queued"][0], len(columns["queued"][1])) == ("25+", 25)
        assert columns["queued"][2] == "more of them"
        assert columns["completed"] == ("0", [], "")
    more = re.search(r'class="others"><a href="([^"]*)"', browser.part("queue", f"text=scene&{seen}").text)
    assert more is not None
    assert {"text=scene", "status=queued", "mode=list"} <= {*more[1].lstrip("?").split("&amp;")}
    undone = web.post("project.restore", {"sequence": 3, "reason": "it was not done"})
    assert undone.status == 200, undone.text
    assert board(browser.part("queue", f"seen={undone.json['position']}"))["completed"] == ("0", [], "")


def board(reply: Reply) -> dict[str, tuple[str, list[str], str]]:
    """The columns by status: the number at the top, the titles of the cards, what is said of the others."""
    found = {}
    for part in reply.text.split('<section class="column c-')[1:]:
        count = re.search(r"<b>([^<]*)</b>", part)
        others = re.search(r'class="others"><a [^>]*>([^<]*)<', part)
        assert count is not None
        titles = re.findall(r'<a class="task"[^>]*>([^<]+)</a></div>', part)
        found[re.split('[ "]', part, maxsplit=1)[0]] = (count[1], titles, others[1] if others else "")
    return found


def test_the_slider_is_told_moments_and_times(web: Web, browser: Browser) -> None:
    moment = browser.get(f"/console/{web.project}/data/moment?as_of=2").json
    assert (moment["sequence"], moment["head"], moment["live"]) == (2, 3, False)
    assert moment["words"] == "operator enqueued t1 (queued): Outline act two"
    times = browser.get(f"/console/{web.project}/data/times?after=1").json
    assert [sequence for sequence, _ in times] == [2, 3]
    assert times[0][1] <= times[1][1]
    assert browser.get(f"/console/{web.project}/data/times?at=3,1").json[0][0] == 1
    assert browser.get(f"/console/{web.project}/data/times?at=x").code == "bad_input"


def test_what_anybody_wrote_is_text_wherever_it_is_shown(web: Web, browser: Browser) -> None:
    web.post("task.enqueue", {"id": "t3", "title": HOSTILE, "description": HOSTILE})
    web.post("agent.spawn", {"agent": "w2", "persona": "plot", "metadata": {"note": HOSTILE}})
    worker = web.token("w2")
    lease = web.post("task.claim", {"task": "t3"}, token=worker).json["result"]["tasks"][0]
    fence = {"task": "t3", "fence": lease["fence"]}
    web.post("task.progress", {**fence, "note": HOSTILE}, token=worker)
    context = {"goal": HOSTILE, "done": [HOSTILE], "data": {HOSTILE: HOSTILE}}
    offer = {**fence, "to_agent": "w1", "reason": HOSTILE, "context": context}
    web.post("handoff.initiate", offer, token=worker)
    web.post("setting.set", {"key": "motto", "value": HOSTILE})
    last = web.post(
        "failure.record", {"feature": HOSTILE, "approach": HOSTILE, "why": HOSTILE, "lesson": HOSTILE}
    )
    assert last.status == 200, last.text
    seen = f"seen={last.json['position']}"
    shown = [browser.part(view, seen).text for view in VIEWS]
    shown += [browser.page(f"view={view}&{seen}&text={urlencode({'q': HOSTILE})}").text for view in VIEWS]
    shown += [browser.part("queue", f"{seen}&mode=list").text]
    assert sum("&lt;script&gt;alert(1)" in text for text in shown) >= 6
    for text in shown:
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "alert(2)&gt;49" not in text


def test_browsers_are_told_to_run_nothing_but_our_files(browser: Browser) -> None:
    for view in VIEWS:
        page = browser.page(f"view={view}")
        policy = page.headers["content-security-policy"]
        assert policy == HEADERS["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"
        assert not INLINE.search(page.text), view
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', page.text):
            assert address.startswith(("/console", "?", "#")), address
    assert browser.part("queue").headers["content-security-policy"] == policy


def test_static_files_are_kept_by_browsers_until_they_change(web: Web) -> None:
    pages = Pages()
    at = pages.address("console.js")
    script = web.get(at, token=None)
    assert (script.status, script.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert script.headers["content-type"].startswith("text/javascript")
    old = web.get(at.replace(pages.version, "0" * 16), token=None)
    assert old.headers["cache-control"] == "no-store"
    for path in ("nothing.js", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "vendor"):
        assert web.get(f"/console/static/{pages.version}/{path}", token=None).status == 404


def test_a_package_of_the_program_holds_every_template_and_static_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folder = ROOT / "services" / "console"
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert any(
                fnmatch(name, pattern) and name.count("/") == pattern.count("/")
                for pattern in settings["services.console"]
            ), name
    for vendor in (folder / "static" / "vendor").iterdir():
        assert vendor.is_file() or (vendor / "LICENSE").is_file(), vendor


# Live


def test_what_happens_is_told_together_and_goes_on_without_gap_after_a_loss(
    web: Web, browser: Browser
) -> None:
    stream = browser.live(0)
    told = until(stream, 3)
    assert (told[-1]["head"], sum(each["events"] for each in told)) == (3, 3)
    tasks = [{"local": str(n), "title": "Scene"} for n in range(400)]
    web.post("task.plan", {"tasks": tasks})
    more = until(stream, 403)
    assert sum(each["events"] for each in more) == 400
    assert sum(each["kinds"]["task.enqueued"] for each in more) == 400
    assert len(more) < 40
    assert more[-1]["lines"][-1]["words"].endswith("(queued): Scene")
    stream.close()
    for _ in range(6):
        web.post("task.plan", {"tasks": tasks})
    again = browser.live(0, **{"Last-Event-ID": str(more[-1]["head"])})
    missed = until(again, 403 + 6 * 400)
    assert sum(each["events"] for each in missed) == 2_400
    again.close()


@pytest.mark.parametrize(("how", "code"), [("revoked", "token_revoked"), ("logged out", "unauthenticated")])
def test_a_stream_ends_with_its_reason_and_tells_nothing_more(web: Web, how: str, code: str) -> None:
    token = web.token(role="observer")
    browser = Browser(web, token)
    stream = browser.live(0)
    until(stream, 3)
    if how == "revoked":
        web.tokens.revoke(token.split("_")[1])
    else:
        web.send("POST", "/console/logout", token=None, headers={"Cookie": browser.cookie})
    web.post("task.enqueue", {"title": "Not for those who left"})
    end = stream.next()
    assert (end["event"], json.loads(end["data"])["code"]) == ("end", code)
    assert stream.next() == {}
    stream.close()


def test_a_page_hears_often_enough_that_its_connection_still_is() -> None:
    waits_ms = re.search(rb"SILENCE_MS = ([0-9_]+);", Pages().files["live.js"].content)
    assert waits_ms is not None
    assert 2 * live.BEAT_S < int(waits_ms[1]) / 1_000 < 10


def until(stream: Stream, head: int) -> list[dict[str, Any]]:
    """The messages up to this one's."""
    told: list[dict[str, Any]] = []
    while not told or told[-1]["head"] < head:
        event = stream.next()
        assert "event" not in event, event
        told.append(json.loads(event["data"]))
        assert event["id"] == str(told[-1]["head"])
    return told


# From the command line


def test_the_command_line_prints_an_address_that_logs_a_browser_in(web: Web) -> None:
    variables = {
        "COORD_DATA": str(web.data), "COORD_HTTP_PORT": str(web.port),
        "COORD_DATABASE_URL": "postgresql:///none", "COORD_NATS_URL": "nats://127.0.0.1:1",
    }  # fmt: skip
    with CliRunner().isolation(env=variables) as (out, _, _):
        with pytest.raises(SystemExit) as end:
            coordctl.main(["--project", web.project, "console"])
        address = out.getvalue().decode().strip()
    assert end.value.code == 0
    place, _, made = address.partition("#code=")
    assert place == f"http://127.0.0.1:{web.port}/console/{web.project}"
    assert login(web, made).status == 204
