"""For everyone: no barrier that axe-core knows of, in light and dark, on a phone; and pictures."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.acceptance.system import ROOT
from tests.console import axe, story
from tests.console.conftest import Open, caught_up
from tests.console.tab import Tab
from tests.services.web import Web

PHONE = ViewportSize(width=360, height=740)
PICTURES = ROOT / "docs" / "images"
ASKED = "COORD_SCREENSHOTS"
REST_S = 0.4
MOST_BYTES = 250_000


class Place:
    """Somewhere on the page that is to be looked at: an address, and what is there once it is shown."""

    def __init__(self, query: str, there: str, then: Callable[[Page], None] | None = None) -> None:
        self.query, self.there, self.then = query, there, then

    def show(self, tab: Tab) -> None:
        tab.open(self.query)
        tab.page.locator(self.there).first.wait_for(state="attached")  # level lines have no height
        if self.then is not None:
            self.then(tab.page)


def confirming(page: Page) -> None:
    page.locator('#detail [data-do="task.cancel"]').click()
    page.locator("#confirm[open]").wait_for()


def helping(page: Page) -> None:
    page.keyboard.press("?")
    page.locator("#help[open]").wait_for()


def frozen(page: Page) -> None:
    page.keyboard.press("ArrowLeft")
    page.locator('#status[data-state="frozen"]').wait_for()


PLACES = {
    "fleet": Place("view=fleet", "table.fleet"),
    "fleet, frozen": Place("view=fleet", "table.fleet", frozen),
    "board": Place("view=queue", ".board .card"),
    "list": Place("view=queue&mode=list", "#queue-rows .row"),
    "graph": Place("view=queue&mode=graph", "svg a.d-node"),
    "handoffs": Place("view=handoffs", "svg a.d-flow"),
    "timeline": Place("view=timeline", "#timeline-rows .row"),
    "learned": Place("view=learned", "#estimate-plot canvas"),
    "settings": Place("view=settings", "table.settings"),
    "compare": Place("view=compare&a=60&b=160", ".d-compare li"),
    "task": Place(f"view=queue&detail=task:{story.DOOMED}", "#detail[open] h3"),
    "agent": Place("view=fleet&detail=agent:ada", "#detail[open] h3"),
    "event": Place("view=timeline&detail=event:100", "#detail[open] h3"),
    "confirmation": Place(f"view=queue&detail=task:{story.DOOMED}", "#detail[open] h3", confirming),
    "help": Place("view=fleet", "table.fleet", helping),
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe.fetched(tmp_path_factory.mktemp("axe"))


@pytest.mark.parametrize("place", PLACES)
def test_no_place_keeps_anybody_out_in_light_or_dark(
    script: str, novel: Web, open_tab: Open, place: str
) -> None:
    tab = open_tab(novel, color_scheme="light", reduced_motion="reduce")
    PLACES[place].show(tab)
    assert axe.violations(tab.page, script) == []
    tab.page.emulate_media(color_scheme="dark")
    assert axe.violations(tab.page, script, "color-contrast") == []


def test_nobody_is_kept_out_before_they_are_in(script: str, novel: Web, little: Web, open_tab: Open) -> None:
    tab = open_tab(novel)
    assert little.project, "with one project alone, nobody is asked which"
    tab.page.goto(f"{tab.origin}/console")
    assert (axe.violations(tab.page, script), cut_off(tab)) == ([], 0)
    tab.page.get_by_role("link", name=novel.project, exact=True).click()
    tab.wait_state("live")
    tab.page.goto(f"{tab.origin}/console/{novel.project}?as_of=99999")
    assert (axe.violations(tab.page, script), cut_off(tab)) == ([], 0)
    tab.page.get_by_role("link", name="as it is now").click()
    tab.wait_state("live")
    tab.page.context.clear_cookies()
    tab.page.goto(f"{tab.origin}/console/{novel.project}")
    assert (axe.violations(tab.page, script), cut_off(tab)) == ([], 0)
    tab.page.get_by_label("Token").click()
    tab.page.keyboard.type(novel.operator)
    tab.page.get_by_role("button", name="Log in").click()
    tab.wait_state("live")
    tab.excuse("404")


def cut_off(tab: Tab) -> int:
    """How much of a page without a frame cannot be seen, in pixels."""
    hidden: int = tab.page.locator("main").evaluate("main => main.scrollHeight - main.clientHeight")
    return hidden


def test_every_place_fits_a_phone(novel: Web, open_tab: Open) -> None:
    tab, wide = open_tab(novel, viewport=PHONE, has_touch=True), {}
    for name, place in PLACES.items():
        place.show(tab)
        wide[name] = tab.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert {place: pixels for place, pixels in wide.items() if pixels > 0} == {}


def test_colours_follow_the_system_and_what_this_browser_is_to_have(novel: Web, open_tab: Open) -> None:
    tab = open_tab(novel, color_scheme="light")
    tab.open()
    light = background(tab)
    tab.page.emulate_media(color_scheme="dark")
    assert (dark := background(tab)) != light
    tab.page.locator("#theme").click()
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "light")
    assert background(tab) == light
    tab.page.locator("#theme").click()
    tab.page.emulate_media(color_scheme="light")
    assert background(tab) == dark
    tab.open("view=queue")
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "dark")
    assert background(tab) == dark


def background(tab: Tab) -> str:
    colour: str = tab.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return colour


def at_work(web: Web) -> int:
    """The sequence after which most agents were at something."""
    events = web.get(f"/api/{web.project}/activity?limit=500").json["result"]
    change = {"task.started": 1, "task.completed": -1, "task.failed": -1}
    many, most = 0, (0, 0)
    for each in reversed(events):
        many += change.get(each["event"], 0)
        most = max(most, (many, each["sequence"]))
    return most[1]


@pytest.fixture
def pictured(novel: Web) -> Web:
    """The project to take pictures of: where they are kept, one whose story took its time."""
    if os.environ.get(ASKED) != "1":
        return novel
    web = Web(novel.port, novel.data)
    web.project = "salt-cartographer"
    caught_up(web, story.tell(web, REST_S))
    return web


def test_pictures_of_it_are_small_enough_for_the_documentation(
    pictured: Web, open_tab: Open, tmp_path: Path
) -> None:
    folder = PICTURES if os.environ.get(ASKED) == "1" else tmp_path
    tab = open_tab(pictured, viewport={"width": 1400, "height": 820}, color_scheme="light")
    pictures = []
    for name, place in {"queue": "board", "graph": "graph", "time": "fleet"}.items():
        PLACES[place].show(tab)
        if name == "time":
            busy = at_work(pictured)
            tab.page.locator("#slider").fill(str(busy))
            tab.wait_sequence(busy)
            tab.blur()
        tab.page.evaluate("() => document.fonts.ready")
        path = folder / f"console-{name}.png"
        tab.page.screenshot(path=path, animations="disabled")
        pictures.append(path)
    assert [path.name for path in pictures if path.stat().st_size > MOST_BYTES] == []
