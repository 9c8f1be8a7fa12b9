"""Who may ask what over HTTP: from a bearer token to an identity, how often, and for which project and verb.

What a role may send is the table that the NATS server's permissions are made from. Used by every part of the
gateway that answers for somebody: the API, the streams, MCP.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from starlette.datastructures import Headers

from services.access.roles import EVERY, Role, verbs_of
from services.bus.wire import check_name
from services.errors import RETRY_AFTER_S
from services.gateway.denials import Forbidden, RateLimited, TooManyAtOnce, Unauthenticated
from services.gateway.tokens import Token, Tokens

RATE_PER_S = 100.0
BURST_REQUESTS = 300
MAX_BUCKETS = 10_000
MAX_AT_ONCE = 200
"""Requests of one actor under one token, claims that wait and streams among them: others need room too."""


ACTOR_HEADER = "Coord-Actor"
KEY_HEADER = "Idempotency-Key"
KEY_PATTERN = "[!-~]{1,100}"
"""With its verb before it a key is a command's id: used for another verb, it is another command's."""

_SCHEME = "bearer "


class Holder(Struct, frozen=True):
    """Who asks: the actor it acts as, and the token that says so."""

    actor: str
    token: Token

    @property
    def role(self) -> Role:
        return self.token.role

    def may_see(self, project: str) -> bool:
        return EVERY in self.token.projects or project in self.token.projects

    def check_project(self, project: str) -> None:
        """Raises BadName or Forbidden."""
        check_name("project", project)
        if not self.may_see(project):
            raise Forbidden(why=f"Token {self.token.id} is not for project {project}")

    def check_verb(self, project: str, verb: str) -> None:
        """Raises BadName or Forbidden."""
        self.check_project(project)
        if verb not in verbs_of(self.role, all_projects=EVERY in self.token.projects):
            raise Forbidden(why=f"The role {self.role} of token {self.token.id} may not send {verb} here")


class Entry:
    """Lets in whoever shows a token that holds, as often as may be."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._under_way: Counter[tuple[str, str]] = Counter()

    def admit(self, headers: Headers) -> Holder:
        """Who it is that sent these headers. Raises what Tokens.holder does, RateLimited or Forbidden."""
        token = self._tokens.holder(_shown(headers))
        self._bucket(token.id).take(time.monotonic())
        return Holder(_actor(headers, token), token)

    def readmit(self, holder: Holder) -> None:
        """Let in again who showed its token before: one request more. Raises what `admit` does."""
        self.check(holder)
        self._bucket(holder.token.id).take(time.monotonic())

    def check(self, holder: Holder) -> None:
        """Return if one who was let in before still would be."""
        self._tokens.check(holder.token)

    @contextmanager
    def under_way(self, holder: Holder) -> Iterator[None]:
        """For as long as something is done for one who was let in. Raises TooManyAtOnce."""
        who = (holder.token.id, holder.actor)
        if self._under_way[who] >= MAX_AT_ONCE:
            raise TooManyAtOnce(actor=holder.actor, limit=MAX_AT_ONCE, retry_after_s=RETRY_AFTER_S)
        self._under_way[who] += 1
        try:
            yield
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]

    def _bucket(self, token_id: str) -> "_Bucket":
        bucket = self._buckets.setdefault(token_id, _Bucket())
        self._buckets.move_to_end(token_id)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket


class _Bucket:
    """A token bucket: it holds BURST_REQUESTS at most, and gets RATE_PER_S back."""

    def __init__(self) -> None:
        self._left = float(BURST_REQUESTS)
        self._at_s = 0.0

    def take(self, now_s: float) -> None:
        self._left = min(BURST_REQUESTS, self._left + (now_s - self._at_s) * RATE_PER_S)
        self._at_s = now_s
        if self._left < 1:
            raise RateLimited(rate_per_s=RATE_PER_S, retry_after_s=(1 - self._left) / RATE_PER_S)
        self._left -= 1


def _shown(headers: Headers) -> str:
    """The text of the token. Raises Unauthenticated."""
    given = headers.getlist("authorization")
    if not given:
        raise Unauthenticated(why="There is no token")
    if len(given) > 1 or not given[0].lower().startswith(_SCHEME):
        raise Unauthenticated(why="The header Authorization holds no bearer token")
    return given[0][len(_SCHEME) :].strip()


def _actor(headers: Headers, token: Token) -> str:
    """The token's own actor; an operator may act for another. Raises BadName or Forbidden."""
    wanted = headers.get(ACTOR_HEADER)
    if wanted is None or wanted == token.actor:
        return token.actor
    check_name("actor", wanted)
    if token.role != "operator":
        raise Forbidden(why=f"Token {token.id} acts as {token.actor} and as nobody else")
    return wanted
