"""One tab of a browser on the console, which notes all that goes wrong in it and all that it asks for."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

WAIT_MS = 20_000
_AT = "() => ({...document.getElementById('part').dataset})"
_IS_AT = "([name, value]) => document.getElementById('part').dataset[name] === value"
_NOT_YET = "status of 503"
_BLANKS = re.compile(r"\s+")


class Tab:
    """A page of a project. `close` fails if anything was wrong that the test did not expect."""

    def __init__(self, context: BrowserContext, origin: str, project: str) -> None:
        self.origin = origin
        self.project = project
        self.faults: list[str] = []
        context.on("request", self._asked)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self._context = context

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def open(self, query: str = "", **params: Any) -> None:
        """Go to a view, and wait until it is live or, with `as_of`, at that moment."""
        told = "&".join(filter(None, (query, urlencode(params))))
        self.page.goto(f"{self.origin}/console/{self.project}?{told}")
        self.wait_state("frozen" if "as_of" in params else "live")

    def close(self) -> None:
        if any(_NOT_YET in each for each in self.faults):
            expect(self.page.locator("#trouble")).to_be_hidden()  # a busy machine's "not yet" is got over
            self.excuse(_NOT_YET, f"Error Code {_NOT_YET[-3:]}")
        self._context.close()
        assert not self.faults, self.faults

    def excuse(self, *parts: str) -> None:
        """Take back what the test itself brought about: a refusal, or a gateway that is away."""
        self.faults = [each for each in self.faults if not any(part in each for part in parts)]

    # What it shows

    @property
    def shown(self) -> dict[str, str]:
        """Of what and of when the view is: view, sequence, head, live, words."""
        told: dict[str, str] = self.page.evaluate(_AT)
        return told

    @property
    def sequence(self) -> int:
        return int(self.shown["sequence"])

    def texts(self, selector: str) -> list[str]:
        """What stands in each of these elements, blanks made one."""
        return [_BLANKS.sub(" ", text).strip() for text in self.page.locator(selector).all_inner_texts()]

    # Waiting

    def wait_sequence(self, sequence: int) -> None:
        self.page.wait_for_function(_IS_AT, arg=["sequence", str(sequence)])

    def wait_view(self, view: str) -> None:
        self.page.wait_for_function(_IS_AT, arg=["view", view])

    def wait_state(self, state: str) -> None:
        """Until the page says that it is live, frozen or lost."""
        self.page.wait_for_selector(f'#status[data-state="{state}"]')

    def wait_text(self, selector: str, text: str) -> None:
        self.page.locator(selector, has_text=text).first.wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def press_until(self, key: str, holds: Callable[[], bool], most: int = 40) -> None:
        """As somebody without a mouse does it: a key again and again until one is where one wants to be."""
        for _ in range(most):
            if holds():
                return
            self.press(key)
        raise AssertionError(f"{most} times {key} did not lead there; the focus is on {self.focus}")

    @property
    def focus(self) -> str:
        """What has the focus: its text, label or name."""
        told: str = self.page.evaluate(
            "() => { const e = document.activeElement;"
            " return (e.ariaLabel || e.innerText || e.name || e.dataset.detail || e.id).trim(); }"
        )
        return told

    def blur(self) -> None:
        self.page.evaluate("() => document.activeElement.blur()")
