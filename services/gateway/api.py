"""The HTTP API: commands, lists, events and their stream, for whoever shows a token.

Routes only: who may ask is decided in `entry`, commands go through `asking`, lists come from `pages`, streams
from `live`. Refusals are raised; `app` makes problems of them.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.catalog import COMMANDS
from domain.errors import CoordError
from domain.messages import Command
from services.access.roles import EVERY
from services.bus.caller import Answer
from services.bus.wire import (
    COMMAND_ID_HEADER,
    TRACE_HEADER,
    check_json,
    command_subject,
    parse_command,
    parse_trace,
)
from services.errors import BadInput, InternalError
from services.gateway.advice import ADVICE, ADVISED, Advice, Adviser
from services.gateway.asking import Asker
from services.gateway.denials import NoSuchPage, WrongMediaType, WrongMethod
from services.gateway.entry import KEY_HEADER, KEY_PATTERN, Entry, Holder
from services.gateway.live import CHECK_S, HEARTBEAT_S, Event, Live
from services.gateway.pages import EVENTS_VIEW, MAX_LIMIT_ROWS, PROJECTS_VIEW, Lists, Page, question, search
from services.gateway.problems import problem
from services.landing.asking import asked as ask_landing
from services.landing.params import LANDING_VIEWS
from services.recall.asking import recall
from services.recall.params import VIEW as RECALL

READERS = 8
PAST_READERS = 4
"""Looks at the past may take long: they have threads of their own, and the present never waits for them."""

STREAM = "/api/{project}/stream"
LAST_EVENT_HEADER = "Last-Event-ID"
RETRY_MS = 1_000
_MAX_DIGITS = 18

Handler = Callable[[Request], Awaitable[Response]]
HolderHandler = Callable[[Request, Holder], Awaitable[Response]]
Denied = Callable[[CoordError], None]
"""Takes a refusal, to count it."""


class Api:
    """Answers for the API's routes. Close it in the end."""

    def __init__(self, entry: Entry, asker: Asker, lists: Lists, live: Live, denied: Denied) -> None:
        self._entry = entry
        self._asker = asker
        self._adviser = Adviser(asker)
        self._lists = lists
        self._live = live
        self._denied = denied
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="http")
        self._past_readers = ThreadPoolExecutor(PAST_READERS, thread_name_prefix="http-past")

    def routes(self) -> list[tuple[str, list[str], Handler]]:
        """Paths, methods and handlers, in the order to try them. Whoever calls one tells its CoordErrors."""
        return [
            ("/api/openapi.json", ["GET"], self._describe),
            (STREAM, ["GET"], self._admitted(self._stream)),
            ("/api/{project}/{view}", ["GET"], self._admitted(self._list)),
            ("/api/{project}/{context}/{verb}", ["POST"], self._admitted(self._command)),
        ]

    def close(self) -> None:
        self._readers.shutdown()
        self._past_readers.shutdown()

    def _admitted(self, handler: HolderHandler) -> Handler:
        """The handler, for those who may come in, and have not too much under way."""

        async def admitted(request: Request) -> Response:
            holder = self._entry.admit(request.headers)
            with self._entry.under_way(holder):
                return await handler(request, holder)

        return admitted

    async def _describe(self, _: Request) -> Response:
        """Open to all: it says nothing that the program's source does not."""
        from services.gateway.openapi import document

        return Response(msgspec.json.encode(document()), media_type="application/json")

    async def _command(self, request: Request, holder: Holder) -> Response:
        project, verb = request.path_params["project"], "{context}.{verb}".format(**request.path_params)
        holder.check_project(project)
        if verb in COMMANDS:
            holder.check_verb(project, verb)
        advised = _advised(verb, request.url.query)
        body = await _json(request)
        command, body = _parsed(verb, body)
        subject, headers = command_subject(project, holder.actor, verb), _headers(request, verb)
        asking = self._asker.ask(subject, body or b"{}", headers, _wait_s(command))
        if not advised:
            return _answered(await asking)
        return _answered(*await self._adviser.beside(project, command, asking))

    async def _list(self, request: Request, holder: Holder) -> Response:
        project, view = request.path_params["project"], request.path_params["view"]
        holder.check_project(project)
        asked = question(project, view, _parameters(request))
        if view == RECALL:
            params = search(asked, _parameters(request))
            position, hits = await recall(self._asker.client, project, params)
            return _paged(request, Page(position=position, result=hits))
        if view in LANDING_VIEWS:
            params = search(asked, _parameters(request))
            position, rows = await ask_landing(self._asker.client, project, view, params)
            return _paged(request, Page(position=position, result=rows))
        threads = self._past_readers if asked.looks_back else self._readers
        page = await _in_thread(threads, self._lists.answer, asked)
        if view == PROJECTS_VIEW and EVERY not in holder.token.projects:
            rows = [row for row in page.result if holder.may_see(row["project"])]
            page = msgspec.structs.replace(page, result=rows)
        return _paged(request, page)

    async def _stream(self, request: Request, holder: Holder) -> Response:
        if request.method != "GET":  # the router lets HEAD through, and a stream has no end to wait for
            raise WrongMethod(allowed="GET")
        project = request.path_params["project"]
        holder.check_project(project)
        after, after_position = _place(request)
        batches = self._batches(holder, project, after, after_position)
        first = await anext(batches)  # what refuses it is still a status, not an event
        return StreamingResponse(
            self._told(holder, first, batches),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _batches(
        self, holder: Holder, project: str, after: int, after_position: int
    ) -> AsyncIterator[list[Event]]:
        """The events of a stream, which is under way for as long as somebody listens."""
        batches = self._live.listen(project, after, self._reader(project, after_position))
        with self._entry.under_way(holder):
            async with aclosing(batches):  # type: ignore[type-var]  # it is a generator
                async for events in batches:
                    yield events

    def _reader(self, project: str, after_position: int) -> Callable[[int], Awaitable[list[Event]]]:
        async def read(after: int) -> list[Event]:
            given = {"after": str(after), "after_position": str(after_position), "limit": str(MAX_LIMIT_ROWS)}
            page: Page = await _in_thread(
                self._readers, self._lists.answer, question(project, EVENTS_VIEW, given)
            )
            return page.result

        return read

    async def _told(
        self, holder: Holder, first: list[Event], batches: AsyncIterator[list[Event]]
    ) -> AsyncIterator[bytes]:
        """Server-sent events until the listener goes, or must; the last one then says why."""
        yield f"retry: {RETRY_MS}\n\n".encode()
        silent_s = 0.0
        try:
            async with aclosing(batches):  # type: ignore[type-var]  # it is a generator
                yield _encoded(first)
                async for events in batches:
                    self._entry.check(holder)
                    silent_s = 0.0 if events else silent_s + CHECK_S
                    if events:
                        yield _encoded(events)
                    elif silent_s >= HEARTBEAT_S:
                        silent_s = 0.0
                        yield b": still here\n\n"
        except CoordError as error:
            self._denied(error)
            yield b"event: end\ndata: " + problem(error).body + b"\n\n"


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def refusal_of(error: Exception) -> CoordError:
    """What the router refuses, or nobody foresaw, as a refusal of ours."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        return WrongMethod(allowed=(error.headers or {}).get("Allow", ""))
    if isinstance(error, HTTPException):
        return NoSuchPage()
    return InternalError(verb="the request", kind=type(error).__name__)


def _advised(verb: str, query: str) -> bool:
    """Whether a command's answer is to come with advice. Raises BadInput."""
    may = verb in ADVISED
    if not query:
        return may
    if not may:
        raise BadInput(verb=verb, why="a command's fields are in its body, and none in the URL")
    if query not in (f"{ADVICE}=true", f"{ADVICE}=false"):
        raise BadInput(verb=verb, why=f"fields are in the body; in the URL is `{ADVICE}=false` or nothing")
    return query == f"{ADVICE}=true"


def _answered(answer: Answer, advice: Advice | None = None) -> Response:
    told: dict[str, Any] = {"position": answer.position, "sequence": answer.sequence, "result": answer.result}
    if advice is not None:
        told[ADVICE] = advice
    return Response(msgspec.json.encode(told), media_type="application/json")


def _paged(request: Request, page: Page) -> Response:
    """The page, and where the next one is: in the body, and as the web has it in a Link header."""
    headers = {}
    if page.next is not None:
        given = {**_parameters(request), "cursor": page.next}
        headers["Link"] = f'<{request.url.path}?{urlencode(given)}>; rel="next"'
    return Response(msgspec.json.encode(page), media_type="application/json", headers=headers)


async def _json(request: Request) -> bytes:
    """The body. Raises WrongMediaType."""
    body = await request.body()
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if (body or kind) and (kind.strip() != "application/json" or charset not in ("", "utf-8")):
        raise WrongMediaType
    return body


def _parsed(verb: str, body: bytes) -> tuple[Command, bytes]:
    """The command, and the body as it is sent on: 98.0 is as good a whole number as 98, says JSON Schema.

    Raises UnknownVerb, BadInput or PayloadTooLarge.
    """
    check_json(verb, body)  # before anything looks into it that has no bound of its own
    try:
        return parse_command(verb, body), body
    except BadInput:
        try:
            plainer = msgspec.json.encode(_whole(msgspec.json.decode(body or b"{}")))
        except (msgspec.DecodeError, UnicodeDecodeError):
            plainer = body
        return parse_command(verb, plainer), plainer


def _whole(value: Any) -> Any:
    """The same JSON, in which numbers without a fraction are written without one."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _headers(request: Request, verb: str) -> dict[str, str]:
    """What goes along with a command. Raises BadInput."""
    keys = request.headers.getlist(KEY_HEADER)
    if len(keys) > 1:
        raise BadInput(verb=KEY_HEADER, why="there is more than one")
    if keys and not re.fullmatch(KEY_PATTERN, keys[0]):
        raise BadInput(verb=KEY_HEADER, why="a key is 1 to 100 printable characters without spaces")
    command_id = f"{verb}:{keys[0]}" if keys else uuid4().hex
    trace = parse_trace(request.headers)
    return {COMMAND_ID_HEADER: command_id, **({TRACE_HEADER: trace} if trace else {})}


def _wait_s(command: Command) -> float:
    """How long a command may wait for what it asks."""
    return float(getattr(command, "wait_s", 0.0))


def _parameters(request: Request) -> Mapping[str, str]:
    """The query of the URL. Raises BadInput if a parameter comes twice."""
    given = request.query_params.multi_items()
    if len(given) > len(dict(given)):
        raise BadInput(verb="a read", why="a parameter is given twice; several values go with commas between")
    return dict(given)


def _place(request: Request) -> tuple[int, int]:
    """After which sequence, and after which position, a stream begins. Raises BadInput."""
    given = dict(_parameters(request))
    resumed = request.headers.get(LAST_EVENT_HEADER)
    after = _number("after", given.pop("after", "0"))
    position = _number("after_position", given.pop("after_position", "0"))
    if given:
        raise BadInput(verb="stream", why=f"there is no parameter {min(given)}")
    return (after if resumed is None else _number(LAST_EVENT_HEADER, resumed)), position


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise BadInput(verb="stream", why=f"`{name}` is a whole number")
    return int(text)


def _encoded(events: list[Event]) -> bytes:
    """Each with its sequence as id, so that a client that connects again is told what it missed."""
    lines = (b"id: %d\ndata: %s\n\n" % (each["sequence"], msgspec.json.encode(each)) for each in events)
    return b"".join(lines)
