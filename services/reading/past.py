"""Views as they were at a point that somebody names: one answer for every door.

It reads the log and the read models of the past, and changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any, LiteralString

from msgspec import Struct

from domain.catalog import EVENTS, upcast
from domain.errors import CoordError
from services.errors import RETRY_AFTER_S, BadInput
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.learned import timed_at
from services.reading.points import parse_point, resolve, time_of
from services.reading.reads import Item, parse, refusing
from services.reading.travel import DATED, Travel

MAX_LOOKS = 4
"""How many are under way at once: a look may take long, and the threads of a door are for the present too."""

TURN_TIMEOUT_S = 2.0
STATEMENT_TIMEOUT_S = 30
_BOUNDED: LiteralString = f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'"

Measured = Callable[[], AbstractContextManager[None]]
"""Goes around each look at the past, to measure it."""


class TooManyLooks(CoordError):
    code = "busy"
    says = "{waiting} looks at the past are under way here, the limit; try again in {retry_after_s} s."
    retryable = True


class Moment(Struct, frozen=True):
    """What a point means: the position of the last event that it includes; the time it names, if any."""

    position: int
    time: datetime | None = None


class Past:
    """Answers for one database; safe to use from several threads."""

    def __init__(
        self,
        url: str,
        log: EventLog,
        measured: Measured = nullcontext,
        *,
        turn_timeout_s: float = TURN_TIMEOUT_S,
    ) -> None:
        self._turns = BoundedSemaphore(MAX_LOOKS)
        self._turn_timeout_s = turn_timeout_s
        self._url = url
        self._log = log
        self._measured = measured
        self._codec = Codec(EVENTS, upcast)

    def view(
        self, project: str, view: str, as_of: str | Moment, params: Mapping[str, Any]
    ) -> tuple[Moment, list[Item]]:
        """The moment that is meant, and the rows of a view as they were then.

        Raises UnknownView, BadInput, BadPoint, PointNotReached, UnknownBookmark, NotFound, Unavailable or
        TooManyLooks.
        """
        check_dated(view, params, as_of)
        with self.travel() as travel:
            moment = self._moment(travel, project, as_of) if isinstance(as_of, str) else as_of
            asked = {**timed_at(view, moment.time), **params}
            return moment, travel.view(project, view, moment.position, asked)

    @contextmanager
    def travel(self) -> Iterator[Travel]:
        """The way to more than a view; all that is done with it is one look. Raises TooManyLooks."""
        if not self._turns.acquire(timeout=self._turn_timeout_s):
            raise TooManyLooks(waiting=MAX_LOOKS, retry_after_s=RETRY_AFTER_S)
        try:
            with self._measured(), refusing(), connected(self._url) as connection:
                connection.execute(_BOUNDED)
                yield Travel(self._log, self._codec, connection)
        finally:
            self._turns.release()

    def _moment(self, travel: Travel, project: str, as_of: str) -> Moment:
        point, now = parse_point(as_of), datetime.now(UTC)
        return Moment(resolve(point, self._log, travel, project, now), time_of(point, now))


class Then:
    """A project as it was at one moment, asked as `Reads` is: for several views that belong together."""

    def __init__(self, past: Past, as_of: str) -> None:
        self._past = past
        self._as_of: str | Moment = as_of

    def read(self, project: str, view: str, params: Mapping[str, Any] | None = None) -> list[Item]:
        """The rows of a view. Raises what Past.view does."""
        self._as_of, rows = self._past.view(project, view, self._as_of, params or {})
        return rows


def check_dated(view: str, params: Mapping[str, Any], as_of: str | Moment) -> None:
    """Raises UnknownView, or BadInput if the view has no past, the point is too long or a parameter wrong."""
    parse(view, {**params, "as_of": as_of} if isinstance(as_of, str) else params)
    if view not in DATED:
        raise BadInput(verb=f"view {view}", why=f"it has no past; `as_of` is for {', '.join(sorted(DATED))}")
