"""A browser before the console of a system that is up, once for each file of tests.

Chromium is the distribution's. Playwright keeps an event loop of its own in the thread as long as it runs, so
it runs no longer than a file, and whoever needs `asyncio.run` meanwhile takes another thread.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from services.access.roles import Role
from tests.acceptance.system import System, running
from tests.conftest import temporary_data
from tests.console import story
from tests.console.tab import Tab
from tests.needs import needs_program
from tests.services.web import Web

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
SIZE = {"width": 1280, "height": 800}
Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = needs_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def system(browser: Browser) -> Iterator[System]:
    """A system that is up, if there is a browser to look at it."""
    with temporary_data() as folder, running(folder) as system:
        yield system


@pytest.fixture(scope="module")
def novel(system: System) -> Web:
    """A client of the project whose story is told; it stays as it is."""
    web = client(system, story.PROJECT)
    caught_up(web, story.tell(web))
    return web


@pytest.fixture
def little(system: System) -> Web:
    """A client of a project of the test's own, with an agent and three tasks."""
    web = client(system)
    web.post("agent.spawn", {"agent": "ada", "persona": "writing"})
    for number, title in enumerate(("Outline act one", "Draft chapter one", "Read it aloud")):
        last = web.post("task.enqueue", {"id": f"t{number}", "title": title})
    caught_up(web, last.json["position"])
    return web


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Open]:
    """Opens tabs that are logged in; afterwards none of them may have seen a fault or asked elsewhere."""
    tabs: list[Tab] = []

    def opened(web: Web, role: Role = "operator", actor: str = "operator", **options: object) -> Tab:
        context = browser.new_context(**{"viewport": SIZE, **options})  # type: ignore[arg-type]  # any option
        tab = Tab(context, f"http://127.0.0.1:{web.port}", web.project)
        tabs.append(tab)
        shown = web.operator if role == "operator" else web.token(actor, role)
        context.request.post(
            f"{tab.origin}/console/login", form={"token": shown, "next": ""}, max_redirects=0
        )
        return tab

    yield opened
    for tab in tabs:
        tab.close()


def client(system: System, project: str = "") -> Web:
    port = urlsplit(system.state["http_url"]).port
    assert port is not None
    web = Web(port, system.data)
    web.project = project or web.project
    return web


def caught_up(web: Web, position: int) -> None:
    """Wait until the read models have what is in the log up to there."""
    assert web.get(f"/api/{web.project}/counts?min_position={position}").status == 200
