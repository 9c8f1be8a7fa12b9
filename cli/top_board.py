"""What is on the screen of `coordctl top`: it reads through a `Desk`, and draws. It knows no keys.

One question is asked at a time, and after each only what is wanted by then. When live, the screen follows new
events, twice a second at most.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import Worker

from cli import top_head, top_pages
from cli.output import clean
from cli.top_columns import COLUMNS, KEYS, WIDE, Scene, heading
from cli.top_columns import line as row_line
from cli.top_lines import Lines, Listing, Place
from domain.errors import CoordError
from projections.views import MAX_OFFSET_ROWS
from services.top.desk import Desk
from services.top.looks import Counts, Moment
from services.top.source import Chapter, Frame, Question, Source, Standing
from services.top.stories import Subject
from services.top.tabs import TABS, Choice, Tab

REFRESH_S = 0.5
"""The least time between two looks at what is live."""

TICK_S = 1.0
LEAST_ROWS = 100
MAX_TEXT_CHARS = 200


class Slider(Static):
    """The line on which the moment stands."""

    class Pointed(Message):
        """Somebody pointed at a place, as a share of the whole."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Pointed(min(max((event.x - 1) / max(self.size.width - 3, 1), 0.0), 1.0)))


class Picks(Static):
    """A line of things to click on: a click is as good as the key of what it hits."""

    def on_click(self, event: events.Click) -> None:
        key = event.style.meta.get("pick")
        if key is not None:
            self.app.simulate_key(key)


