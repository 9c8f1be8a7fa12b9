"""Bearer tokens: `gateway/tokens.json` in the data directory, and who somebody is who shows one.

A token is `coord_<id>_<secret>`. Only SHA-256 of the secret is kept: 256 random bits cannot be guessed
however fast the hash is, so a slow one, which is for passwords, would only be a burden to every request. The
file is looked at before each answer and read again when it was replaced, so what is revoked is so at once.
Touches its folder and the operator's token in `credentials`.
"""

import fcntl
import logging
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from services.access.roles import EVERY, LOCAL_OPERATOR, Role
from services.bus.wire import check_name
from services.files import write_private
from services.gateway.denials import (
    PublicWithoutTokens,
    TokenExpired,
    TokenRevoked,
    TokensUnreadable,
    TooManyTokens,
    Unauthenticated,
    UnknownToken,
)

FOLDER = "gateway"
RECORD = "tokens.json"
OPERATOR_FILE = Path("credentials") / "operator.token"
SECRET_BYTES = 32
MAX_TOKENS = 10_000
MAX_PROJECTS = 100
MAX_LIFE_DAYS = 3_650
USED_EVERY_S = 60.0
"""How exactly it is noted when a token was used last."""

ISSUED = re.compile(r"coord_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
"""How a token looks; also for finding one where it must not be."""

logger = logging.getLogger(__name__)

_NOBODY = sha256(b"").hexdigest()


class Token(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a token; `digest` is SHA-256 of its secret in hex. Times are UTC."""

    id: str
    digest: str
    role: Role
    projects: tuple[str, ...]
    actor: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Tokens:
    """The tokens of one data directory; safe for many processes. Without a directory there are none."""

    def __init__(self, data: Path | None) -> None:
        self._folder = data / FOLDER if data else None
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Token] = {}
        self._used: dict[str, datetime] = {}

    @property
    def folder(self) -> Path | None:
        """Where the gateway keeps what it knows of those whom it lets in."""
        return self._folder

    def holder(self, shown: str) -> Token:
        """The token that was shown. Raises Unauthenticated, TokenExpired, TokenRevoked or TokensUnreadable.

        What is wrong with it is told only to those who know the whole of it.
        """
        parts = shown.split("_", 2) if ISSUED.fullmatch(shown) else ("", "", "")
        token = self._current().get(parts[1])
        digest = sha256(parts[2].encode()).hexdigest()
        if not compare_digest(digest, token.digest if token else _NOBODY) or token is None:
            raise Unauthenticated(why="The token is not known")
        self.check(token)
        return token

    def check(self, token: Token) -> None:
        """Return if a token that was shown before still holds. Raises as `holder` does."""
        now = datetime.now(UTC)
        current = self._current().get(token.id)
        if current is None:
            raise Unauthenticated(why="The token is not known")
        if current.revoked_at is not None:
            raise TokenRevoked(id=current.id, at=current.revoked_at.isoformat())
        if not current.is_valid(now):
            raise TokenExpired(id=current.id, at=current.expires_at and current.expires_at.isoformat())
        self._used_now(token.id, now)

    def all(self) -> list[Token]:
        """All there ever were, the oldest first. Raises TokensUnreadable."""
        return list(self._current().values())

    def valid(self) -> list[Token]:
        now = datetime.now(UTC)
        return [token for token in self.all() if token.is_valid(now)]

    def last_used(self) -> dict[str, datetime]:
        """By id, exact to a minute."""
        return {path.name: _modified(path) for path in self._marks().glob("*")} if self._folder else {}

    def create(
        self, actor: str, role: Role, projects: Sequence[str], life: timedelta | None = None
    ) -> tuple[Token, str]:
        """A new token, and its text, which is nowhere else. Raises BadName or TooManyTokens."""
        check_name("actor", actor)
        for project in projects:
            if project != EVERY:
                check_name("project", project)
        secret, now = secrets.token_urlsafe(SECRET_BYTES), datetime.now(UTC)
        token = Token(
            id=secrets.token_hex(6),
            digest=sha256(secret.encode()).hexdigest(),
            role=role,
            projects=(EVERY,) if EVERY in projects else tuple(sorted({*projects})),
            actor=actor,
            created_at=now,
            expires_at=now + life if life is not None else None,
        )
        with self._changing() as known:
            known[token.id] = token
        return token, f"coord_{token.id}_{secret}"

    def revoke(self, token_id: str) -> Token:
        """From now on it opens nothing. Raises UnknownToken."""
        now = datetime.now(UTC)
        with self._changing() as known:
            token = known.get(token_id)
            if token is None or not token.is_valid(now):
                raise UnknownToken(id=token_id)
            known[token_id] = msgspec.structs.replace(token, revoked_at=now)
        return token

    def _current(self) -> dict[str, Token]:
        if self._folder is None:
            return {}
        path = self._folder / RECORD
        try:
            found = path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._known = _read(path)
                self._seen = seen
        except (FileNotFoundError, NotADirectoryError):
            self._known, self._seen = {}, None
        except (OSError, msgspec.DecodeError) as error:
            raise TokensUnreadable(path=str(path), why=str(error)) from error
        return self._known

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """The tokens, to be changed in place; written when the body ends well."""
        assert self._folder is not None, "there is no directory to keep tokens in"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / "tokens.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = dict(self._current())
            yield known
            now = datetime.now(UTC)
            if sum(token.is_valid(now) for token in known.values()) > MAX_TOKENS:
                raise TooManyTokens(limit=MAX_TOKENS)
            write_private(self._folder / RECORD, msgspec.json.format(msgspec.json.encode([*known.values()])))
        finally:
            os.close(lock)

    def _marks(self) -> Path:
        assert self._folder is not None
        return self._folder / "used"

    def _used_now(self, token_id: str, now: datetime) -> None:
        """Note it once a minute, as the time of a file: many gateways may, and none needs a lock."""
        before = self._used.get(token_id)
        if before is not None and (now - before).total_seconds() < USED_EVERY_S:
            return
        self._used[token_id] = now
        try:
            self._marks().mkdir(mode=0o700, exist_ok=True)
            (self._marks() / token_id).touch(mode=0o600)
        except OSError:  # a full or read-only disk lets people in all the same
            return


def ensure_operator_token(data: Path) -> Path:
    """See to it that the owner of the data directory has a token that opens everything; returns its file."""
    path, tokens = data / OPERATOR_FILE, Tokens(data)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _opens(tokens, path):
            _, text = tokens.create(LOCAL_OPERATOR, "operator", [EVERY])
            write_private(path, f"{text}\n".encode())
    finally:
        os.close(lock)
    return path


def opened(data: Path | None, host: str) -> Tokens:
    """The tokens that a gateway on this address goes by. Raises PublicWithoutTokens.

    A data directory that cannot be written to is no hindrance, as long as it has tokens or nobody else can
    reach the gateway.
    """
    if data is not None:
        try:
            ensure_operator_token(data)
        except OSError as error:
            logger.warning("the operator has no token: %s cannot be written (%s)", data, error)
    tokens = Tokens(data)
    if not is_loopback(host) and not tokens.valid():
        raise PublicWithoutTokens(host=host)
    return tokens


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on this address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _opens(tokens: Tokens, path: Path) -> bool:
    """Whether the file holds a token that is valid."""
    try:
        tokens.holder(path.read_text().strip())
    except (FileNotFoundError, UnicodeDecodeError, Unauthenticated, TokenExpired, TokenRevoked):
        return False
    return True


def _read(path: Path) -> dict[str, Token]:
    tokens = msgspec.json.decode(path.read_bytes(), type=list[Token])
    return {token.id: token for token in tokens}


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
