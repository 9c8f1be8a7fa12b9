"""What each view shows is what is so, follows what happens, and can be acted on, without a mouse too."""

import asyncio
import json
import os
import re
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from playwright.sync_api import expect

from services.bus.caller import Caller
from tests.acceptance.system import System
from tests.console import story
from tests.console.conftest import Open
from tests.console.tab import Tab
from tests.services.web import Web

PLAN_TIMEOUT_S = 30
VIEWS = ("fleet", "queue", "handoffs", "timeline", "learned", "settings")


def read(web: Web, view: str, query: str = "limit=500") -> Any:
    return web.get(f"/api/{web.project}/{view}?{query}").json["result"]


# Coming in


def test_the_address_that_the_command_line_prints_logs_a_browser_in(
    system: System, little: Web, open_tab: Open
) -> None:
    tab = open_tab(little)
    tab.page.context.clear_cookies()
    address = system.run("--project", little.project, "console").strip()
    tab.page.goto(address)
    tab.wait_state("live")
    assert tab.page.url == f"{tab.origin}/console/{little.project}"
    expect(tab.page.locator(".who")).to_contain_text("operator")
    tab.page.get_by_role("button", name="Log out").click()
    expect(tab.page.get_by_label("Token")).to_be_visible()
    tab.page.goto(address)
    expect(tab.page.locator("#why")).to_contain_text("used up or too old")
    tab.excuse("401")


def test_a_page_whose_login_is_over_says_so_and_goes_on_after_another(little: Web, open_tab: Open) -> None:
    tab = open_tab(little)
    tab.open("view=queue")
    other = tab.page.context.new_page()
    other.goto(f"{tab.origin}/console/{little.project}")
    other.get_by_role("button", name="Log out").click()
    other.get_by_label("Token").wait_for()
    little.post("task.enqueue", {"id": "t9", "title": "Name the islands"})
    tab.wait_state("out")
    expect(tab.page.locator("#trouble")).to_contain_text("Your login is over.")
    tab.page.get_by_role("link", name="Log in").click()
    tab.page.get_by_label("Token").fill(little.operator)
    tab.press("Enter")
    tab.wait_state("live")
    expect(tab.page.locator("#card-t9")).to_be_visible()
    assert "view=queue" in tab.page.url
    tab.excuse("401")


# Showing


