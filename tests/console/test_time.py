"""The slider over everything: what is shown of a moment is what a replay says, however one got there."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.system import System
from tests.console.conftest import Open
from tests.console.tab import Tab
from tests.services.web import Web

TASK = "draft.ch02"
NOBODY = "\N{EN DASH}"


def activity(web: Web) -> Sequence[Any]:
    """Everything that happened up to now, the event with sequence n at n - 1."""
    last = web.get(f"/api/{web.project}/events?limit=500").json["result"][-1]["position"]
    told: list[Any] = web.get(f"/api/{web.project}/activity?limit=500&min_position={last}&wait_s=20").json[
        "result"
    ]
    return told[::-1]


@pytest.fixture
def events(novel: Web) -> Sequence[Any]:
    return activity(novel)


def drag_to(tab: Tab, sequence: int) -> None:
    """As a hand on the slider does it."""
    tab.page.locator("#slider").evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        sequence,
    )


def expect_moment(tab: Tab, events: Sequence[Any], sequence: int) -> None:
    tab.wait_sequence(sequence)
    expect(tab.page.locator("#moment-place")).to_have_text(f"#{sequence} of {len(events)}")
    expect(tab.page.locator("#moment-words")).to_have_text(events[sequence - 1]["words"])


def test_a_moment_shows_what_a_replay_of_the_log_shows(
    system: System, novel: Web, events: Sequence[Any], open_tab: Open
) -> None:
    sequence = next(n for n, each in enumerate(events, 1) if each["event"] == "task.completed") + 5
    views = [option for view in ("queue", "agents") for option in ("--view", view)]
    told = system.run(
        "--project", novel.project, "replay", "--until", f"#{sequence}", *views, "--limit", "500", "--json"
    )
    replayed = json.loads(told)
    tab = open_tab(novel)
    tab.open("view=queue&mode=list")
    drag_to(tab, sequence)
    expect_moment(tab, events, sequence)
    tab.wait_state("frozen")
    rows = tab.page.locator("#queue-rows .row")
    expect(rows).to_have_count(len(replayed["queue"]))
    shown = rows.evaluate_all(
        "rows => rows.map(row => [row.querySelector('a.task').dataset.detail,"
        " row.querySelector('.badge').className, row.children[4].innerText, row.children[6].innerText])"
    )
    assert {tuple(row) for row in shown} == {
        (f"task:{row['task']}", f"badge s-{row['status']}", row["holder"] or NOBODY,
         f"{row['attempt']}/{row['retry']['attempts']}")
        for row in replayed["queue"]
    }  # fmt: skip
    tab.press("1")
    tab.wait_view("fleet")
    assert tab.sequence == sequence
    agents = {row["agent"]: row for row in replayed["agents"]}
    assert {*tab.texts("table.fleet th a.agent")} == agents.keys()
    for name, row in agents.items():
        does = tab.page.locator(f'#agent-{name} [data-label="Does"]')
        expect(does).to_contain_text(row["doing"] or "idle")
        expect(tab.page.locator(f'#agent-{name} [data-label="Done"]')).to_have_text(str(row["completed"]))


def test_events_are_stepped_jumped_and_played_by_keys(
    novel: Web, events: Sequence[Any], open_tab: Open
) -> None:
    tab, head = open_tab(novel), len(events)
    tab.open("view=timeline")
    tab.press("ArrowLeft")
    expect_moment(tab, events, head - 1)
    first = tab.page.locator("#timeline-rows .row .title").first
    expect(first).to_have_text(events[head - 2]["words"])
    tab.press("ArrowLeft", "ArrowLeft")
    expect_moment(tab, events, head - 3)
    tab.press("ArrowRight")
    expect_moment(tab, events, head - 2)
    tab.page.locator("#slider").focus()
    tab.press("PageUp")
    expect_moment(tab, events, head - 102)
    tab.press("Home", "ArrowRight")
    expect_moment(tab, events, 1)
    tab.blur()
    tab.page.locator("#speed").select_option("s100")
    tab.page.locator("#slider").focus()
    tab.press("Space")
    expect(tab.page.locator("#play")).to_have_attribute("aria-label", "Pause")
    tab.page.wait_for_function("() => Number(document.getElementById('part').dataset.sequence) > 50")
    tab.wait_state("live")
    expect(tab.page.locator("#play")).to_have_attribute("aria-label", "Play")
    tab.wait_sequence(head)
    tab.press("ArrowLeft")
    tab.wait_state("frozen")
    tab.press("l")
    tab.wait_state("live")


def test_two_marks_show_what_differs_between_them_and_why(
    novel: Web, events: Sequence[Any], open_tab: Open
) -> None:
    claimed = next(
        each["sequence"] for each in events if (each["event"], each["entity"]) == ("task.claimed", TASK)
    )
    tab = open_tab(novel)
    tab.open("view=timeline", as_of=claimed - 1)
    tab.press("a", "ArrowRight")
    tab.wait_sequence(claimed)
    tab.press("b", "c")
    tab.wait_view("compare")
    assert f"a={claimed - 1}" in tab.page.url
    assert f"b={claimed}" in tab.page.url
    changed = tab.page.locator("li.d-changed", has_text=f"{TASK} went from queued to claimed")
    expect(changed).to_contain_text("ada")
    changed.locator("summary").first.click()
    fields = changed.locator("tr", has_text="status")
    expect(fields).to_contain_text("queued")
    expect(fields).to_contain_text("claimed")
    expect(changed.locator(f'a[data-detail="event:{claimed}"]')).to_be_visible()


def test_a_link_to_a_moment_opens_the_same_in_another_browser(
    novel: Web, events: Sequence[Any], open_tab: Open
) -> None:
    sequence = len(events) // 2
    origin = f"http://127.0.0.1:{novel.port}"
    mine = open_tab(novel)
    mine.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
    mine.open("view=queue&mode=list&status=completed")
    drag_to(mine, sequence)
    expect_moment(mine, events, sequence)
    mine.page.get_by_role("button", name="Copy a link to this moment").click()
    expect(mine.page.locator("#said")).to_have_text("Link copied")
    link = mine.page.evaluate("() => navigator.clipboard.readText()")

    theirs = open_tab(novel, "observer", "eve")
    theirs.page.goto(link)
    theirs.wait_state("frozen")
    assert theirs.shown == mine.shown
    assert theirs.texts("#queue-rows .row a.task") == mine.texts("#queue-rows .row a.task") != []
    assert theirs.page.url == link


def test_the_page_stays_where_it_was_put_while_more_happens(little: Web, open_tab: Open) -> None:
    tab = open_tab(little)
    tab.open("view=queue")
    head = tab.sequence
    slider = tab.page.locator("#slider")
    before = slider.bounding_box()
    tab.press("ArrowLeft")
    tab.wait_sequence(head - 1)
    assert slider.bounding_box() == before, "whoever drags it would lose it"
    little.post("task.enqueue", {"id": "t9", "title": "Name the islands"})
    expect(tab.page.locator("#moment-place")).to_have_text(f"#{head - 1} of {head + 1}")
    expect(tab.page.locator("#card-t2")).to_have_count(0)
    expect(tab.page.locator("#card-t9")).to_have_count(0)
    assert tab.sequence == head - 1
    tab.page.get_by_role("button", name="Live").click()
    expect(tab.page.locator("#card-t9")).to_be_visible()
    expect(tab.page.locator("#card-t2")).to_be_visible()


def test_the_past_can_be_forked_and_restored_and_nothing_else_be_done_to_it(
    little: Web, open_tab: Open
) -> None:
    tab = open_tab(little)
    tab.open("view=queue&detail=task:t1", as_of=3)
    tab.page.locator("#detail[open] #detail-title").wait_for()
    expect(tab.page.locator("#detail [data-do]")).to_have_count(0)
    tab.press("ArrowLeft")
    tab.wait_sequence(2)
    expect(tab.page.locator("#detail")).to_contain_text("There is no task t1")
    tab.press("ArrowRight")
    tab.wait_sequence(3)
    expect(tab.page.locator("#detail")).to_contain_text("Draft chapter one")
    tab.press("Escape")
    tab.page.get_by_role("button", name="Restore").click()
    expect(tab.page.locator("#confirm[open]")).to_contain_text("#3")
    tab.page.get_by_label("Reason").fill("t2 was a mistake")
    tab.press("Enter")
    tab.wait_state("live")
    expect(tab.page.locator("#card-t1")).to_be_visible()
    expect(tab.page.locator("#card-t2")).to_have_count(0)
    restored = [each["actor"] for each in activity(little) if each["event"] == "project.restored"]
    assert restored == ["operator"]
