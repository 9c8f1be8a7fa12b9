"""Lists over HTTP: a view's rows now or at any point, page by page, all pages of one list from one moment.

The first page says what is true now. When there is more, the list is told as it was at the position then
reached, and the cursor names that position: whatever changes meanwhile, no row comes twice and none is
missed. Reads the read models and the log; changes nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from services.errors import BadInput, UnknownView
from services.gateway.denials import BadCursor
from services.landing.params import LANDING_VIEWS
from services.reading.past import Moment, Past, check_dated
from services.reading.reads import Item, Reads, parse, view_names
from services.reading.travel import DATED as PAST_VIEWS
from services.recall.params import VIEW as RECALL

EVENTS_VIEW = "events"
PROJECTS_VIEW = "projects"
LIMIT_ROWS = 100
MAX_LIMIT_ROWS = 1_000
ELSEWHERE = frozenset({RECALL, *LANDING_VIEWS})
"""What is answered elsewhere, the past as well."""

DATED = PAST_VIEWS | ELSEWHERE
_OWN = ("as_of", "cursor", "limit")


class Cursor(Struct, frozen=True, array_like=True):
    """Where a list goes on: after so many rows as of a position; of events, after a sequence.

    `time` is that which the point of the list named when its first page was told.
    """

    list: str
    position: int
    done: int
    time: datetime | None = None

    @property
    def moment(self) -> Moment:
        return Moment(self.position, self.time)


class Page(Struct, frozen=True, kw_only=True):
    """A page of a list; `next` is the cursor of the one after it, or null if this is the last.

    `position` is that of the last event which the rows include.
    """

    position: int
    result: list[Item]
    next: str | None = None


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of a list; `params` are the view's own."""

    project: str
    view: str
    params: dict[str, Any]
    limit: int = LIMIT_ROWS
    as_of: str | None = None
    cursor: Cursor | None = None

    @property
    def looks_back(self) -> bool:
        """Whether it asks for the past, as later pages do: they tell of the first one's moment."""
        return self.view in PAST_VIEWS and (self.as_of is not None or self.cursor is not None)

    @property
    def list(self) -> str:
        """Tells this list from others: a cursor is good for its own alone."""
        told = msgspec.json.encode([self.project, self.view, self.as_of, sorted(self.params.items())])
        return blake2b(told, digest_size=8).hexdigest()

    def after(self, moment: Moment, done: int) -> str:
        """The cursor of what follows."""
        content = msgspec.json.encode(Cursor(self.list, moment.position, done, moment.time))
        return urlsafe_b64encode(content).decode().rstrip("=")


def question(project: str, view: str, given: Mapping[str, str]) -> Question:
    """What the query of a URL asks for. Raises UnknownView, BadInput or BadCursor."""
    if view not in view_names():
        raise UnknownView(view=view, views=", ".join(view_names()))
    if "offset" in given:
        raise BadInput(verb=f"view {view}", why="lists go on by `cursor`, not by `offset`")
    params: dict[str, Any] = {name: value for name, value in given.items() if name not in _OWN}
    as_of = given.get("as_of")
    if as_of is not None and view not in ELSEWHERE:
        check_dated(view, params, as_of)
    asked = Question(project=project, view=view, params=params, limit=_limit(given, view), as_of=as_of)
    cursor = _read_cursor(given["cursor"]) if "cursor" in given else None
    if cursor is not None and cursor.list != asked.list:
        raise BadCursor
    _check(view, params)
    return msgspec.structs.replace(asked, cursor=cursor)


def _check(view: str, params: Mapping[str, str]) -> None:
    """Raises BadInput, also for the word null and for a time that is a number."""
    found = parse(view, params)
    for name, text in params.items():
        value = getattr(found, name)
        if value is None:
            raise BadInput(verb=f"view {view}", why=f"`{name}` has no value; leave it out")
        if isinstance(value, datetime) and ":" not in text:
            raise BadInput(verb=f"view {view}", why=f"`{name}` is a time as in 2026-11-21T14:03:00Z")


def search(asked: Question, given: Mapping[str, str]) -> dict[str, Any]:
    """What a question to the recall service says there. Raises BadInput."""
    limit = {"limit": asked.limit} if "limit" in given else {}
    as_of = {} if asked.as_of is None else {"as_of": asked.as_of}
    params = {**asked.params, **as_of, **limit}
    parse(asked.view, params)
    return params


class Lists:
    """Answers questions; safe to use from several threads."""

    def __init__(self, reads: Reads, past: Past) -> None:
        self._reads = reads
        self._past = past

    def answer(self, asked: Question) -> Page:
        """One page. Raises what Reads.read and Past.view do."""
        if asked.view == EVENTS_VIEW:
            return self._events(asked)
        if asked.view not in PAST_VIEWS:
            return self._now(asked)
        if asked.cursor is not None:
            return self._then(asked, asked.cursor.moment, asked.cursor.done)
        if asked.as_of is not None:
            return self._then(asked, asked.as_of, 0)
        now, page = datetime.now(UTC), self._now(asked)
        return page if page.next is None else self._then(asked, Moment(page.position, now), 0)

    def _now(self, asked: Question) -> Page:
        """The first page, or any of a list without a past: those are in the order of names."""
        done = asked.cursor.done if asked.cursor else 0
        position = self._reads.visible()
        rows = self._reads.read(asked.project, asked.view, _cut(asked, done))
        wanted = parse(asked.view, asked.params).min_position
        return _page(asked, rows, Moment(max(position, wanted)), done)

    def _then(self, asked: Question, as_of: str | Moment, done: int) -> Page:
        moment, rows = self._past.view(asked.project, asked.view, as_of, _cut(asked, done))
        return _page(asked, rows, moment, done)

    def _events(self, asked: Question) -> Page:
        """By sequence: events do not change, so there is always a next page, and an empty one is the end."""
        params = {**asked.params, "limit": asked.limit}
        if asked.cursor is not None:
            params["after"] = asked.cursor.done
        rows = self._reads.read(asked.project, asked.view, params)
        if not rows:
            return Page(position=self._reads.visible(), result=[])
        last = rows[-1]
        return Page(position=last["position"], result=rows, next=asked.after(Moment(0), last["sequence"]))


def _cut(asked: Question, done: int) -> dict[str, Any]:
    """The view's parameters, for the rows of a page and one more."""
    return {**asked.params, "limit": asked.limit + 1, "offset": done}


def _page(asked: Question, rows: list[Item], moment: Moment, done: int) -> Page:
    """The rows that were asked for, of one more than that."""
    more = len(rows) > asked.limit
    cursor = asked.after(moment, done + asked.limit) if more else None
    return Page(position=moment.position, result=rows[: asked.limit], next=cursor)


def _limit(given: Mapping[str, str], view: str) -> int:
    text = given.get("limit", str(LIMIT_ROWS))
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:9]) <= MAX_LIMIT_ROWS:
        raise BadInput(verb=f"view {view}", why=f"`limit` is a number from 1 to {MAX_LIMIT_ROWS}")
    return int(text)


def _read_cursor(text: str) -> Cursor:
    try:
        content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.json.decode(content, type=Cursor)
    except (Base64Error, msgspec.DecodeError, RecursionError, UnicodeError, ValueError) as error:
        raise BadCursor from error
    if not (0 <= cursor.position < 2**63 and 0 <= cursor.done < 2**63):
        raise BadCursor
    return cursor