def test_the_fleet_shows_every_agent_what_it_does_and_its_record(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    tab.open("view=fleet")
    agents = {each["agent"]: each for each in read(novel, "agents")}
    assert {*tab.texts("table.fleet th a.agent")} == agents.keys() == {name for name, _ in story.WORKERS}
    for name, agent in agents.items():
        row = tab.page.locator(f"#agent-{name}")
        cell = {
            label: row.locator(f'[data-label="{label}"]').inner_text()
            for label in ("Persona", "Does", "Decisions", "Done")
        }
        assert agent["persona"] in cell["Persona"]
        assert (agent["doing"] or "idle") in cell["Does"]
        assert cell["Decisions"] == str(agent["decisions"])
        assert cell["Done"].endswith(str(agent["completed"]))


def test_the_queue_shows_every_task_on_a_board_in_a_list_and_as_a_graph(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    tasks = {each["task"]: each for each in read(novel, "queue")}
    many = Counter(each["status"] for each in tasks.values())
    tab.open("view=queue")
    for status, label in {"in_progress": "In progress", "blocked": "Blocked", "dead": "Dead"}.items():
        expect(tab.page.locator(f"#column-{status}")).to_have_text(f"{label} {many[status]}")
    expect(tab.page.locator(f'[id="card-{story.DOOMED}"]')).to_contain_text("Tomas would not say why")

    tab.page.get_by_role("link", name="List", exact=True).click()
    tab.page.locator("#queue-rows").wait_for()
    rows = tab.page.locator("#queue-rows .row a.task")
    assert {each.get_attribute("data-detail") for each in rows.all()} == {f"task:{task}" for task in tasks}
    tab.page.locator("select[name=status]").select_option("dead")
    expect(rows).to_have_count(many["dead"])
    assert "status=dead" in tab.page.url

    tab.page.get_by_role("link", name="Graph", exact=True).click()
    boxes = tab.page.locator("svg a.d-node")
    waiting = [each for each in tasks.values() if each["status"] == "blocked"]
    boxes.first.wait_for()
    assert {f"task:{each['task']}" for each in waiting} <= {
        box.get_attribute("data-detail") for box in boxes.all()
    }
    path = [link.get_attribute("data-detail") for link in tab.page.locator(".d-told a").all()]
    needs = {f"task:{each['task']}": each["depends_on"] for each in tasks.values()}
    assert len(path) > 4
    for before, after in pairwise(path):
        assert str(before).removeprefix("task:") in needs[str(after)]


def test_handoffs_show_who_gave_what_to_whom_and_what_travelled(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    tab.open("view=handoffs")
    waiting = tab.page.locator("section[aria-labelledby=handoffs-open] article")
    expect(waiting).to_have_count(2)
    offer = waiting.filter(has_text="any timeline")
    for told in ("tilda", story.GOAL, "counting days by hand", "Dates need a calm head"):
        expect(offer).to_contain_text(told)
    expect(waiting.filter(has_text="leo")).to_contain_text("chapter four")
    flows = tab.page.locator("svg a.d-flow")
    expect(flows).to_have_count(4)
    assert {str(flow.get_attribute("aria-label")).partition(":")[0] for flow in flows.all()} == {
        "ada to pavel", "lars to kofi", "leo to mona", "tilda to any timeline"
    }  # fmt: skip


def test_the_timeline_tells_all_that_happened_in_words_and_filters_as_one_types(
    novel: Web, open_tab: Open
) -> None:
    tab = open_tab(novel)
    tab.open("view=timeline")
    last = read(novel, "activity", "limit=40")
    assert tab.texts("#timeline-rows .row .title")[:40] == [" ".join(each["words"].split()) for each in last]
    wanted = [each for each in read(novel, "activity") if "died" in each["words"] or "dead" in each["words"]]
    tab.press("/")
    tab.page.keyboard.type(story.DOOMED)
    about = [each for each in read(novel, "activity") if story.DOOMED in each["words"]]
    expect(tab.page.locator("#timeline-rows .row")).to_have_count(len(about))
    assert wanted
    assert len(about) < 10
    assert tab.focus == story.DOOMED or "text" in tab.focus


def test_learned_shows_failures_estimates_with_their_correction_and_looks_back(
    novel: Web, open_tab: Open
) -> None:
    tab = open_tab(novel)
    tab.open("view=learned")
    closed = [each for each in read(novel, "estimates") if each["actual_sessions"] is not None]
    factor = sum(each["actual_sessions"] / each["estimated_sessions"] for each in closed) / len(closed)
    expect(tab.page.locator(".d-factor")).to_have_text(f"{factor:.2f}")
    tab.page.locator("#estimate-plot canvas").wait_for()
    expect(tab.page.locator("#estimate-plot")).to_have_attribute(
        "aria-label", f"{len(closed)} closed estimates against what the work took, in sessions; "
        f"the correction factor is {factor:.2f}. The table below has the figures.",
    )  # fmt: skip
    expect(tab.page.locator("#part")).to_contain_text(story.LESSON)
    expect(tab.page.locator("#part")).to_contain_text("The lighthouse wanted to be a person")


def test_settings_show_what_holds_and_who_changed_it(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    tab.open("view=settings")
    row = tab.page.locator("tr", has_text="stale_after_s").first
    for told in ("7200", "project", "operator"):
        expect(row).to_contain_text(told)
    keys = {each["key"] for each in read(novel, "settings") if each["scope"] == "project"}
    shown = tab.texts("section[aria-labelledby=settings-project] th[scope=row]")
    assert {text.split()[0] for text in shown} == keys


def test_a_detail_tells_its_story_its_raw_events_and_why(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    tab.open(f"view=queue&detail=task:{story.DOOMED}")
    detail = tab.page.locator("#detail[open]")
    expect(detail).to_contain_text("Say why Tomas stays silent")
    events = read(novel, "activity", f"limit=100&entity={story.DOOMED}")
    for each in events:
        expect(detail).to_contain_text(f"#{each['sequence']}")
    failed = next(each for each in events if each["event"] == "task.failed")
    detail.locator(f'a[data-detail="event:{failed["sequence"]}"]').first.click()
    raw = json.loads(detail.get_by_label("The event as JSON").inner_text())
    assert (raw["event"], raw["data"]["error"]) == ("task.failed", "Tomas would not say why")
    expect(detail.get_by_role("heading", name="Why it happened")).to_be_visible()
    detail.get_by_role("button", name="Close").click()
    expect(tab.page).not_to_have_url(re.compile("detail="))


# Live


def test_what_happens_appears_by_itself_while_what_one_reads_stays(little: Web, open_tab: Open) -> None:
    tab = open_tab(little)
    tab.open("view=queue")
    tab.page.evaluate("() => { globalThis.sameDocument = true; }")
    tab.page.locator('#card-t1 a[data-detail="task:t1"]').focus()
    little.post("task.enqueue", {"id": "t9", "title": "Name the islands"})
    expect(tab.page.locator("#card-t9")).to_contain_text("Name the islands")
    little.post("task.claim", {"task": "t0"}, headers={"Coord-Actor": "ada"})
    expect(tab.page.locator("#column-claimed")).to_have_text("Claimed 1")
    expect(tab.page.locator("#card-t0")).to_contain_text("ada")
    assert tab.focus == "Draft chapter one"
    tab.press("4")
    tab.wait_text("#timeline-rows .row", "ada claimed t0")
    little.post("task.cancel", {"task": "t9", "reason": "they have names"})
    tab.wait_text("#timeline-rows .row", "they have names")
    assert tab.page.evaluate("() => globalThis.sameDocument")


def test_a_gateway_that_is_too_busy_is_asked_again(little: Web, open_tab: Open) -> None:
    tab = open_tab(little)
    tab.open("view=fleet")
    busy = {"status": 503, "detail": "The read models are being rebuilt.", "code": "unavailable"}
    tab.page.route("**/part/queue?*", lambda route: route.fulfill(status=503, json=busy), times=1)
    tab.press("2")
    expect(tab.page.locator("#trouble")).to_have_text("The read models are being rebuilt.")
    tab.wait_view("queue")
    expect(tab.page.locator("#trouble")).to_be_hidden()


def test_a_lost_connection_is_told_and_goes_on_without_a_gap(
    system: System, little: Web, open_tab: Open
) -> None:
    tab = open_tab(little)
    tab.open("view=timeline")
    before = tab.sequence
    os.kill(system.state["services"]["gateway"], signal.SIGKILL)
    tab.wait_state("lost")
    expect(tab.page.locator("#status")).to_contain_text("connection lost")
    added = 30
    plan_elsewhere(system, little.project, added)
    tab.wait_sequence(before + added)
    tab.wait_state("live")
    seen = [int(text.strip("#")) for text in tab.texts("#timeline-rows .row a[data-detail^=event]")]
    assert seen == list(range(before + added, 0, -1))
    little.post("task.enqueue", {"id": "t9", "title": "Once it is back"})
    tab.wait_text("#timeline-rows .row", "Once it is back")
    tab.excuse("Failed to load resource", "ERR_", "502", "503")


def plan_elsewhere(system: System, project: str, tasks: int) -> None:
    """Add tasks over NATS, where no gateway is needed; in a thread, as this has the browser's event loop."""

    async def planning() -> None:
        async with Caller(system.nats_url, project, "operator") as caller:
            titles = [f"While it was away {number}" for number in range(tasks)]
            planned = [{"local": str(number), "title": title} for number, title in enumerate(titles)]
            await caller.ask("task.plan", {"tasks": planned})

    with ThreadPoolExecutor(1) as other:
        other.submit(asyncio.run, planning()).result(PLAN_TIMEOUT_S)


# Acting


def test_an_operator_acts_without_a_mouse_and_it_is_in_the_log(little: Web, open_tab: Open) -> None:
    tab = open_tab(little)
    tab.open("view=queue")
    tab.press("ArrowDown", "ArrowDown")
    assert tab.focus == "Draft chapter one"
    tab.press("Enter")
    tab.page.locator("#detail[open] #detail-title").wait_for()
    tab.press_until("Tab", lambda: tab.focus == "Reprioritize…")
    tab.press("Enter")
    tab.page.locator("#confirm[open]").wait_for()
    expect(tab.page.locator("#confirm")).to_contain_text("Reprioritize t1, “Draft chapter one”?")
    assert tab.focus == "priority"
    tab.press("Control+a")
    tab.page.keyboard.type("7")
    tab.press("Enter")
    tab.page.locator("#confirm[open]").wait_for(state="detached")
    tab.press("Escape", "4")
    tab.wait_text("#timeline-rows .row", "t1")
    last = read(little, "activity", "limit=1")[0]
    assert (last["event"], last["entity"], last["actor"]) == ("task.reprioritized", "t1", "operator")
    expect(tab.page.locator(f"#event-{last['sequence']}")).to_contain_text("operator")
    assert read(little, "queue", "entity=t1")[0]["priority"] == 7


def test_nothing_is_done_that_was_not_confirmed(little: Web, open_tab: Open) -> None:
    tab = open_tab(little)
    tab.open("view=queue&detail=task:t1")
    for leave in ("Leave it", ""):
        tab.page.locator('[data-do="task.cancel"]').click()
        expect(tab.page.locator("#confirm[open]")).to_contain_text("cannot be brought back")
        if leave:
            tab.page.get_by_role("button", name=leave).click()
        else:
            tab.press("Escape")
        tab.page.locator("#confirm[open]").wait_for(state="detached")
    assert read(little, "queue", "entity=t1")[0]["status"] == "queued"
    tab.page.locator('[data-do="task.cancel"]').click()
    tab.page.get_by_role("button", name="Cancel the task").click()
    expect(tab.page.locator("#detail .d-kind")).to_contain_text("cancelled")


def test_an_observer_sees_all_and_gets_no_button_to_act(little: Web, open_tab: Open) -> None:
    tab = open_tab(little, "observer", "eve")
    for view in VIEWS:
        tab.open(f"view={view}")
        expect(tab.page.locator("h1")).to_be_visible()
        expect(tab.page.locator("[data-do]")).to_have_count(0)
    for thing in ("task:t1", "agent:ada"):
        tab.open(f"view=queue&detail={thing}")
        tab.page.locator("#detail[open] #detail-title").wait_for()
        expect(tab.page.locator("[data-do]")).to_have_count(0)
    tab.open(as_of=2)
    expect(tab.page.locator("[data-do]")).to_have_count(0)


# Without a mouse


def test_every_view_is_reached_walked_and_left_by_keys(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    tab.open()
    for key, view in enumerate(VIEWS, 1):
        tab.press(str(key))
        tab.wait_view(view)
        if view in ("fleet", "queue", "handoffs", "timeline"):
            _open_and_close(tab)
    tab.open("view=queue")
    tab.press_until("Tab", lambda: tab.focus == "Graph")
    tab.press("Enter")
    tab.page.locator("svg a.d-node").first.wait_for()
    tab.press_until("Tab", lambda: tab.page.evaluate("() => document.activeElement.matches('a.d-node')"))
    first = tab.focus
    tab.press("ArrowRight")
    assert tab.focus != first
    tab.press("Enter")
    tab.page.locator("#detail[open] #detail-title").wait_for()
    tab.press("Escape")
    tab.press("?")
    tab.page.locator("#help[open]").wait_for()
    tab.press("Escape")
    tab.page.locator("#help[open]").wait_for(state="detached")


def _open_and_close(tab: Tab) -> None:
    tab.press("ArrowDown")
    opened: str = tab.page.evaluate("() => document.activeElement.dataset.detail")
    tab.press("Enter")
    tab.page.locator("#detail[open] #detail-title").wait_for()
    assert tab.page.evaluate("() => new URLSearchParams(location.search).get('detail')") == opened
    tab.press("Escape")
    tab.page.locator("#detail[open]").wait_for(state="detached")
    assert tab.page.evaluate("() => document.activeElement.dataset.detail") == opened
