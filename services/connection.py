"""How every part of coordctl connects to NATS: one set of options, and errors that say what to do."""

import logging
import random
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client, Server
from nats.errors import NoServersError

from services import nats_client
from services.config import servers
from services.errors import Unavailable

CONNECT_TIMEOUT_S = 5
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0
MAX_DOUBLINGS = 10
PING_S = 5
MAX_PINGS = 2
"""Unanswered: then a server that hangs is given up as one that is gone."""

PENDING_BYTES = 64 * 1024 * 1024

logger = logging.getLogger(__name__)


async def connect(url: str, name: str, *, actor: str | None = None, patient: bool = False) -> Client:
    """A connection that reconnects for ever; with `patient` also the first attempt does.

    `actor` sets the inbox prefix that its replies are bound to. Raises Unavailable.
    """
    prefix = f"_INBOX.{actor}" if actor else "_INBOX"
    try:
        client = await nats_client.connect(
            servers(url),
            **login(url),
            name=name,
            inbox_prefix=prefix.encode(),
            allow_reconnect=True,
            max_reconnect_attempts=-1 if patient else 2,
            reconnect_time_wait=2 * _jittered(FIRST_BACKOFF_S),
            reconnect_to_server_handler=_next_attempt,
            ping_interval=PING_S,
            max_outstanding_pings=MAX_PINGS,
            connect_timeout=CONNECT_TIMEOUT_S,
            pending_size=PENDING_BYTES,
            error_cb=_log_error,
        )
    except (NoServersError, OSError, TimeoutError) as error:
        raise Unavailable(what="NATS", why=str(error) or type(error).__name__) from error
    client.options["max_reconnect_attempts"] = -1  # the limit was for the first connection
    return client


def login(url: str) -> dict[str, str]:
    """The login of the first server that has one, for those that a cluster tells of: they come without."""
    parts = (urlsplit(server) for server in servers(url))
    found = next((part for part in parts if part.username), None)
    if found is None or found.username is None:
        return {}
    if found.password is None:
        return {"token": found.username}
    return {"user": found.username, "password": found.password}


def _next_attempt(known: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """The server that was tried least, and how long to wait before: longer each time, and never in step."""
    server = min(known, key=lambda each: each.reconnects)
    doublings = min(server.reconnects, MAX_DOUBLINGS)
    return server, _jittered(min(FIRST_BACKOFF_S * 2**doublings, MAX_BACKOFF_S))


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret


async def _log_error(error: Exception) -> None:
    logger.warning("nats: %s", str(error) or type(error).__name__)
