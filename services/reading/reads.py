"""Reading the read models: every list by name, its parameters checked, from the live tables or from a replay.

It reads the projections' tables in Postgres and writes nothing. What it returns are dictionaries ready for
JSON, with times as datetimes; the doors only carry them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Any, Self

import msgspec
import psycopg
from msgspec import Struct
from psycopg import IsolationLevel
from psycopg.sql import SQL, Identifier
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from domain.errors import CoordError
from domain.messages import SYSTEM_PROJECT
from projections.activity import ACTIVITY
from projections.catalog import PROJECTIONS, VIEWS
from projections.framework import Projection
from projections.queue import QUEUE
from projections.settings import SettingParams
from projections.views import MAX_WAIT_S, Filter, Page, View
from services.errors import BadInput, Unavailable, UnknownView
from services.landing.params import AUDIT, HISTORY, LANDING, LandingParams, OfSessionParams
from services.log.database import ImpatientConnection
from services.log.event_pages import EventParams, read_events
from services.projector.layers import read_layers
from services.projector.tables import Connection
from services.projector.tracking import PROJECTED
from services.reading.composed import COMPOSED, COUNTED, Composed
from services.reading.listing import all_rows, chosen, query
from services.reading.named import named, parts_for
from services.recall.params import VIEW as RECALL
from services.recall.params import RecallParams

POOL_CONNECTIONS = 8
TIMEOUT_S = 5.0
"""How long a read waits for a connection: for its turn, or for a database that went away."""

_CONNECT_TIMEOUT_S = 5
_STATEMENT_TIMEOUT_S = 9
_SILENCE_S = 10.0
"""A database that does not even keep its own timeout hangs."""

_POLL_TIMEOUT_S = 1.0

Item = dict[str, Any]
"""One entry of an answer."""


class NotYetVisible(CoordError):
    """The event is in the log, but the projector is not there yet."""

    code = "not_yet_visible"
    says = (
        "The read models stand at position {position}, {behind} before {wanted}; ask again in a moment, and"
        " see `coordctl doctor` if they do not move."
    )
    retryable = True


class Tally(Struct, frozen=True):
    """How many `agents`, `tasks` or `handoffs` of a project have a status."""

    project: str
    kind: str
    status: str
    count: int


class _ReadConnection(ImpatientConnection[Any]):
    silence_s = _SILENCE_S


class Reads:
    """Answers questions from the read models; safe to use from several threads. Close it in the end."""

    def __init__(
        self, url: str, *, pool_connections: int = POOL_CONNECTIONS, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._pool = ConnectionPool(
            url,
            connection_class=_ReadConnection,
            min_size=1,
            max_size=pool_connections,
            timeout=timeout_s,
            kwargs={"autocommit": True, "prepare_threshold": None, "connect_timeout": _CONNECT_TIMEOUT_S},
            configure=_configure,
            check=ConnectionPool.check_connection,
            open=True,
        )

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, project: str, view: str, params: Mapping[str, Any] | None = None) -> list[Item]:
        """The rows of a view. Parameters may be text, as in a URL, with commas between several values.

        Raises UnknownView, BadInput, NotFound, NotYetVisible or Unavailable.
        """
        page = parse(view, params or {})
        if page.min_position:
            self.wait_for(page.min_position, page.wait_s)
        with self._snapshot() as connection:
            return _answered(connection, view, project, page)

    def several(
        self, project: str, asked: Mapping[str, tuple[str, Mapping[str, Any]]]
    ) -> tuple[int, dict[str, list[Item]]]:
        """The rows of several views, all of one moment, and the position that all of them include.

        `asked` gives by the name of each answer the view and its parameters. Raises what `read` does.
        """
        pages = {name: (view, parse(view, params)) for name, (view, params) in asked.items()}
        with self._snapshot() as connection:
            rows = {name: _answered(connection, view, project, page) for name, (view, page) in pages.items()}
            return _visible(connection), rows

    def wait_for(self, position: int, timeout_s: float) -> None:
        """Return when every read model includes the event at this position. Raises NotYetVisible.

        For what the log does not have nobody waits: some such reads would keep all others waiting.
        """
        deadline = monotonic() + min(timeout_s, MAX_WAIT_S)
        with self._connection() as connection:
            if _visible(connection) >= position:
                return
            if _head(connection) < position:
                deadline = monotonic()
            connection.execute(SQL("LISTEN {}").format(Identifier(PROJECTED)))
            try:
                while (reached := _visible(connection)) < position:
                    left_s = deadline - monotonic()
                    if left_s <= 0:
                        raise NotYetVisible(position=reached, behind=position - reached, wanted=position)
                    list(connection.notifies(timeout=min(left_s, _POLL_TIMEOUT_S), stop_after=1))
            finally:
                if not connection.broken:
                    connection.execute("UNLISTEN *")

    def visible(self) -> int:
        """The position that every read model has reached."""
        with self._connection() as connection:
            return _visible(connection)

    def tallies(self, project: str | None = None) -> list[Tally]:
        """Counts by status, of one project or of all."""
        with self._snapshot() as connection:
            return _tallies(connection, project)

    def projects(self) -> list[str]:
        """The names of all projects, in order."""
        with self._snapshot() as connection:
            return [row["project"] for row in query(connection, ACTIVITY, "projects", {})]

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """A connection whose reads all see the same moment."""
        with self._connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with refusing(), self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed) as error:
            raise Unavailable(what="The database", why=" ".join(str(error).split())) from error


@contextmanager
def refusing() -> Iterator[None]:
    """What Postgres has against a read, told as a refusal; that it is gone is told elsewhere."""
    try:
        yield
    except (psycopg.DataError, UnicodeEncodeError) as error:
        raise BadInput(verb="a read", why="text that Postgres cannot hold was asked for") from error
    except psycopg.errors.UndefinedTable as error:
        raise Unavailable(what="The read model", why="the projector has not built it yet") from error


def shape(view: str, rows: Collection[Any], params: Mapping[str, Any] | None = None) -> list[Item]:
    """The rows of a replay as the view would list them: the same filters, order and bounds.

    `rows` are all that the replay has of one project in the projection of the view's name; for `settings`
    also those of the system. Raises UnknownView or BadInput.
    """
    if view not in VIEWS:
        raise UnknownView(view=view, views=", ".join(sorted(VIEWS)))
    listed = VIEWS[view].select(rows, parse(view, params or {}))
    if view == QUEUE.name:
        return with_blockers(listed, {row.task for row in rows if row.status != "completed"})
    return [data_of(row) for row in listed]


def parse(view: str, params: Mapping[str, Any]) -> Page:
    """The parameters of a view, checked. Raises UnknownView or BadInput."""
    kind = view_params(view)
    several = {field.name for field in msgspec.structs.fields(kind) if field.default == ()}
    given = {
        name: value.split(",") if name in several and isinstance(value, str) else value
        for name, value in params.items()
    }
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(verb=f"view {view}", why=str(error)) from error


def view_params(view: str) -> type[Page]:
    """What a view takes. Raises UnknownView."""
    if view in _SPECIAL:
        return _SPECIAL[view].params
    if view in VIEWS:
        return VIEWS[view].params
    raise UnknownView(view=view, views=", ".join(view_names()))


def view_names() -> list[str]:
    """Every view there is."""
    return sorted({*VIEWS, *_SPECIAL})


def _answered(connection: Connection, view: str, project: str, page: Page) -> list[Item]:
    if page.as_of is not None:
        raise BadInput(
            verb=f"view {view}", why="`as_of` asks for the past, and only the present is told here"
        )
    if view in _SPECIAL:
        return _SPECIAL[view].answer(connection, project, page)
    return _listed(connection, VIEWS[view], project, page)


def _listed(connection: Connection, view: View[Any], project: str, page: Page) -> list[Item]:
    parts = parts_for(connection, view.projection, project)
    if view.merges is not None:
        candidates = all_rows(connection, view.projection, _mergeable(project, page), parts)
        if view.inherits and project != SYSTEM_PROJECT:
            candidates += all_rows(connection, view.projection, _mergeable(SYSTEM_PROJECT, page))
        return [data_of(row) for row in view.select(candidates, page)]
    rows = chosen(connection, view, project, page, parts=parts)
    if view.projection is not QUEUE:
        return [data_of(row) for row in rows]
    needed = list({name for row in rows for name in row.depends_on})
    unfinished = named(connection, QUEUE, "unfinished", project, {"tasks": needed})
    return with_blockers(rows, {found["task"] for found in unfinished})


def _mergeable(project: str, page: Page) -> list[Filter]:
    """Which rows of a project a view that merges needs; of users only those of the one asked for."""
    user = page.user if isinstance(page, SettingParams) else None
    return [Filter(("project",), (project,)), *([] if user is None else [Filter(("user",), ("", user))])]


def _projects(connection: Connection, _: str, page: Page) -> list[Item]:
    """All projects, whichever one asks."""
    return query(connection, ACTIVITY, "projects", {})[page.offset : page.offset + page.limit]


def _elsewhere(_: Connection, __: str, ___: Page) -> list[Item]:
    """It needs what the recall service or the log has; the doors carry it there."""
    raise Unavailable(what="The answer", why="it is asked for over NATS or HTTP")


class _Special(Struct, frozen=True):
    """A view that is not just the list of a projection's rows."""

    params: type[Page]
    answer: Callable[[Connection, str, Any], list[Item]]


