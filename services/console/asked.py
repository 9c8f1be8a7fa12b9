"""What a request to the console asks for, taken from its query, cookie or body, and checked. Pure."""

import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import Request

from services.errors import BadInput
from services.gateway.denials import Unauthenticated
from services.gateway.tokens import ISSUED

COOKIE = "coord_console"
MAX_TIMES = 1_000
_MAX_DIGITS = 18


class _Code(Struct):
    """What the page's script sends to come in."""

    code: str


def cookie_of(request: Request) -> str:
    """Browsers keep one jar for all ports of a host, on which several gateways may run."""
    return COOKIE if request.url.port is None else f"{COOKIE}_{request.url.port}"


def place_in(wanted: str | None) -> str:
    """Where to go after the login: nowhere but into the console."""
    inside = wanted is not None and re.fullmatch(r"/console(/[^/\\].*)?", wanted) is not None
    return wanted if inside and wanted is not None else "/console"


def code_in(body: bytes) -> str:
    """Raises BadInput."""
    try:
        return msgspec.json.decode(body, type=_Code).code
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(verb="the login", why=str(error)) from error


def bearer(token: str) -> Headers:
    """The token as a program would show it. Raises Unauthenticated."""
    if not ISSUED.fullmatch(token):
        raise Unauthenticated(why="This is no token")
    return Headers({"Authorization": f"Bearer {token}"})


def params_of(request: Request) -> dict[str, str]:
    """The query without the moment. Raises BadInput if a parameter comes twice."""
    items = request.query_params.multi_items()
    if len(items) > len(dict(items)):
        raise BadInput(verb="a page", why="a parameter is given twice; several values go with commas between")
    return {name: value for name, value in items if name != "as_of"}


def moment_in(request: Request) -> int | None:
    return number(request, "as_of")


def number(request: Request, name: str) -> int | None:
    """Raises BadInput."""
    text = request.query_params.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise BadInput(verb="a page", why=f"`{name}` is a whole number")
    return int(text)


def sequences(request: Request) -> Sequence[int]:
    """Those that are named in `at`, or as many as may be that follow `after`. Raises BadInput."""
    named = request.query_params.get("at")
    if named is None:
        after = number(request, "after") or 0
        return range(after + 1, after + 1 + MAX_TIMES)
    if not re.fullmatch(r"[0-9]{1,18}(,[0-9]{1,18}){0,99}", named):
        raise BadInput(verb="times", why="`at` is up to a hundred sequences with commas between")
    return [int(each) for each in named.split(",")]
