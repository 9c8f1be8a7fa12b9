"""A list on the screen: a window of many rows, with a cursor that stays on its row while rows come and go.

It knows nothing of what the rows are. It draws those lines again whose text has changed, and no others.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

WHEEL_ROWS = 3
_CURSOR = Style(reverse=True)
_THUMB, _TRACK = "┃", " "


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Rows from the `first` on, of `total` that there are.

    `draw` makes a row into text of a width, `key` tells it from others. In a list that `follows`, the cursor
    stays on the first row when it is there. `nothing` is said if there is none.
    """

    rows: Sequence[Any]
    draw: Callable[[Any, int], Text]
    key: Callable[[Any], Hashable]
    first: int = 0
    total: int = 0
    follows: bool = False
    nothing: str = ""


@dataclass(frozen=True)
class Place:
    """Where a list stands: the row on top, and the one under the cursor."""

    top: int = 0
    cursor: int = 0


_NOTHING = Listing(rows=(), draw=lambda _, __: Text(), key=id)


class Lines(Widget, can_focus=True, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)"),
        Binding("down,j", "move(1)"),
        Binding("pageup,ctrl+b", "page(-1)"),
        Binding("pagedown,ctrl+f", "page(1)"),
        Binding("ctrl+home", "edge(0)"),
        Binding("ctrl+end", "edge(1)"),
        Binding("enter", "open"),
    ]

    class Opened(Message):
        """Somebody wants to know more of a row."""

        def __init__(self, row: Any) -> None:
            super().__init__()
            self.row = row

    class Moved(Message):
        """The cursor or the top has moved; what is shown may not all be there."""

    def __init__(self, *, id: str) -> None:  # noqa: A002  # as every widget has it
        super().__init__(id=id)
        self.listing = _NOTHING
        self.place = Place()
        self._drawn: list[Strip] = []

    @property
    def row(self) -> Any | None:
        """The row under the cursor, if it is there."""
        index = self.place.cursor - self.listing.first
        return self.listing.rows[index] if 0 <= index < len(self.listing.rows) else None

    @property
    def lacking(self) -> bool:
        """Whether rows that should be seen, or soon will be, are not there."""
        listing, height = self.listing, self.size.height
        last = min(self.place.top + height + height // 2, listing.total)
        first = max(self.place.top - height // 2, 0)
        return first < listing.first or last > listing.first + len(listing.rows)

    def show(self, listing: Listing, place: Place | None = None) -> None:
        """Show rows; at a new place, or with the cursor on the row on which it was."""
        wanted = place or self._moved_with(listing)
        self.listing = listing
        self._go(wanted.top, wanted.cursor)

    def repaint(self) -> None:
        """Draw again what has changed."""
        width, height = self.size
        strips = [self._strip(y, width) for y in range(height)]
        known = self._drawn
        changed = [y for y, strip in enumerate(strips) if y >= len(known) or known[y] != strip]
        self._drawn = strips
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        strips = self._drawn
        return strips[y] if y < len(strips) else Strip.blank(self.size.width, self.rich_style)

    def action_move(self, rows: int) -> None:
        self._go(self.place.top, self.place.cursor + rows, tell=True)

    def action_page(self, pages: int) -> None:
        rows = pages * max(self.size.height - 1, 1)
        self._go(self.place.top + rows, self.place.cursor + rows, tell=True)

    def action_edge(self, end: int) -> None:
        last = (self.listing.total - 1) * end
        self._go(last, last, tell=True)

    def action_open(self) -> None:
        if self.row is not None:
            self.post_message(self.Opened(self.row))

    def on_resize(self) -> None:
        self._drawn = []
        self._go(self.place.top, self.place.cursor, tell=True)

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        """The first click on a row goes there, the next one opens it."""
        clicked = self.place.top + event.y
        if clicked >= self.listing.total:
            return
        if clicked == self.place.cursor:
            self.action_open()
        else:
            self._go(self.place.top, clicked, tell=True)

    def on_mouse_scroll_down(self) -> None:
        self._scroll(WHEEL_ROWS)

    def on_mouse_scroll_up(self) -> None:
        self._scroll(-WHEEL_ROWS)

    def _scroll(self, rows: int) -> None:
        """Move the rows; the cursor stays on its own as long as that is seen."""
        top = self._top(self.place.top + rows)
        cursor = min(max(self.place.cursor, top), top + max(self.size.height - 1, 0))
        self._go(top, cursor, tell=True)

    def _go(self, top: int, cursor: int, *, tell: bool = False) -> None:
        """To a row that there is, and so that it is seen."""
        cursor = min(max(cursor, 0), max(self.listing.total - 1, 0))
        height = max(self.size.height, 1)
        top = self._top(min(max(top, cursor - height + 1), cursor))
        self.place = Place(top, cursor)
        self.repaint()
        if tell:
            self.post_message(self.Moved())

    def _top(self, top: int) -> int:
        return min(max(top, 0), max(self.listing.total - max(self.size.height, 1), 0))

    def _moved_with(self, listing: Listing) -> Place:
        """The place at which the row under the cursor is now; the screen stands still if it can."""
        place, row = self.place, self.row
        if row is None or (listing.follows and place.cursor == 0):
            return place
        key = self.listing.key(row)
        for index, each in enumerate(listing.rows, listing.first):
            if listing.key(each) == key:
                top = place.top + index - place.cursor if place.top else 0
                return Place(top, index)
        return place

    def _strip(self, y: int, width: int) -> Strip:
        listing, place = self.listing, self.place
        row = place.top + y
        index = row - listing.first
        if row >= listing.total:
            text = Text(listing.nothing if y == 1 and not listing.total else "", style="dim")
            strip = Strip(text.render(self.app.console)).adjust_cell_length(width)
            return strip.apply_style(self.rich_style)
        there = 0 <= index < len(listing.rows)
        text = listing.draw(listing.rows[index], width - 1) if there else Text("…", style="dim")
        strip = Strip(text.render(self.app.console)).adjust_cell_length(width - 1)
        if row == place.cursor and self.has_focus:
            strip = Strip([Segment(each.text, (each.style or Style()) + _CURSOR) for each in strip])
        return Strip([*strip, Segment(self._bar(y), Style(dim=True))], width).apply_style(self.rich_style)

    def _bar(self, y: int) -> str:
        """Which part of the list is seen."""
        total, height = self.listing.total, self.size.height
        if total <= height:
            return _TRACK
        length = max(height * height // total, 1)
        start = (height - length) * self.place.top // (total - height)
        return _THUMB if start <= y < start + length else _TRACK