class _Now(Struct, frozen=True):
    """A project as its tables have it."""

    connection: Connection
    project: str

    def listed(self, view: View[Any], page: Page) -> list[Item]:
        return _listed(self.connection, view, self.project, page)

    def named(self, projection: Projection[Any], name: str, parameters: Mapping[str, Any], /) -> list[Item]:
        return named(self.connection, projection, name, self.project, parameters)


def _composed(view: Composed) -> _Special:
    return _Special(
        view.params, lambda connection, project, page: view.answer(_Now(connection, project), page)
    )


_SPECIAL: Mapping[str, _Special] = {
    "events": _Special(EventParams, read_events),
    **{name: _composed(view) for name, view in COMPOSED.items()},
    "projects": _Special(Page, _projects),
    RECALL: _Special(RecallParams, _elsewhere),
    LANDING: _Special(LandingParams, _elsewhere),
    AUDIT: _Special(OfSessionParams, _elsewhere),
    HISTORY: _Special(OfSessionParams, _elsewhere),
}


def _tallies(connection: Connection, project: str | None) -> list[Tally]:
    return [
        Tally(row["project"], kind, row["status"], row["count"])
        for kind, projection in COUNTED.items()
        for row in _counted(connection, projection, project)
    ]


def _counted(connection: Connection, projection: Projection[Any], project: str | None) -> list[Item]:
    """By project and status; those that were forked or restored are counted one by one."""
    if project is not None:
        return named(connection, projection, "counts", project, {})
    layered = read_layers(connection).projects()
    found = query(connection, projection, "counts", {"project": None})
    plain = [row for row in found if row["project"] not in layered]
    return plain + [row for name in layered for row in named(connection, projection, "counts", name, {})]


