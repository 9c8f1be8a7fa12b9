"""A connection to NATS that may come later than its user, and go at any time."""

import logging

from nats.aio.client import Client

from services.bus.connection import connect
from services.errors import Unavailable

logger = logging.getLogger(__name__)


class Link:
    """Holds the connection once there is one."""

    def __init__(self, nats_url: str, name: str) -> None:
        self._url = nats_url
        self._name = name
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Raises Unavailable while there is no connection."""
        if self._client is None:
            raise Unavailable(what="NATS", why="it has not answered yet")
        if not self._client.is_connected:
            raise Unavailable(what="NATS", why="the connection is lost and being made anew")
        return self._client

    async def connect(self, *, patient: bool) -> Client:
        """Connect, if patient however long that takes; from then on the connection mends itself."""
        self._client = await connect(self._url, self._name, patient=patient)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await disconnect(self._client)


async def disconnect(client: Client) -> None:
    """Close a connection; one that is lost may still have something to send, and then the client stumbles."""
    try:
        await client.close()
    except (RuntimeError, OSError) as error:
        logger.warning("NATS is away, so what waited to be sent to it is lost (%s)", type(error).__name__)
