"""Who sits before the console: one-time codes, and the sessions that cookies stand for.

A session stands for a token: it ends with it, and may do what it may. `gateway/console.json` in the data
directory has the SHA-256 of every code and session, so that they outlive the gateway and are known to others
beside it; where that cannot be written they are kept in memory alone. Touches that file.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from services.files import write_private
from services.gateway.denials import Unauthenticated
from services.gateway.entry import Entry, Holder
from services.gateway.tokens import SECRET_BYTES, Tokens

RECORD = "console.json"
CODE_LIFE_S = 60
SESSION_LIFE_S = 12 * 3_600
MAX_KEPT = 1_000
"""Codes and sessions together; the oldest go first."""

Kind = Literal["code", "session"]

logger = logging.getLogger(__name__)


class Kept(Struct, frozen=True, kw_only=True):
    """A code or a session; `digest` is SHA-256 of its secret in hex, `token` the id of what it stands for."""

    digest: str
    kind: Kind
    token: str
    actor: str
    until: datetime


class Sessions:
    """Gives out codes and sessions, and says whom they stand for."""

    def __init__(self, tokens: Tokens, entry: Entry) -> None:
        self._tokens = tokens
        self._entry = entry
        self._path = tokens.folder / RECORD if tokens.folder else None
        self._seen: tuple[int, int] | None = None
        self._kept: dict[str, Kept] = {}

    def code(self, holder: Holder) -> str:
        """A code that begins one session within CODE_LIFE_S."""
        return self._issue("code", holder, CODE_LIFE_S)

    def redeem(self, code: str) -> Holder:
        """Whom a code stands for; it is good for nothing after that. Raises Unauthenticated."""
        digest, kept = _digest(code), None
        if digest in self._current():
            with self._changing() as known:
                kept = known.pop(digest, None)
        return self._stands_for("code", kept)

    def begin(self, holder: Holder) -> str:
        """The secret of a new session."""
        return self._issue("session", holder, SESSION_LIFE_S)

    def holder(self, secret: str | None) -> Holder:
        """Who it is that sent this cookie: one request more of its token's.

        Raises Unauthenticated, TokenExpired, TokenRevoked or RateLimited.
        """
        if not secret:
            raise Unauthenticated(why="You are not logged in")
        holder = self.check(secret)
        self._entry.readmit(holder)
        return holder

    def check(self, secret: str) -> Holder:
        """Who it is that sent this cookie, while nothing is asked for. Raises what `holder` does."""
        return self._stands_for("session", self._current().get(_digest(secret)))

    def end(self, secret: str) -> None:
        """From now on the session opens nothing."""
        digest = _digest(secret)
        if digest in self._current():
            with self._changing() as known:
                known.pop(digest, None)

    def _issue(self, kind: Kind, holder: Holder, life_s: int) -> str:
        secret, now = secrets.token_urlsafe(SECRET_BYTES), datetime.now(UTC)
        kept = Kept(
            digest=_digest(secret), kind=kind, token=holder.token.id, actor=holder.actor,
            until=now + timedelta(seconds=life_s),
        )  # fmt: skip
        with self._changing() as known:
            known[kept.digest] = kept
            for old in [each.digest for each in known.values() if each.until <= now]:
                del known[old]
            for old in [*known][:-MAX_KEPT]:
                del known[old]
        return secret

    def _stands_for(self, kind: Kind, kept: Kept | None) -> Holder:
        if kept is None or kept.kind != kind or kept.until <= datetime.now(UTC):
            raise Unauthenticated(why="This login is over" if kind == "session" else "The code is used up")
        for token in self._tokens.all():
            if token.id == kept.token:
                self._tokens.check(token)
                return Holder(kept.actor, token)
        raise Unauthenticated(why="The token of this login is gone")

    def _current(self) -> dict[str, Kept]:
        """What the file holds; what this process knows where there is none."""
        if self._path is None:
            return self._kept
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if seen != self._seen:
                kept = msgspec.json.decode(self._path.read_bytes(), type=list[Kept])
                self._kept = {each.digest: each for each in kept}
                self._seen = seen
        except FileNotFoundError:
            if self._seen is not None:
                self._kept, self._seen = {}, None
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("%s cannot be read, so everybody must log in again: %s", self._path, error)
        return self._kept

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Kept]]:
        """What is kept, to be changed in place, by one process at a time."""
        with self._alone():
            known = dict(self._current())
            yield known
            self._kept = known
            if self._path is not None:
                try:
                    write_private(self._path, msgspec.json.encode([*known.values()]))
                except OSError as error:
                    logger.warning("logins are kept in memory alone: %s", error)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = _locked(self._path)
        try:
            yield
        finally:
            if lock is not None:
                os.close(lock)


def _locked(path: Path | None) -> int | None:
    """A lock beside the file; none where nothing can be written, as then no other process can either."""
    if path is None:
        return None
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
