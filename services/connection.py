"""How every part of coordctl connects to NATS: one set of options, and errors that say what to do."""

import logging
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.errors import NoServersError

from services.config import servers
from services.errors import Unavailable

CONNECT_TIMEOUT_S = 5
RECONNECT_WAIT_S = 0.2
PENDING_BYTES = 64 * 1024 * 1024

logger = logging.getLogger(__name__)


async def connect(url: str, name: str, *, actor: str | None = None, patient: bool = False) -> Client:
    """A connection that reconnects for ever; with `patient` also the first attempt does.

    `actor` sets the inbox prefix that its replies are bound to. Raises Unavailable.
    """
    prefix = f"_INBOX.{actor}" if actor else "_INBOX"
    try:
        return await nats.connect(
            servers(url),
            **login(url),
            name=name,
            inbox_prefix=prefix.encode(),
            allow_reconnect=True,
            max_reconnect_attempts=-1 if patient else 2,
            reconnect_time_wait=RECONNECT_WAIT_S,
            connect_timeout=CONNECT_TIMEOUT_S,
            pending_size=PENDING_BYTES,
            error_cb=_log_error,
        )
    except (NoServersError, OSError, TimeoutError) as error:
        raise Unavailable(what="NATS", why=str(error) or type(error).__name__) from error


def login(url: str) -> dict[str, str]:
    """The login of the first server that has one, for those that a cluster tells of: they come without."""
    parts = (urlsplit(server) for server in servers(url))
    found = next((part for part in parts if part.username), None)
    if found is None or found.username is None:
        return {}
    if found.password is None:
        return {"token": found.username}
    return {"user": found.username, "password": found.password}


async def _log_error(error: Exception) -> None:
    logger.warning("nats: %s", str(error) or type(error).__name__)
