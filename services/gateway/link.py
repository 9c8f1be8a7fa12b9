"""The gateway's connection to NATS, which may come later than the gateway and go at any time."""

from nats.aio.client import Client

from services.connection import connect
from services.errors import Unavailable


class Link:
    """Holds the connection once there is one."""

    def __init__(self, nats_url: str) -> None:
        self._url = nats_url
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Raises Unavailable while there is no connection."""
        if self._client is None:
            raise Unavailable(what="NATS", why="it has not answered yet")
        if not self._client.is_connected:
            raise Unavailable(what="NATS", why="the connection is lost and being made anew")
        return self._client

    async def connect(self) -> Client:
        """Connect, however long that takes; from then on the connection mends itself."""
        self._client = await connect(self._url, "coordctl-gateway", patient=True)
        return self._client
