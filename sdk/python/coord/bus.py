"""The way to coordctl over NATS: a connection that comes back by itself, and requests that are asked again.

A command is repeated under its own id until an answer comes or the patience is over, so it is done once.
Reads a seed file if there is one; touches nothing but its connection.
"""

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from nats.aio.client import Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError, NoServersError, SlowConsumerError

from coord.errors import (
    Away,
    BadInput,
    CoordError,
    NotConfigured,
    NotPermitted,
    PayloadTooLarge,
    TimedOut,
    Unavailable,
    refusal,
)
from coord.wire import Nats

ATTEMPT_TIMEOUT_S = 5.0
PATIENCE_S = 15.0
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0
MAX_RETRY_AFTER_S = 10.0
CONNECT_TIMEOUT_S = 5
CLOSE_TIMEOUT_S = 5.0
PING_S = 5
MAX_PINGS = 2
MAX_PENDING_BYTES = 8 * 1024 * 1024

_DENIED = re.compile(r'permissions violation for publish to "([^"]*)"')
_INBOX_DENIED = re.compile(r'permissions violation for subscription to "(_inbox[^"]*)')
_STRANGER = re.compile(r"authorization|authentication")
_SEED = re.compile(r"SU[A-Z2-7]{56}")
_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

Reply = dict[str, Any]
Take = Callable[[Msg], Awaitable[None]]
_decode = msgspec.json.Decoder(Reply).decode
logger = logging.getLogger("coord")


class Bus:
    """One actor's connection. `open` before use, `close` in the end."""

    def __init__(self, url: str, actor: str, seed: str | None) -> None:
        self._options = _options(url, actor, seed)
        self._nats: Nats | None = None
        self._up = asyncio.Event()
        self._news = asyncio.Event()
        self._closed = asyncio.Event()
        self._why = "no server was tried yet"
        self._denied: NotPermitted | None = None
        self._asked: dict[asyncio.Future[Reply], str] = {}
        self._subjects: dict[Take, str] = {}
        self._subscriptions: dict[Take, Subscription] = {}
        self._keeping: asyncio.Task[None] | None = None
        self.on_return: list[Callable[[], None]] = []
        """Called when something may not have been heard: after each return of the connection, for one."""

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    async def open(self, patience_s: float) -> None:
        """Connect, and stay so. Raises Away or NotPermitted if that takes longer; 0 waits for nothing."""
        self._keeping = asyncio.create_task(self._keep())
        if patience_s:
            await self.until_connected(patience_s)

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        if self._nats is not None:
            try:
                await asyncio.wait_for(self._nats.close(), CLOSE_TIMEOUT_S)
            except (NatsError, OSError, RuntimeError, TimeoutError) as error:
                logger.debug("the connection was gone before it was closed: %s", error)

    async def until_connected(self, timeout_s: float | None = None) -> None:
        """Wait for the connection. Raises Away, or NotPermitted if the server does not let us in."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._up.is_set():
                    if self._denied is not None:
                        raise self._denied
                    await self._news.wait()
        except TimeoutError:
            raise Away(f"There is no connection to the bus ({self._why}).") from None

    async def subscribe(self, subject: str, take: Take) -> None:
        """Hear what is published, now and after every return of the connection."""
        self._subjects[take] = subject
        if self._nats is not None and not self._closed.is_set():
            self._subscriptions[take] = await self._nats.subscribe(subject, cb=take)

    async def unsubscribe(self, take: Take) -> None:
        """Hear no more of it."""
        self._subjects.pop(take, None)
        subscription = self._subscriptions.pop(take, None)
        if subscription is not None and self.connected:
            await subscription.unsubscribe()

    async def ask(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        *,
        wait_s: float = 0.0,
        patience_s: float = PATIENCE_S,
        when_away: bool = True,
    ) -> Reply:
        """Ask until an answer stands; `wait_s` is how long the command itself may take.

        Without `when_away` a lost connection is told at once. Raises what the service refused, Away,
        TimedOut, NotPermitted or BadInput.
        """
        if not _SUBJECT.fullmatch(subject):  # the server would take it for another, or for more than one line
            raise BadInput(f"{subject!r} names no command and no view.")
        loop = asyncio.get_running_loop()
        give_up, backoff_s = loop.time() + patience_s + wait_s, FIRST_BACKOFF_S
        while True:
            try:
                await self.until_connected(max(give_up - loop.time(), 0.001) if when_away else 0)
                return await self._once(subject, payload, headers, ATTEMPT_TIMEOUT_S + wait_s)
            except CoordError as error:
                pause_s = _pause(error, backoff_s)
                if not error.retryable or loop.time() + pause_s > give_up:
                    raise
                if isinstance(error, Away) and not when_away:
                    raise
            await asyncio.sleep(pause_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _once(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float
    ) -> Reply:
        """One attempt, over at once when the connection goes or the server forbids it."""
        assert self._nats is not None
        asking = asyncio.create_task(self._request(self._nats, subject, payload, headers, timeout_s))
        broken: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[broken] = subject.lower()
        try:
            await asyncio.wait({asking, broken}, return_when=asyncio.FIRST_COMPLETED)
            return broken.result() if broken.done() and not asking.done() else await asking
        finally:
            del self._asked[broken]
            for each in (asking, broken):
                if not each.cancel() and not each.cancelled():
                    each.exception()  # it came when nobody waited any more

    async def _request(
        self, nats: Nats, subject: str, payload: bytes, headers: dict[str, str] | None, timeout_s: float
    ) -> Reply:
        try:
            message = await nats.request(subject, payload, timeout=timeout_s, headers=headers)
        except NoRespondersError as error:
            raise Unavailable("Nobody answers commands now; is the writer running?") from error
        except MaxPayloadError as error:
            raise PayloadTooLarge(
                "The request is larger than the server takes; link to large data."
            ) from error
        except (TimeoutError, NatsError) as error:
            raise TimedOut(f"No answer within {timeout_s:g} s.") from error
        reply = _decode(message.data)
        if not reply["ok"]:
            raise refusal(reply["error"])
        return reply

    async def _keep(self) -> None:
        """Have a connection for as long as this task runs: also the library's own gives up at times."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            self._closed.clear()
            nats = Nats()
            try:
                await nats.connect(
                    **self._options,
                    error_cb=self._hear_error,
                    disconnected_cb=self._go_down,
                    reconnected_cb=self._come_back,
                    closed_cb=self._hear_close,
                )
                nats.options["max_reconnect_attempts"] = -1  # the limit was for the first connection
                self._nats = nats
                for take, subject in self._subjects.items():
                    self._subscriptions[take] = await nats.subscribe(subject, cb=take)
                await self._come_back()
                backoff_s = FIRST_BACKOFF_S
                await self._closed.wait()
            except NoServersError as error:
                logger.debug("%s; each attempt has told why", error)
            except (NatsError, OSError, TimeoutError) as error:
                await self._hear_error(error)
            await asyncio.sleep(_jittered(backoff_s))
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _come_back(self) -> None:
        self._denied = None
        self._up.set()
        self._news.set()
        self._tell_return()

    def _tell_return(self) -> None:
        for call in self.on_return:
            call()

    async def _go_down(self) -> None:
        self._up.clear()
        if self._denied is None:
            self._news.clear()
        self._break(Away(f"The connection to the bus was lost ({self._why})."))

    async def _hear_close(self) -> None:
        await self._go_down()
        self._closed.set()

    async def _hear_error(self, error: Exception) -> None:
        self._why = str(error) or type(error).__name__
        told = self._why.lower()
        logger.debug("nats: %s", self._why)
        if isinstance(error, SlowConsumerError):
            self._tell_return()
        elif publish := _DENIED.search(told):
            subject = _as_asked(publish.group(1))
            self._break(_not_permitted(subject), subject)
        elif inbox := _INBOX_DENIED.search(told):
            self._break(_not_permitted(inbox.group(1)))
        elif _STRANGER.search(told):
            self._denied = NotPermitted(
                f"The server does not let these credentials in ({self._why}); have yourself enrolled."
            )
            self._news.set()
            self._break(self._denied)

    def _break(self, error: CoordError, subject: str | None = None) -> None:
        """End what was asked on this subject, or all that was, with an error."""
        for broken, asked in self._asked.items():
            if subject in (None, asked) and not broken.done():
                broken.set_exception(error)


