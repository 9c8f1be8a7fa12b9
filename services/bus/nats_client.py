"""A NATS client that goes on whatever bytes a message has.

The library's own stops reading, or connects anew for ever, after one message whose subject or reply subject
is no UTF-8 or holds a vertical tab, or whose headers are none: the server lets such messages through, so
anybody who may send one could make a service deaf. Here such a message is dropped and told of. A request that
the server denies fails at once, where the library lets it time out; and a handshake that fails, because a
certificate is not trusted, ends one attempt to connect, where the library waits for ever. An address with
`tls://` is never spoken to in plain text, whatever a server, or somebody in its place, says of itself.
"""

import asyncio
from time import monotonic
from typing import Any

from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.errors import Error, ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, AWAITING_MSG_PAYLOAD, Parser

from services.bus.denials import Denials, turned_away

MAX_LINE_BYTES = 1024 * 1024
"""Longer than any line that a server sends; the longest is its list of other servers."""

_END = b"\r\n"


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


class NoTls(Error):
    def __str__(self) -> str:
        return "the server offers no TLS, which an address with tls:// asks for"


class UnreadableMessage(Error):
    def __str__(self) -> str:
        return "a message was dropped: its subject, reply subject or headers are no text"


class ForgivingClient(Client):
    """`connect` as ever; what cannot be read goes to the error callback, and the rest is served."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = ForgivingParser(self)
        self.denials = Denials()
        self.arrived = False
        """Whether there has been a connection; from then on it is mended, and not given up."""

    async def open(self, servers: list[str], **options: Any) -> None:
        """As `connect`, for options that are gathered from several places."""
        await self.connect(servers, **options)
        self.arrived = True

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109  # the library has it so
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """As ever; raises NotPermitted as soon as the server denies it, where it would time out."""
        inbox = self._inbox_prefix.decode()
        with self.denials.watching(subject, inbox) as denied:
            asked = asyncio.ensure_future(super().request(subject, payload, timeout, old_style, headers))
            try:
                await asyncio.wait((asked, denied), return_when=asyncio.FIRST_COMPLETED)
                if denied.done():
                    denied.result()
                return await asked
            finally:
                asked.cancel()

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = monotonic()
        self._transport = Wire()  # type: ignore[no-untyped-call]  # the library's own has no types
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Before anything is sent; what a server only offers, `tls://` asks for."""
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls":
            if not (info.get("tls_required") or info.get("tls_available")):
                raise NoTls
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        if turned_away(err_msg):
            self.denials.shut_out(err_msg.strip("'"))
        await super()._process_err(err_msg)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
        except (UnicodeDecodeError, IndexError):
            await self._error_cb(UnreadableMessage())


class ForgivingParser(Parser):
    """Splits the line before a message at spaces, as the server writes it, and at nothing else."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)

    async def parse(self, data: bytes = b"") -> None:
        self.buf.extend(data)
        while self.buf:
            if self.state == AWAITING_CONTROL_LINE:
                if not await self._read_line():
                    return
            elif len(self.buf) >= self.needed + len(_END):
                await self._read_payload()
            else:
                return

    async def _read_line(self) -> bool:
        """Take one line off the buffer; false if it is not all there."""
        end = self.buf.find(_END)
        if end < 0:
            if len(self.buf) > MAX_LINE_BYTES:
                raise ProtocolError
            return False
        line = bytes(self.buf[:end])
        if line.startswith((b"MSG ", b"HMSG ")):
            del self.buf[: end + len(_END)]
            self._expect(line.split(b" "))
            return True
        rest = self.buf[end + len(_END) :]
        alone = self.buf = bytearray(line + _END)
        await super().parse()
        if self.buf is alone:  # else the connection was given up, and begins anew with an empty buffer
            self.buf = rest
        return True

    def _expect(self, words: list[bytes]) -> None:
        """Note what the line says of the message that follows: subject, subscription, reply, sizes."""
        sizes = 2 if words[0] == b"HMSG" else 1
        address = words[1:-sizes]
        try:
            self.header_needed = int(words[-2]) if sizes == 2 else 0
            self.needed = int(words[-1])
            arguments: dict[str, Any] = {"subject": address[0], "sid": int(address[1])}
        except (ValueError, IndexError) as error:
            raise ProtocolError from error
        self.msg_arg = {**arguments, "reply": address[2] if len(address) > 2 else b""}
        self.state = AWAITING_MSG_PAYLOAD

    async def _read_payload(self) -> None:
        headers = bytes(self.buf[: self.header_needed]) or None
        payload = bytes(self.buf[self.header_needed : self.needed])
        del self.buf[: self.needed + len(_END)]
        message = self.msg_arg
        self.header_needed = 0
        self.state = AWAITING_CONTROL_LINE
        await self.nc._process_msg(message["sid"], message["subject"], message["reply"], payload, headers)
