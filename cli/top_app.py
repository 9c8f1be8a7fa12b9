"""The application `coordctl top`: what keys and the mouse do on the board."""

from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input

from cli.top_board import Board, Slider
from cli.top_lines import Lines
from cli.top_pages import PageLine
from domain.errors import CoordError
from services.top.stories import Kind, Subject
from services.top.tabs import TABS, Tab

PLAY_S = 0.25
SPEEDS_EVENTS_S = (1, 2, 5, 10, 25, 50, 100, 250, 1_000, 10_000)
FIRST_SPEED = SPEEDS_EVENTS_S.index(5)
MANY_EVENTS = 100

_FIND, _GO = "find", "go to"
_NOW = "now"
_KINDS: dict[str, tuple[Kind, str]] = {
    "agents": ("agent", "agent"), "queue": ("task", "task"), "handoffs": ("handoff", "handoff"),
    "activity": ("event", "sequence"), "failures": ("failure", "failure"),
    "estimates": ("estimate", "estimate"), "retros": ("retro", "retro"), "memories": ("memory", "memory"),
    "decisions": ("decision", "decision"), "spikes": ("spike", "spike"), "patterns": ("pattern", "pattern"),
}  # fmt: skip
"""Of what a row of a view tells, and in which column it is named. Rows of others have no story."""


