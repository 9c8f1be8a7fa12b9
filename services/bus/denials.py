"""What a NATS server denies a client, told to whoever waits for it: the server's word comes later, by itself.

The server names the subject, in its own letters and as it has mapped it. Pure.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from domain.errors import CoordError
from services.errors import NotAuthorized, NotPermitted
from services.writer.shards import mapped_subject

_DENIED = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]*)\"", re.IGNORECASE)
_TURNED_AWAY = ("authorization violation", "authentication expired", "authentication revoked")


def turned_away(why: str) -> bool:
    """Whether a server said that it does not let us in, or no more."""
    return any(each in why.lower() for each in _TURNED_AWAY)


class Denials:
    """Of one connection. `count` is how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self.identity = "This login"
        self._waiting: dict[str, dict[asyncio.Future[None], str]] = {}
        self._inbox = ""
        self._end: Callable[[], CoordError] | None = None

    @contextmanager
    def watching(self, subject: str, inbox: str) -> Iterator[asyncio.Future[None]]:
        """A future that fails with NotPermitted when this request, or hearing its answer, is denied."""
        denied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._end is not None:
            denied.set_exception(self._end())
        self._inbox = inbox.lower()
        names = {subject.lower(), mapped_subject(subject).lower()}
        for name in names:
            self._waiting.setdefault(name, {})[denied] = subject
        try:
            yield denied
        finally:
            for name in names:
                del self._waiting[name][denied]
                if not self._waiting[name]:
                    del self._waiting[name]
            if not denied.cancel():
                denied.exception()  # it may have come when nobody waited any more

    def take(self, error: Exception) -> NotPermitted | None:
        """The denial that an error of the connection tells of, if it does; whoever waits for it is told."""
        found = _DENIED.search(str(error))
        if found is None:
            return None
        self.count += 1
        listening, subject = found[1].lower() == "subscription", found[2].lower()
        denial = self._denial("subscribe to" if listening else "publish to", found[2])
        if listening and self._inbox and subject.startswith(self._inbox):
            self._refuse_all(lambda: self._denial("subscribe to", found[2]))
        elif not listening:
            for future, asked in self._waiting.get(subject, {}).items():
                if not future.done():
                    future.set_exception(self._denial("publish to", asked))
        return denial

    def shut_out(self, why: str) -> NotAuthorized:
        """The server lets us in no more: until it does, nobody gets an answer."""
        self.count += 1
        said = why.removeprefix("nats: ").strip("'")

        def end() -> NotAuthorized:
            return NotAuthorized(identity=self.identity, why=said)

        self._refuse_all(end)
        return end()

    async def let_in(self) -> None:
        """The server has let us in again."""
        self._end = None

    def _denial(self, what: str, subject: str) -> NotPermitted:
        return NotPermitted(identity=self.identity, what=what, subject=subject)

    def _refuse_all(self, end: Callable[[], CoordError]) -> None:
        """Each gets an error of its own: one that is raised twice would tell of both."""
        self._end = end
        for future in {each for waiting in self._waiting.values() for each in waiting}:
            if not future.done():
                future.set_exception(end())
