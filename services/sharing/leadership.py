"""One works, the others stand by: leadership as the only lot of its kind. Takes a lock; writes nothing."""

import threading
from time import monotonic

from services.log.database import LogUnavailable
from services.sharing.shares import Session, Shares

LOOK_S = 0.25


class Leadership:
    """The right to be the one that works while others stand by, held by a session (see `shares`).

    It goes with the session: at once when this process dies, and after a while when it is only paused. Who
    has lost it may go on for a moment: what is done under it must be fenced by other means. `release` at the
    end, and use another then.
    """

    def __init__(self, url: str, key: str) -> None:
        self._shares = Shares(url, key, 1, key.replace(".", "-"))
        self._session: Session | None = None
        self._released = threading.Event()

    def acquire(self, timeout_s: float) -> bool:
        """Wait until the right is ours (true), as long as the timeout allows. Raises LogUnavailable."""
        deadline = monotonic() + timeout_s
        while not self.is_held():
            if self._shares.look().free:
                self._session = self._shares.take(0)
                continue
            left_s = deadline - monotonic()
            if left_s <= 0 or self._released.wait(min(left_s, LOOK_S)):
                return False
        return True

    def is_held(self) -> bool:
        """Whether the right is still ours, as far as the database can be asked."""
        if self._session is None:
            return False
        try:
            self._session.check()
        except LogUnavailable:
            return False
        return True

    def release(self) -> None:
        """Let another have it."""
        self._released.set()
        if self._session is not None:
            self._session.close()
        self._shares.close()