class Top(Board):
    """The board with its keys. `until` is a POINT at which it begins, if not live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,comma", "step(-1)"),
        Binding("right,full_stop", "step(1)"),
        Binding("shift+left,less_than_sign", f"step({-MANY_EVENTS})"),
        Binding("shift+right,greater_than_sign", f"step({MANY_EVENTS})"),
        Binding("home", "beginning"),
        Binding("end", "live"),
        Binding("space", "play"),
        Binding("plus,equals_sign", "faster(1)"),
        Binding("minus", "faster(-1)"),
        Binding("g", f"ask('{_GO}')"),
        Binding("slash", f"ask('{_FIND}')"),
        Binding("question_mark", "help"),
        Binding("escape", "out"),
        Binding("tab", "next_tab(1)", priority=True),
        Binding("shift+tab", "next_tab(-1)", priority=True),
        Binding("q", "quit"),
        Binding("ctrl+c", "quit", priority=True),
        *(Binding(str(number), f"tab({number - 1})") for number in range(1, len(TABS) + 1)),
    ]

    def __init__(
        self, find: Callable[[], str], project: str, tab: Tab = TABS[0], until: str | None = None
    ) -> None:
        super().__init__(find, project, tab)
        self._begin_at = until
        self._asked = ""
        self._speed = FIRST_SPEED
        self._due_events = 0.0

    def on_mount(self) -> None:
        self.set_interval(PLAY_S, self._play_on)

    def action_step(self, by: int) -> None:
        self._stop()
        at = self.head if self.sequence is None else self.sequence
        self.go(None if by > 0 and at >= self.head else at + by)

    def action_beginning(self) -> None:
        self._stop()
        self.go(1)

    def action_live(self) -> None:
        self._stop()
        self.go(None)

    def action_play(self) -> None:
        if self.playing_events_s is not None:
            self._stop()
        elif self.sequence is None:
            self.tell("Nothing to play: this is live. Go back first, with ← or Home.")
        else:
            self.playing_events_s, self._due_events = SPEEDS_EVENTS_S[self._speed], 0.0
        self.show()

    def action_faster(self, steps: int) -> None:
        self._speed = min(max(self._speed + steps, 0), len(SPEEDS_EVENTS_S) - 1)
        if self.playing_events_s is not None:
            self.playing_events_s = SPEEDS_EVENTS_S[self._speed]
        self.tell(f"Space plays {SPEEDS_EVENTS_S[self._speed]:,} events a second.")

    def action_tab(self, number: int) -> None:
        self._end_asking()
        self.leave()
        self.helping, self.trail, self.tab_shown = False, [], TABS[number]
        self.arrive()

    def action_next_tab(self, steps: int) -> None:
        self.action_tab((TABS.index(self.tab_shown) + steps) % len(TABS))

    def action_choose(self, key: str) -> None:
        found = next((each for each in self.tab_shown.choices if each.key == key), None)
        if found is not None and not self.trail and not self.helping:
            self.chosen[self.tab_shown.name] = found
            self.begin_anew()

    def action_help(self) -> None:
        self.leave()
        self.helping = not self.helping
        self.arrive()

    def action_out(self) -> None:
        if self._asked:
            searching = self._asked == _FIND
            self._end_asking()
            if searching:
                self._search("")
        elif self.helping:
            self.action_help()
        elif self.trail:
            self.leave()
            self.trail = self.trail[:-1]
            self.arrive()
        elif self.text:
            self._search("")

    def action_ask(self, what: str) -> None:
        """Have something typed: a text to find, or a point to go to."""
        if what == _FIND and (self.trail or self.helping or not self.tab_shown.searched):
            self.tell(
                "The queue, the timeline, what was learned and what is known can be searched, as lists."
            )
            return
        self._asked = what
        ask = self.query_one("#ask", Input)
        ask.value = self.text if what == _FIND else ""
        ask.placeholder = (
            "" if what == _FIND else "#56, 1234, 2026-11-21T14:03, 5 minutes ago, a bookmark, now"
        )
        self.put("prompt", Text(f" {what}: ", style="bold"))
        self._show_asking(shown=True)
        ask.focus()

    def on_key(self, event: events.Key) -> None:
        """A letter may choose rows."""
        self.tell("")
        if event.character and not self._asked:
            self.action_choose(event.character)

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._asked == _FIND:
            self._search(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        going = self._asked == _GO
        self._end_asking()
        if going and event.value.strip():
            await self._go_to(event.value.strip())

    def on_slider_pointed(self, event: Slider.Pointed) -> None:
        self._stop()
        self.go(None if event.share >= 1 else round(event.share * self.head))

    def on_lines_opened(self, event: Lines.Opened) -> None:
        subject = self._subject(event.row)
        if subject is not None:
            self.leave()
            self.trail = [*self.trail, subject]
            self.arrive()

    async def begin(self) -> None:
        """At the moment that was asked for, as soon as there is something to read."""
        if self._begin_at is not None:
            point, self._begin_at = self._begin_at, None
            await self._go_to(point)

    async def _go_to(self, point: str) -> None:
        self._stop()
        if point.casefold() == _NOW:
            self.go(None)
            return
        try:
            self.go(await self.desk.ask(lambda source: source.find(point)))
        except CoordError as error:
            self.tell(str(error))

    def _search(self, text: str) -> None:
        if text != self.text:
            self.texts[self.tab_shown.name] = text
            self.begin_anew()

    def _end_asking(self) -> None:
        self._asked = ""
        self._show_asking(shown=False)
        self.lines.focus()

    def _show_asking(self, *, shown: bool) -> None:
        self.query_one("#asking").display = shown
        self.query_one("#event").display = not shown

    def _stop(self) -> None:
        self.playing_events_s = None

    def _play_on(self) -> None:
        """Go on by what is due; what cannot be read that fast is passed over."""
        if self.playing_events_s is None or self.sequence is None:
            return
        self._due_events += self.playing_events_s * PLAY_S
        if self.busy or self._due_events < 1:
            return
        by, self._due_events = int(self._due_events), self._due_events % 1
        if self.sequence + by >= self.head:
            self._stop()
        self.go(self.sequence + by)

    def _subject(self, row: Any) -> Subject | None:
        """What a row tells of."""
        if isinstance(row, PageLine):
            return row.leads
        if self.view_listed not in _KINDS:
            return None
        kind, column = _KINDS[self.view_listed]
        return Subject(kind, str(row[column]))