def with_blockers(rows: Sequence[Any], unfinished: Collection[str]) -> list[Item]:
    """Tasks, each with those of its dependencies that it still waits for."""
    return [data_of(row) | {"blocked_by": [d for d in row.depends_on if d in unfinished]} for row in rows]


def data_of(row: Struct) -> Item:
    data: Item = msgspec.to_builtins(row, builtin_types=(datetime,))
    return data


def _visible(connection: Connection) -> int:
    names = [projection.name for projection in PROJECTIONS]
    found = connection.execute(
        "SELECT CASE WHEN count(*) = %s THEN min(position) ELSE 0 END FROM coord.projections"
        " WHERE name = ANY(%s)",
        (len(names), names),
    ).fetchone()
    assert found is not None  # an aggregate has one row
    return int(found[0])


def _head(connection: Connection) -> int:
    """The position of the log's last event."""
    found = connection.execute("SELECT coalesce(max(notification_id), 0) FROM coord.events").fetchone()
    assert found is not None  # an aggregate has one row
    return int(found[0])


def _configure(connection: Connection) -> None:
    """Each read is a snapshot that changes nothing and takes no longer than it may."""
    connection.execute("SET timezone = 'UTC'")
    connection.execute(SQL("SET statement_timeout = {}").format(f"{_STATEMENT_TIMEOUT_S}s"))
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
