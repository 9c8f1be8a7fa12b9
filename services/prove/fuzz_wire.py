"""Bare connections to a NATS server and to an HTTP server, on which anything may be sent.

No client library: those refuse to send what the fuzzer has to send. Opens sockets and nothing else.
"""

import asyncio
from collections.abc import Callable
from random import Random
from urllib.parse import urlsplit

import msgspec

from services.access.keys import public_key, read_seed, sign
from services.config import credentials_of, servers

CONNECT_TIMEOUT_S = 10.0
SILENCE_S = 1.0
"""After that much of it a server is taken to have nothing to say."""

READ_BYTES = 256 * 1024
BUFFER_BYTES = 64 * 1024 * 1024
HUGE_BYTES = 10 * 1024 * 1024
OVERLONG_SUBJECT_CHARS = 10_000

Heard = Callable[[bytes, bytes], None]
"""Takes the subject and the payload of a message."""


class Wire:
    """One connection that sends raw frames; `listen` hears every message there is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, nats_url: str) -> "Wire":
        """Log in as the URL says. Raises OSError or TimeoutError."""
        url = urlsplit(servers(nats_url)[0])
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(url.hostname, url.port, limit=BUFFER_BYTES), CONNECT_TIMEOUT_S
        )
        info = msgspec.json.decode((await asyncio.wait_for(reader.readline(), CONNECT_TIMEOUT_S))[5:])
        login = _login(nats_url, info.get("nonce", ""))
        options = {"headers": True, "verbose": False, "pedantic": False}  # else the server checks subjects
        writer.write(b"CONNECT " + msgspec.json.encode({**login, **options}) + b"\r\nPING\r\n")
        await asyncio.wait_for(reader.readline(), CONNECT_TIMEOUT_S)
        return cls(reader, writer)

    async def send(self, frames: bytes) -> None:
        """Send bytes as they are; waits while the server takes no more.

        Raises ConnectionError, with what the server said last, if it has ended the connection.
        """
        if not self._writer.is_closing():
            try:
                self._writer.write(frames)
                await self._writer.drain()
                return
            except ConnectionError:
                pass  # the next line tells
        raise ConnectionError((await self._reader.read(READ_BYTES)).decode(errors="replace").strip())

    async def listen(self, heard: Heard) -> None:
        """Hear every message on the server until the connection ends."""
        await self.send(b"SUB > 1\r\nPING\r\n")
        held = b""
        while chunk := await self._reader.read(READ_BYTES):
            held = self._hear(held + chunk, heard)

    def _hear(self, held: bytes, heard: Heard) -> bytes:
        """Take whole messages off the front; returns what is left of a last one."""
        start = 0
        while (end := held.find(b"\r\n", start)) >= 0:
            operation, *words = held[start:end].split(b" ")
            if operation in (b"MSG", b"HMSG"):
                first = end + 2
                last = first + int(words[-1])
                if len(held) < last + 2:
                    break
                skipped = int(words[-2]) if operation == b"HMSG" else 0
                heard(words[0], held[first + skipped : last])
                start = last + 2
            else:
                if operation == b"PING":
                    self._writer.write(b"PONG\r\n")
                start = end + 2
        return held[start:]

    async def answers_ping(self, wait_s: float = SILENCE_S) -> bool:
        """Whether the server has taken all that was sent before, and the connection still stands."""
        try:
            await self.send(b"PING\r\n")
            while line := await asyncio.wait_for(self._reader.readline(), wait_s):
                if line == b"PONG\r\n":
                    return True
                if line == b"PING\r\n":
                    self._writer.write(b"PONG\r\n")
        except (OSError, TimeoutError):
            pass
        return False

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # it was closed by the other side, which is as good


def _login(nats_url: str, nonce: str) -> dict[str, str]:
    """What CONNECT says of who we are."""
    path = credentials_of(nats_url)
    if path is None:
        url = urlsplit(nats_url)
        return {"user": url.username or "", "pass": url.password or ""}
    seed = read_seed(path)
    return {"nkey": public_key(seed), "sig": sign(seed, nonce)}


def frame(subject: bytes, reply: bytes, headers: bytes | None, payload: bytes) -> bytes:
    """A message as a client publishes it."""
    address = subject + b" " + reply if reply else subject
    if headers is None:
        return b"PUB %b %d\r\n%b\r\n" % (address, len(payload), payload)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (
        address, len(headers), len(headers) + len(payload), headers, payload,
    )  # fmt: skip


def protocol_violation(random: Random) -> bytes:
    """What no client says; after most of it the server ends the connection."""
    subject = b"coord.fuzz.cmd.f0.task.claim"
    return random.choice((
        random.randbytes(random.randint(1, 5_000)),
        b"PUB " + subject + b" -1\r\n\r\n",
        b"PUB " + subject + b" 99999999999999999999\r\n",
        b"PUB " + subject + b" 5\r\nfar too long a payload\r\n",
        b"PUB " + subject + b" a b c d e 5\r\n12345\r\n",
        b"PUB " + b"x" * OVERLONG_SUBJECT_CHARS + b" 0\r\n\r\n",
        b"HPUB " + subject + b" 20 5\r\n12345\r\n",
        b"HPUB " + subject + b" -1 -1\r\n\r\n",
        b"SUB\r\n", b"SUB a..b 2\r\n", b"UNSUB 99\r\n", b"MSG a 1 0\r\n\r\n", b"INFO {}\r\n", b"\r\n" * 1_000,
        b"CONNECT {\r\n", b"CONNECT " + b"[" * 3_000 + b"\r\n",
        b"PONG\r\n" * 500, b"+OK\r\n", b"-ERR 'x'\r\n",
    ))  # fmt: skip


def huge_message() -> bytes:
    """More than the server lets through."""
    return b"PUB coord.fuzz.cmd.f0.task.enqueue %d\r\n" % HUGE_BYTES + b"x" * HUGE_BYTES + b"\r\n"


async def violate(nats_url: str, frames: bytes) -> None:
    """Say this on a connection of its own, and let the server end it or not."""
    wire = await Wire.open(nats_url)
    try:
        await wire.send(frames)
        await wire.answers_ping()
    except OSError:
        pass  # ended by the server, which is its right
    finally:
        await wire.close()


def http_request(random: Random) -> bytes:
    """HTTP, or nearly."""
    junk = random.randbytes(random.randint(1, 60)).replace(b"\n", b"")
    path = random.choice((
        b"/", b"/healthz", b"/readyz", b"/metrics", b"/../../etc/passwd", b"/%00", b"/%ff%fe", b"//", b"*",
        b"/healthz?" + b"a" * 8_000, b"/" + b"x" * 100_000, b"/\xff\xfe",
        b"http://other/", b"/metrics;" + junk,
    ))  # fmt: skip
    method = random.choice((b"GET", b"POST", b"PUT", b"DELETE", b"TRACE", b"CONNECT", b"get", junk, b"\x00"))
    header = random.choice((
        b"Host: x", b"Host: " + b"x" * 70_000, b"Content-Length: -1", b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3", b": nameless",
        b"Expect: 100-continue", b"Upgrade: websocket\r\nConnection: Upgrade", junk, b"a:b\r\n" * 2_000,
    ))  # fmt: skip
    body = random.choice((b"", b"{}", b"zz\r\n", b"0\r\n\r\n", random.randbytes(500), b"x" * 100_000))
    version = random.choice((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"", junk))
    return b"%b %b %b\r\nHost: coordctl\r\nConnection: close\r\n%b\r\n\r\n%b" % (
        method, path, version, header, body,
    )  # fmt: skip


async def http_status(http_url: str, request: bytes) -> int | None:
    """What the gateway answers to these bytes; None if it ends the connection without a word, or waits."""
    url = urlsplit(http_url)
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(url.hostname, url.port), CONNECT_TIMEOUT_S
    )
    try:
        writer.write(request)
        if writer.can_write_eof():
            writer.write_eof()
        line = await asyncio.wait_for(reader.readline(), SILENCE_S)
        words = line.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    except (OSError, TimeoutError, ValueError):
        return None
    finally:
        writer.close()
