"""How every part of coordctl connects to NATS: one set of options, and errors that say what to do.

A URL may name the file of the seed that the connection signs with, as in `nats://host:4222?credentials=/path`:
so whoever is told where to knock is told with which key. The seed itself is in no URL. Servers of one's own
may ask for a user and a password instead.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Server
from nats.errors import NoServersError

from services.access.keys import public_key, read_seed
from services.bus.denials import turned_away
from services.bus.nats_client import ForgivingClient
from services.config import credentials_of, servers
from services.errors import NotAuthorized, Unavailable

CONNECT_TIMEOUT_S = 5
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0
MAX_DOUBLINGS = 10
PING_S = 5
MAX_PINGS = 2
"""Unanswered: then a server that hangs is given up as one that is gone."""

PENDING_BYTES = 64 * 1024 * 1024

logger = logging.getLogger(__name__)


async def connect(url: str, name: str, *, actor: str | None = None, patient: bool = False) -> ForgivingClient:
    """A connection that reconnects for ever; with `patient` also the first attempt does.

    `actor` sets the inbox prefix that its replies are bound to; without one it is that of the key, or the
    common one. Raises Unavailable, NotAuthorized or BadCredentials.
    """
    client = ForgivingClient()
    client.denials.identity = _identity(url)
    try:
        await client.open(
            servers(url),
            **login(url),
            name=name,
            inbox_prefix=inbox_prefix(url, actor),
            allow_reconnect=True,
            max_reconnect_attempts=-1 if patient else 2,
            reconnect_time_wait=2 * _jittered(FIRST_BACKOFF_S),
            reconnect_to_server_handler=_next_attempt,
            ping_interval=PING_S,
            max_outstanding_pings=MAX_PINGS,
            connect_timeout=CONNECT_TIMEOUT_S,
            pending_size=PENDING_BYTES,
            error_cb=on_error(client),
            reconnected_cb=on_return(client),
        )
    except NotAuthorized:
        with suppress(OSError, RuntimeError):  # the server has closed it already
            await client.close()
        raise
    except (NoServersError, OSError, TimeoutError) as error:
        raise Unavailable(what="NATS", why=str(error) or type(error).__name__) from error
    client.options["max_reconnect_attempts"] = -1  # the limit was for the first connection
    return client


def on_error(client: ForgivingClient) -> Callable[[Exception], Awaitable[None]]:
    """What to do with an error that comes by itself; raises NotAuthorized while connecting."""

    async def take(error: Exception) -> None:
        if (denial := client.denials.take(error)) is not None:
            logger.warning("nats: %s", denial)
        elif turned_away(str(error)) and not client.arrived:
            raise client.denials.shut_out(str(error)) from error
        elif turned_away(str(error)):
            logger.error("nats: %s", client.denials.shut_out(str(error)))
        else:
            logger.warning("nats: %s", str(error) or type(error).__name__)

    return take


def on_return(client: ForgivingClient) -> Callable[[], Awaitable[None]]:
    """What to do when a connection that was lost is back."""

    async def take() -> None:
        logger.info("nats: connected again")
        await client.denials.let_in()

    return take


def login(url: str) -> dict[str, Any]:
    """The seed to sign with, or else the login of the first server that has one.

    Those that a cluster tells of come without. Raises BadCredentials.
    """
    path = credentials_of(url)
    if path is not None:
        return {"nkeys_seed_str": read_seed(path)}
    parts = (urlsplit(server) for server in servers(url))
    found = next((part for part in parts if part.username), None)
    if found is None or found.username is None:
        return {}
    if found.password is None:
        return {"token": found.username}
    return {"user": found.username, "password": found.password}


def inbox_prefix(url: str, actor: str | None = None) -> bytes:
    """Where the replies to this connection go: to the actor, or to the key that it signs with."""
    if actor is not None:
        return f"_INBOX.{actor}".encode()
    path = credentials_of(url)
    return b"_INBOX" if path is None else f"_INBOX.{public_key(read_seed(path))}".encode()


def _identity(url: str) -> str:
    path = credentials_of(url)
    return "This login" if path is None else f"The identity in {path}"


def _next_attempt(known: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """The server that was tried least, and how long to wait before: longer each time, and never in step."""
    server = min(known, key=lambda each: each.reconnects)
    doublings = min(server.reconnects, MAX_DOUBLINGS)
    return server, _jittered(min(FIRST_BACKOFF_S * 2**doublings, MAX_BACKOFF_S))


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
