"""The console's addresses: login, pages, parts of pages, data for plots, what happens, and commands.

Routes only: who sits there is known to `entry`, what is shown comes from `rows` and `detail_depth`, what
happens from `live`. Refusals are problems to scripts, and pages to people.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, Router

from domain.errors import CoordError
from services.access.roles import EVERY, verbs_of
from services.bus.wire import parse_id
from services.console import detail_depth
from services.console.asked import (
    bearer,
    code_in,
    cookie_of,
    moment_in,
    number,
    params_of,
    place_in,
    sequences,
)
from services.console.detail_depth import Depth
from services.console.door import Means
from services.console.entry import CODE_LIFE_S, SESSION_LIFE_S, Sessions
from services.console.live import now, tell
from services.console.pages import STATIC, Pages
from services.console.rows import PIECES, VIEWS
from services.console.sight import Desk
from services.gateway.api import LAST_EVENT_HEADER
from services.gateway.denials import NoSuchPage, WrongMediaType
from services.gateway.entry import KEY_HEADER, Holder
from services.gateway.live import Event
from services.gateway.pages import MAX_LIMIT_ROWS
from services.gateway.problems import problem, status_of

READERS = 4
NAMED_AGENTS = 200
"""How many a page proposes where an agent is to be named."""

THEME_COOKIE = "coord_theme"
THEMES = ("system", "light", "dark")
DEPTH_VIEWS = frozenset({"compare", "graph", "learned"})
"""The parts of the depth that fill the page."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
}
_FOR_A_YEAR = "public, max-age=31536000, immutable"
_MOST_CHARS = 10_000

Handler = Callable[[Request], Awaitable[Response]]


