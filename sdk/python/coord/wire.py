"""The library's NATS client, where it does with connections that end, or with TLS, what it should not.

A handshake that fails, because a certificate is not trusted, ends one attempt to connect: the library's own
waits for ever. And an address with `tls://` is never spoken to in plain text, whatever a server, or somebody
in its place, says of itself.
"""

import asyncio
from time import monotonic
from typing import Any

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.transport import TcpTransport
from nats.errors import Error

_OVER_HTTP = ("ws", "wss")


class NoTls(Error):
    def __str__(self) -> str:
        return "the server offers no TLS, which an address with tls:// asks for"


class Wire(TcpTransport):
    """A connection over TCP; what is left of it after a handshake that failed is given up."""

    async def connect_tls(self, *arguments: Any, **options: Any) -> None:
        """As ever; then nothing is there whose end the library would wait for: nobody is told of it."""
        try:
            await super().connect_tls(*arguments, **options)
        except (OSError, TimeoutError):
            if self._io_writer is not None:
                self._io_writer.transport.abort()
            self._io_reader = self._io_writer = None
            raise

    async def wait_closed(self) -> None:
        """As ever; who is cancelled while it waits, as an attempt is by a close, ends no wait but its own."""
        closed = super().wait_closed()  # type: ignore[no-untyped-call]  # the library's own has no types
        await asyncio.shield(closed)


class Nats(Client):
    """`connect` as ever."""

    async def _connect_to_server(self, s: Srv) -> None:
        if s.uri.scheme in _OVER_HTTP:
            await super()._connect_to_server(s)
            return
        s.last_attempt = monotonic()
        self._transport = Wire()  # type: ignore[no-untyped-call]  # likewise
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Before anything is sent; what a server only offers, `tls://` asks for."""
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls":
            if not (info.get("tls_required") or info.get("tls_available")):
                raise NoTls
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)