def credentials_in(url: str) -> str | None:
    """The seed file that a URL names, as in `nats://host:4222?credentials=/path`."""
    named = parse_qs(urlsplit(url.partition(",")[0]).query).get("credentials")
    return named[0] if named else None


def seed_of(credentials: str | Path) -> str:
    """The nkey seed in a file. Raises NotConfigured."""
    try:
        found = _SEED.search(Path(credentials).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"The credentials in {credentials} cannot be read ({error}).") from error
    if found is None:
        raise NotConfigured(f"There is no nkey seed of a user (SU…) in {credentials}.")
    return found.group()


def _options(url: str, actor: str, seed: str | None) -> dict[str, Any]:
    servers = [server.partition("?")[0].strip() for server in url.split(",") if server.strip()]
    login = {"nkeys_seed_str": seed} if seed else _login(servers)
    return {
        **login,
        "servers": servers,
        "name": f"coord-client {actor}",
        "inbox_prefix": f"_INBOX.{actor}",
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 2 * _jittered(FIRST_BACKOFF_S),
        "reconnect_to_server_handler": _next_attempt,
        "ping_interval": PING_S,
        "max_outstanding_pings": MAX_PINGS,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "pending_size": MAX_PENDING_BYTES,
    }


def _login(servers: list[str]) -> dict[str, str]:
    """The login of the first server that has one, for those that a cluster tells of: they come without."""
    for part in map(urlsplit, servers):
        if part.username is not None:
            password = part.password
            return (
                {"token": part.username}
                if password is None
                else {"user": part.username, "password": password}
            )
    return {}


def _next_attempt(known: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """The server that was tried least, and how long to wait before: longer each time, and never in step."""
    server = min(known, key=lambda each: each.reconnects)
    return server, _jittered(min(FIRST_BACKOFF_S * 2 ** min(server.reconnects, 10), MAX_BACKOFF_S))


def _not_permitted(subject: str) -> NotPermitted:
    return NotPermitted(f"These credentials do not allow {subject}; another role or project would.")


def _as_asked(subject: str) -> str:
    """The server speaks of the subject that it has mapped a command's to."""
    parts = subject.split(".")
    if parts[0] == "_coord" and len(parts) == 6:
        return ".".join(["coord", parts[1], "cmd", *parts[3:]])
    return subject


def _pause(error: CoordError, backoff_s: float) -> float:
    """How long to wait before asking again: no less than the service says, and never in step with others."""
    told_s = error.facts.get("retry_after_s", 0.0)
    told_s = min(float(told_s), MAX_RETRY_AFTER_S) if isinstance(told_s, int | float) else 0.0
    return told_s + _jittered(backoff_s)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
