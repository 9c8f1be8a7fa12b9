"""What every HTTP request passes before anything looks at it, whichever part of the gateway it is for.

The name it was sent to (a page elsewhere can make a browser's DNS point here), the page it was sent from, the
size of its body and how long that takes to arrive, and no token in its URL. An ASGI middleware; touches
nothing.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import CoordError
from services.bus.wire import MAX_PAYLOAD_BYTES
from services.errors import BadInput, PayloadTooLarge
from services.gateway.denials import CrossSite, HeadTooLarge, SlowBody, TokenInUrl, UnknownHost
from services.gateway.problems import problem
from services.gateway.tokens import ISSUED

BODY_TIMEOUT_S = 30.0
MAX_HEAD_BYTES = 16 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_PARAMETERS = frozenset({"token", "access_token", "bearer", "authorization", "api_key"})

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

Denied = Callable[[CoordError], None]


class Guard:
    """Stands before an application; `names` are those the gateway goes by beside loopback's."""

    def __init__(self, app: ASGIApp, *, names: Sequence[str], denied: Denied) -> None:
        self._app = app
        self._names = LOOPBACK | {name.lower() for name in names}
        self._denied = denied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            self._check(scope, Headers(scope=scope))
            await self._app(scope, _Body(receive).receive, answer.send)
        except CoordError as error:
            if answer.begun:
                raise
            self._denied(error)
            await problem(error, {"Connection": "close"})(scope, receive, answer.send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._names:
            raise UnknownHost
        _check_head(scope, headers)
        _check_url(scope)
        if scope["method"] not in READING:
            _check_origin(headers, hosts[0])
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(size=length, limit=MAX_PAYLOAD_BYTES)


class _Answer:
    """Adds the headers that tell browsers to be careful, and knows whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self.begun = False
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class _Body:
    """A request's body as it arrives: no longer than it may be, and no later."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0
        self._complete = False
        self._until_s = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

    async def receive(self) -> Message:
        """Raises PayloadTooLarge or SlowBody. After the body this waits for the client to go."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until_s):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody(timeout_s=BODY_TIMEOUT_S) from None
        self._complete = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(size=f"more than {MAX_PAYLOAD_BYTES}", limit=MAX_PAYLOAD_BYTES)
        return message


def _name(host: str) -> str:
    """The name in a Host header without its port; empty if it is none."""
    found = _HOST.fullmatch(host.lower())
    return (found[1] or found[2]).removesuffix(".") if found else ""


def _check_head(scope: Scope, headers: Headers) -> None:
    """The server bounds what has not arrived yet, and lets a body's length be told in two ways."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in headers.raw)
    if size > MAX_HEAD_BYTES:
        raise HeadTooLarge(size=size, limit=MAX_HEAD_BYTES)
    if "content-length" in headers and "transfer-encoding" in headers:
        raise BadInput(verb="HTTP", why="Content-Length and Transfer-Encoding exclude each other")


def _check_url(scope: Scope) -> None:
    query = scope["query_string"].decode("latin-1")
    named = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    if named & TOKEN_PARAMETERS or ISSUED.search(f"{scope['path']}?{unquote(query)}"):
        raise TokenInUrl


def _check_origin(headers: Headers, host: str) -> None:
    """Browsers say from which page they send; whoever is none says nothing."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise CrossSite(origin=origin[:200])
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise CrossSite(origin="Sec-Fetch-Site")