class Board(App[None]):
    """The lists and pages of one project at the moment `sequence`; None is now.

    `trail` leads from the list to the page that is open; `view_listed` says of which view the rows are that
    can be seen, which for a moment are still those of the list before.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Lines { height: 1fr; }
    #note { height: auto; max-height: 4; padding: 0 1; text-wrap: wrap; display: none; }
    #asking { height: 1; display: none; }
    #prompt { width: auto; }
    """

    def __init__(self, find: Callable[[], str], project: str, tab: Tab) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.project = project
        self.sequence: int | None = None
        self.playing_events_s: float | None = None
        self.tab_shown = tab
        self.chosen: dict[str, Choice] = {each.name: each.choices[0] for each in TABS}
        self.texts: dict[str, str] = {}
        self.trail: list[Subject] = []
        self.helping = False
        self.standing: Standing | None = None
        self.lost = ""
        self.desk = Desk(find, project)
        self.lines = Lines(id="list")
        self.moment = Moment()
        self.view_listed = ""
        self._counts: Counts = {}
        self._frame: Frame | None = None
        self._chapter: Chapter | None = None
        self._places: dict[object, Place] = {}
        self._arriving: Place | None = Place()
        self._put_texts: dict[str, Text] = {}
        self._wanted = False
        self._failed = False
        self._late = False
        self._loading: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="tallies")
        yield Slider(id="slider")
        yield Picks(id="tabs")
        yield Picks(id="choices")
        yield Static(id="heading")
        yield self.lines
        yield Static(id="note")
        yield Static(id="event")
        with Horizontal(id="asking"):
            yield Static(id="prompt")
            yield Input(id="ask", compact=True, max_length=MAX_TEXT_CHARS, select_on_focus=False)
        yield Static(id="keys")

    def on_mount(self) -> None:
        self.lines.focus()
        self.set_interval(TICK_S, self._tick)
        self.run_worker(self._follow())

    def on_unmount(self) -> None:
        self.desk.close()

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)
        self.want()

    def on_lines_moved(self) -> None:
        if self.frame is not None and self.lines.lacking:
            self.want()

    @property
    def choice(self) -> Choice:
        return self.chosen[self.tab_shown.name]

    @property
    def text(self) -> str:
        return self.texts.get(self.tab_shown.name, "")

    @property
    def head(self) -> int:
        """The sequence of the last event there is."""
        return self.standing.last.sequence if self.standing else 0

    @property
    def busy(self) -> bool:
        """Whether something is being read."""
        return self._loading is not None and not self._loading.is_finished

    def go(self, sequence: int | None) -> None:
        """To the moment right after an event, or to now."""
        if sequence is not None and self.head:
            sequence = min(max(sequence, 1), self.head)
        self.sequence = sequence if self.head else None
        self._show_head()
        self.want()

    def leave(self) -> None:
        """Before another list or page is shown: remember where this one stands."""
        if self._arriving is None:
            self._places[self._key()] = self.lines.place

    def arrive(self) -> None:
        """Show what is wanted now, where it stood before."""
        self._arriving = self._places.get(self._key(), Place())
        self._chapter = None
        self.show()
        self.want()

    def begin_anew(self) -> None:
        """Other rows of the same list."""
        self._arriving = Place()
        self._show_head()
        self.want()

    def tell(self, note: str) -> None:
        """A sentence below the list, until the next key."""
        if self.lines.is_attached:
            line = self.query_one("#note", Static)
            line.display = bool(note)
            line.update(Text(clean(note), style="bold yellow"))

    def want(self) -> None:
        """Have read what is to be shown now."""
        self._wanted = True
        if not self.busy:
            self._loading = self.run_worker(self._load())

    def show(self) -> None:
        """Draw again what time changes, or what has been read."""
        self._show_head()
        listing = self._listing() if self.lines.is_attached else None
        if listing is not None:
            place, self._arriving = self._arriving, None
            self.view_listed = "" if self.trail or self.helping else self.choice.view
            self.lines.show(listing, place)

    async def begin(self) -> None:
        """Called when the first has been heard of the project, and then again."""

    async def _follow(self) -> None:
        async with aclosing(self.desk.follow()) as told:  # type: ignore[type-var]  # it is a generator
            async for each in told:
                before = self.standing
                if isinstance(each, CoordError):
                    self.lost, self._failed = str(each), True
                else:
                    self.standing, self.lost = each, ""
                    await self.begin()
                    if self._failed or (self.sequence is None and each != before):
                        self.want()
                self._show_head()
                if self.standing != before:
                    await asyncio.sleep(REFRESH_S)

    async def _load(self) -> None:
        while self._wanted:
            self._wanted = False
            key = self._key()
            try:
                found = await self.desk.ask(self._question())
            except CoordError as error:
                self._failed = True  # it is asked again when the connection has been tried
                if self.standing is not None and not self.lost:
                    self.tell(str(error))
                self._show_unread()
                return
            self._failed = False
            if key == self._key():
                self._take(found)

    def _tick(self) -> None:
        """What time changes; a list that is long in coming takes the rows of the one before away."""
        self.show()
        late, self._late = self._late, self._arriving is not None
        if late and self._late:
            self._show_unread()

    def _show_unread(self) -> None:
        """No rows, rather than those of another list, below a heading whose own were not read."""
        if self.lines.is_attached and self._listing() is None:
            told = "This could not be read yet." if self._failed else "Reading …"
            self.view_listed = ""
            self.lines.show(Listing(rows=(), draw=top_pages.draw, key=id, nothing=told), Place())

    def _key(self) -> object:
        """Tells what is shown from what else could be."""
        if self.helping:
            return "help"
        return self.trail[-1] if self.trail else self.choice

    def _question(self) -> Callable[[Source], Frame | Chapter]:
        sequence = self.sequence
        if self.trail:
            subject = self.trail[-1]
            return lambda source: source.chapter(subject, sequence)
        place, height = self._arriving or self.lines.place, max(self.lines.size.height, 1)
        frame = self.frame if self._arriving is None else None
        grows = frame is not None and self.tab_shown.newest_first and place.cursor > 0
        question = Question(
            choice=self.choice,
            sequence=sequence,
            text=self.text,
            first=max(place.top - height, 0),
            limit=max(LEAST_ROWS, 3 * height),
            counted_from=frame.moment.sequence if frame is not None and grows else None,
        )
        return lambda source: source.frame(question)

    def _take(self, found: Frame | Chapter) -> None:
        """Show what was read; of a moment that was left meanwhile, too: it is on the way."""
        self.moment, self._counts = found.moment, found.counts
        if isinstance(found, Frame):
            self._frame = found
        else:
            self._chapter = found
        self.show()

    @property
    def frame(self) -> Frame | None:
        """What was read of the list, if it is the list that is shown."""
        frame = self._frame
        if frame is None or self.trail or self.helping or frame.question.choice != self.choice:
            return None
        return frame

    def _scene(self) -> Scene:
        now = datetime.now(UTC) if self.sequence is None else self.moment.at or datetime.now(UTC)
        tasks = self._frame.tasks if self._frame else {}
        return Scene(now=now, tasks=tasks, wide=self.size.width >= WIDE)

    def _show_head(self) -> None:
        if not self.lines.is_attached:  # the screen has gone
            return
        width = self.size.width
        state = top_head.State(
            project=self.project, now=datetime.now(UTC), sequence=self.sequence, moment=self.moment,
            standing=self.standing, speed=self.playing_events_s, lost=self.lost,
        )  # fmt: skip
        at = self.head if self.sequence is None else self.sequence
        deep = bool(self.trail) or self.helping
        names = ["help"] if self.helping else [_name(each) for each in self.trail]
        self.put("title", top_head.title(state, width))
        self.put("tallies", top_head.tallies(self._counts, width))
        self.put("slider", top_head.slider(at, self.head, width))
        self.put("tabs", top_head.tabs(self.tab_shown))
        choices = top_head.choices(self.tab_shown, self.choice, self.text, self.frame, width)
        self.put("choices", top_head.page_title(names, self._page_told(), width) if deep else choices)
        columns = COLUMNS[self.choice.view]
        self.put("heading", Text() if deep else heading(columns, width - 1, wide=width >= WIDE))
        event = Text(f" #{self.moment.sequence:,} {clean(self.moment.words)}", style="dim")
        self.put("event", event if self.moment.sequence else Text())
        self.put("keys", top_head.keys(self.tab_shown, deep=deep, live=self.sequence is None))

    def _page_told(self) -> str:
        """What the thing is called of which a page tells."""
        story = self._chapter.story if self._chapter and not self.helping else None
        return "" if story is None else str(story.row.get("title") or story.row.get("feature") or "")

    def put(self, name: str, text: Text) -> None:
        """Change a line, if it is not so already."""
        if self._put_texts.get(name) != text:
            self._put_texts[name] = text
            self.query_one(f"#{name}", Static).update(text, layout=False)

    def _listing(self) -> Listing | None:
        """The rows to show; None as long as they have not been read."""
        if self.helping:
            return _listing_of(top_pages.help_lines())
        if self.trail:
            return self._page(self.trail[-1])
        frame = self.frame
        if frame is None or frame.question.text != self.text:
            return None
        view, scene = self.choice.view, self._scene()
        columns, key = COLUMNS[view], KEYS[view]
        return Listing(
            rows=frame.rows,
            draw=lambda row, width: row_line(columns, row, scene, width),
            key=lambda row: tuple(row[name] for name in key),
            first=frame.first,
            total=min(frame.total, MAX_OFFSET_ROWS),
            follows=self.tab_shown.newest_first,
            nothing="There are none." if frame.moment.sequence else "Nothing has happened in this project.",
        )

    def _page(self, subject: Subject) -> Listing | None:
        chapter = self._chapter
        if chapter is None or (chapter.story is not None and chapter.story.subject != subject):
            return None
        if chapter.story is None:
            return Listing(rows=(), draw=top_pages.draw, key=id, nothing="It was not there at this moment.")
        return _listing_of(top_pages.page(chapter.story, self._scene(), self.size.width - 1))


def _listing_of(lines: list[top_pages.PageLine]) -> Listing:
    return Listing(rows=lines, draw=top_pages.draw, key=lambda line: line.number, total=len(lines))


def _name(subject: Subject) -> str:
    return f"event #{subject.id}" if subject.kind == "event" else f"{subject.kind} {subject.id}"