class Console:
    """Answers for everything below `/console`. Close it in the end."""

    def __init__(self, means: Means) -> None:
        self._reads = means.reads
        self._live = means.live
        self._entry = means.entry
        self._metrics = means.metrics
        self._denied = means.denied
        self._desk = Desk(means.database_url, means.log, means.reads, means.metrics.replaying)
        self._depth = Depth(self._desk, means.asker)
        self._sessions = Sessions(means.tokens, means.entry)
        self._pages = Pages()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="console")
        self.app = Router(self._routes(), redirect_slashes=False)

    def close(self) -> None:
        self._readers.shutdown()

    def _routes(self) -> list[Route]:
        one = "/console/{project}"
        handlers: list[tuple[str, str, Handler]] = [
            ("GET", "/console", self._home),
            ("GET", "/console/login", self._ask_in),
            ("POST", "/console/login", self._log_in),
            ("POST", "/console/logout", self._log_out),
            ("POST", "/console/codes", self._code),
            ("GET", f"{STATIC}/{{version}}/{{path:path}}", self._static),
            ("GET", one, self._page),
            ("GET", f"{one}/part/{{name}}", self._part),
            ("GET", f"{one}/data/{{name}}", self._data),
            ("GET", f"{one}/live", self._listen),
            ("POST", f"{one}/do/{{context}}/{{verb}}", self._do),
        ]
        return [Route(path, self._told(path, handler), methods=[verb]) for verb, path, handler in handlers]

    def _told(self, path: str, handler: Handler) -> Handler:
        """The handler, its refusals told as the one who asks can read them; all of its answers counted."""

        async def told(request: Request) -> Response:
            began = time.perf_counter()
            try:
                response = await handler(request)
            except CoordError as error:
                self._denied(error)
                response = self._refused(request, error)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            self._metrics.requested(path, response.status_code, time.perf_counter() - began)
            return response

        return told

    def _refused(self, request: Request, error: CoordError) -> Response:
        """A problem to a script; to a person a page, which for a stranger is the login."""
        if "text/html" not in request.headers.get("accept", "") or "hx-request" in request.headers:
            return problem(error)
        status = status_of(error)
        if status == 401 and request.method == "GET":
            place = f"{request.url.path}?{request.url.query}".rstrip("?")
            return RedirectResponse(f"/console/login?next={quote(place, safe='')}", 303)
        project = request.path_params.get("project") if status in (400, 404) else None
        return self._html(
            "refused.html", {"error": error, "status": status, "project": project}, status=status
        )

    # Coming in

    async def _home(self, request: Request) -> Response:
        """The projects there are; the only one at once."""
        holder = self._holder(request)
        projects = await self._projects(holder)
        if len(projects) == 1:
            return RedirectResponse(f"/console/{projects[0]}", 303)
        return self._html("home.html", {"projects": projects, "holder": holder})

    async def _ask_in(self, request: Request) -> Response:
        """A form for a token; its script takes the code that `coordctl console` put behind the #."""
        return self._html("login.html", {"next": place_in(request.query_params.get("next")), "why": ""})

    async def _log_in(self, request: Request) -> Response:
        """Begin a session, for a code as JSON or for a token of the form."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await request.body()
        if kind == "application/json":
            holder = self._sessions.redeem(code_in(body))
            return self._welcomed(request, holder, Response(status_code=204))
        if kind != "application/x-www-form-urlencoded" or len(body) > _MOST_CHARS:
            raise WrongMediaType
        form = parse_qs(body.decode(errors="replace"))
        place = place_in(form.get("next", [""])[0])
        try:
            holder = self._entry.admit(bearer(form.get("token", [""])[0].strip()))
        except CoordError as error:
            self._denied(error)
            why = f"{error.facts['why']}." if "why" in error.facts else str(error)
            return self._html("login.html", {"next": place, "why": why}, status=status_of(error))
        return self._welcomed(request, holder, RedirectResponse(place, 303))

    def _welcomed(self, request: Request, holder: Holder, response: Response) -> Response:
        response.set_cookie(
            cookie_of(request), self._sessions.begin(holder), max_age=SESSION_LIFE_S, path="/console",
            secure=request.url.scheme == "https", httponly=True, samesite="strict",
        )  # fmt: skip
        return response

    async def _log_out(self, request: Request) -> Response:
        self._sessions.end(request.cookies.get(cookie_of(request), ""))
        response = RedirectResponse("/console/login", 303)
        response.delete_cookie(cookie_of(request), path="/console", httponly=True, samesite="strict")
        return response

    async def _code(self, request: Request) -> Response:
        """For whoever shows a token: a code with which a browser can come in once."""
        holder = self._entry.admit(request.headers)
        return _json({"code": self._sessions.code(holder), "expires_in_s": CODE_LIFE_S})

    # Showing

    async def _static(self, request: Request) -> Response:
        found = self._pages.files.get(request.path_params["path"])
        if found is None:
            raise NoSuchPage
        headers = {"Vary": "Accept-Encoding"}
        if request.path_params["version"] == self._pages.version:
            headers["Cache-Control"] = _FOR_A_YEAR
        packed = found.packed if "gzip" in request.headers.get("accept-encoding", "") else None
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return Response(packed or found.content, media_type=found.media_type, headers=headers)

    async def _page(self, request: Request) -> Response:
        """The whole page with the view that the query names in it."""
        holder, project = self._admitted(request)
        view = request.query_params.get("view", "fleet")
        if view not in VIEWS and view not in DEPTH_VIEWS:
            raise NoSuchPage
        part, agents, projects, theme = await asyncio.gather(
            self._in_thread(self._shown, request, holder, project, view),
            self._in_thread(self._reads.read, project, "agents", {"limit": NAMED_AGENTS}),
            self._projects(holder),
            self._theme(request, holder, project),
        )
        variables = part | {
            "projects": projects,
            "names": [row["agent"] for row in agents],
            "theme": theme,
            "now_iso": now(),
            "turns": frozenset(_verbs(holder)),
        }
        return self._html("base.html", variables)

    async def _part(self, request: Request) -> Response:
        """A view, or a piece of one, as HTML."""
        holder, project = self._admitted(request)
        name = request.path_params["name"]
        variables = await self._in_thread(self._shown, request, holder, project, name)
        template = "part.html" if name in VIEWS or name in DEPTH_VIEWS else variables["template"]
        return self._html(template, variables)

    async def _data(self, request: Request) -> Response:
        """What plots and the slider are drawn from, as JSON."""
        holder, project = self._admitted(request)
        name, as_of = request.path_params["name"], moment_in(request)
        if name == "moment":
            moment = await self._in_thread(self._desk.moment, project, as_of)
            return _json(moment)
        if name == "times":
            return _json(await self._in_thread(self._times, project, sequences(request)))
        if name not in detail_depth.DATA:
            raise NoSuchPage
        content = await self._in_thread(self._depth.data, name, holder, project, as_of, params_of(request))
        return Response(content, media_type="application/json")

    def _shown(self, request: Request, holder: Holder, project: str, name: str) -> dict[str, Any]:
        """The variables of a part, and the template that takes them."""
        as_of, given = moment_in(request), params_of(request)
        told: dict[str, Any] = {
            "view": name, "project": project, "holder": holder, "now": datetime.now(UTC),
            "may": frozenset() if as_of is not None else frozenset(_verbs(holder)),
        }  # fmt: skip
        part = VIEWS.get(name) or PIECES.get(name)
        if part is None and name not in detail_depth.PARTS:
            raise NoSuchPage
        with self._desk.sight(project, as_of, number(request, "seen") or 0) as sight:
            if sight.moment.at is not None and as_of is not None:
                told["now"] = sight.moment.at
            told["moment"] = sight.moment
            if part is not None:
                return {**told, "template": part.template, **part.gather(sight, given, holder.actor)}
            counts = sight.counts() if name in DEPTH_VIEWS else None
        template, variables = self._depth.part(name, holder, project, as_of, given)
        return {**told, "template": template, "counts": counts, **variables}

    def _times(self, project: str, sequences: Sequence[int]) -> list[tuple[int, int]]:
        """Of each of these events its sequence, and when it happened in milliseconds since 1970."""
        found = self._desk.events(project, sequences)
        return [(each.sequence, int(each.at.timestamp() * 1_000)) for each in found]

    async def _theme(self, request: Request, holder: Holder, project: str) -> str:
        """What this browser chose, or else the user's setting."""
        chosen = request.cookies.get(THEME_COOKIE, "")
        if chosen not in THEMES:
            params = {"user": holder.actor, "entity": "theme"}
            rows = await self._in_thread(self._reads.read, project, "settings", params)
            chosen = next((row["value"] for row in rows if row["scope"] == "user"), "system")
        return chosen

    # Telling and doing

    async def _listen(self, request: Request) -> Response:
        """What happens after a sequence, as server-sent events."""
        _, project = self._admitted(request)
        resumed = request.headers.get(LAST_EVENT_HEADER, "")
        after = int(resumed) if resumed.isdecimal() and resumed.isascii() else number(request, "after") or 0
        head, _ = await self._in_thread(self._desk.log.project_head, project)
        read = self._reader(project)
        cookie = request.cookies.get(cookie_of(request), "")
        told = tell(self._live, project, after, head, read, lambda: self._allowed(cookie, project))
        return StreamingResponse(told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    def _reader(self, project: str) -> Callable[[int], Awaitable[list[Event]]]:
        async def read(after: int) -> list[Event]:
            params = {"after": after, "limit": MAX_LIMIT_ROWS}
            events: list[Event] = await self._in_thread(self._reads.read, project, "events", params)
            return events

        return read

    async def _do(self, request: Request) -> Response:
        """Carry out a command, in the name of whoever is logged in."""
        holder, project = self._admitted(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise WrongMediaType
        verb = "{context}.{verb}".format(**request.path_params)
        key = parse_id(request.headers, KEY_HEADER)
        answer = await self._depth.do(holder, project, verb, await request.body(), key)
        return Response(answer, media_type="application/json")

    # What all need

    def _holder(self, request: Request) -> Holder:
        return self._sessions.holder(request.cookies.get(cookie_of(request)))

    def _admitted(self, request: Request) -> tuple[Holder, str]:
        """Who it is, and the project, which is open to them. Raises Unauthenticated, BadName or Forbidden."""
        holder, project = self._holder(request), request.path_params["project"]
        holder.check_project(project)
        return holder, project

    def _allowed(self, cookie: str, project: str) -> None:
        """Return if who was let in before still would be. Raises what `_admitted` does."""
        self._sessions.check(cookie).check_project(project)

    async def _projects(self, holder: Holder) -> list[str]:
        names = await self._in_thread(self._reads.projects)
        return [name for name in names if holder.may_see(name) and not name.startswith("_")]

    def _html(self, template: str, variables: dict[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self._pages.render(template, variables), status)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)


def _verbs(holder: Holder) -> list[str]:
    return verbs_of(holder.role, all_projects=EVERY in holder.token.projects)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
