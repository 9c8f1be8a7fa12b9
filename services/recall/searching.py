"""The search: by meaning among a project's vectors, by words among its texts, and what is so of the found.

Each path ranks by itself and says that it found what it found; nothing is mixed from ranks. When both are
asked, what has a name that was asked for comes first, then what means the same, then what shares words.

It reads the tables of recall, the read models and the log, and changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Self

import msgspec
import psycopg
from psycopg.errors import UndefinedTable
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from domain.errors import CoordError
from domain.memory import strength
from projections.memory import MemoryRow
from services.errors import BadInput, Unavailable
from services.log.codec import Codec
from services.log.database import ImpatientConnection
from services.log.event_log import EventLog
from services.log.lineage import READ_MARKS, read_lineage
from services.projector.tables import Connection, connected
from services.projector.tracking import PROJECTED, tracked
from services.reading.points import parse_point, resolve
from services.reading.reads import data_of, parse
from services.reading.travel import Travel
from services.recall import tables
from services.recall.embedder import Embedder
from services.recall.params import VIEW, RecallHit, RecallParams
from services.recall.paths import Candidate, Candidates, Meant, Scope, by_meaning, by_text, latest
from services.recall.sources import BY_NAME, CODE, SOURCES
from services.recall.states import States

POOL_CONNECTIONS = 4
TIMEOUT_S = 5.0
MORE_CANDIDATES = 10
"""So many more than are wanted are looked at first: most are as asked."""

MAX_CANDIDATES = 10_000
_CURRENT = ("current",)
_SEARCH_SESSION = """
SET timezone = 'UTC';
SET statement_timeout = '5s';
SET jit = off;
SET hnsw.iterative_scan = strict_order
"""


class _ReadConnection(ImpatientConnection[Any]):
    silence_s = 10.0


class Search:
    """Answers searches; safe to use from several threads. Close it in the end.

    `embedder` gives the embedder if there is one now, and else raises why there is none.
    """

    def __init__(self, url: str, log: EventLog, codec: Codec, embedder: Callable[[], Embedder]) -> None:
        self._url = url
        self._log = log
        self._codec = codec
        self._embedder = embedder
        self._pool = ConnectionPool(
            url,
            connection_class=_ReadConnection,
            min_size=1,
            max_size=POOL_CONNECTIONS,
            timeout=TIMEOUT_S,
            kwargs={"autocommit": True, "prepare_threshold": None, "connect_timeout": 5},
            configure=_configure,
            open=True,
        )

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, project: str, given: dict[str, Any]) -> tuple[int, list[RecallHit]]:
        """The position up to which texts can be found, and what was found, the best first.

        Raises BadInput, Unavailable, EmbedderMissing or what a point may raise.
        """
        params = parse(VIEW, given)
        assert isinstance(params, RecallParams)
        if unknown := [name for name in params.source if name not in BY_NAME]:
            why = f"there is no source {unknown[0]}; there are {', '.join(BY_NAME)}"
            raise BadInput(verb="a search", why=why)
        position = self._position(project, params.as_of)
        meant = self._meant(params)
        with self._connection() as connection:
            if params.min_position:
                _wait_for(connection, params.min_position, params.wait_s, meant)
            scope = self._scope(connection, project, position, params, meant)
            with connection.transaction():
                states = States(connection, self._log, self._codec, self._url, scope.position)
                found = [*islice(self._found(connection, scope, states), params.offset, None)]
                return tables.progress(connection, tables.TEXTS, CODE) or 0, found

    def _position(self, project: str, as_of: str | None) -> int | None:
        if as_of is None:
            return None
        with connected(self._url) as connection:
            travel = Travel(self._log, self._codec, connection)
            return resolve(parse_point(as_of), self._log, travel, project, datetime.now(UTC))

    def _meant(self, params: RecallParams) -> Meant | None:
        """What the text means, if that is asked for; None also if there is no embedder to tell."""
        if params.text is None or params.by == "text":
            return None
        try:
            embedder = self._embedder()
            vector = tables.literal(embedder.embed([params.text])[0])
        except CoordError:
            if params.by == "meaning":
                raise
            return None
        usual = embedder.threshold if params.sure else embedder.floor
        return Meant(embedder.model, vector, usual if params.least is None else params.least)

    def _scope(
        self,
        connection: Connection,
        project: str,
        position: int | None,
        params: RecallParams,
        meant: Meant | None,
    ) -> Scope:
        lineage = read_lineage(
            project, lambda stream: connection.execute(READ_MARKS, {"stream": stream}).fetchall()
        )
        if position is None:
            segments = lineage.effective()
        else:
            segments = lineage.effective(self._log.sequence_at(project, position))
        return Scope(project=project, segments=segments, position=position, params=params, meant=meant)

    def _found(self, connection: Connection, scope: Scope, states: States) -> Iterator[RecallHit]:
        """The hits of all paths that were asked, each record once."""
        most, told = scope.params.offset + scope.params.limit, set[tuple[str, str, str]]()
        for by, candidates in self._paths(connection, scope):
            for candidate, row in _passing(scope, states, candidates):
                if candidate.key in told:
                    continue
                told.add(candidate.key)
                yield _hit(by, candidate, row, states, scope.params.max_chars)
                if len(told) >= most:
                    return

    def _paths(self, connection: Connection, scope: Scope) -> Iterator[tuple[Any, Candidates]]:
        text, by, meant = scope.params.text, scope.params.by, scope.meant
        if text is None:
            yield "time", lambda limit: latest(connection, scope, limit)
            return
        written: list[Candidate] = []
        if by != "meaning":
            written = by_text(connection, scope, text)
            yield "text", lambda limit: [each for each in written if each.exact][:limit]
        if meant is not None and (model := tables.model_of(connection, meant.model)) is not None:
            yield "meaning", lambda limit: by_meaning(connection, scope, model, meant, limit)
        yield "text", lambda limit: written[:limit]

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.DataError, UnicodeEncodeError) as error:
            raise BadInput(verb="a search", why="text that Postgres cannot hold was asked for") from error
        except UndefinedTable as error:
            raise Unavailable(what="The search", why="its tables are not there yet") from error
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed) as error:
            raise Unavailable(what="The database", why=" ".join(str(error).split())) from error


def _passing(scope: Scope, states: States, candidates: Candidates) -> Iterator[tuple[Candidate, Any]]:
    """Those whose rows are as asked. More are looked for as long as some were of no use."""
    limit, seen = min(MORE_CANDIDATES + scope.params.offset + scope.params.limit, MAX_CANDIDATES), 0
    while True:
        found = candidates(limit)
        fresh = found[seen:]
        rows = states.rows((each.owner, each.source, each.entity) for each in fresh)
        for each in fresh:
            row = rows.get(each.key)
            if row is not None and _fits(scope, each, row):
                yield each, row
        if len(found) < limit or limit >= MAX_CANDIDATES:
            return
        seen, limit = len(found), min(4 * limit, MAX_CANDIDATES)


def _fits(scope: Scope, candidate: Candidate, row: Any) -> bool:
    """Whether the reader may find it, and it still says so, in the state asked for."""
    source = BY_NAME[candidate.source]
    if candidate.sequence < source.said(row) or source.status(row) not in (scope.params.status or _CURRENT):
        return False
    if not isinstance(row, MemoryRow):
        return True
    if candidate.owner != scope.project:
        return row.visibility == "shared" or scope.project in row.shared_projects
    reader = scope.params.reader
    return row.visibility != "private" or reader == row.agent or reader in row.shared_agents


def _hit(by: Any, candidate: Candidate, row: Any, states: States, max_chars: int | None) -> RecallHit:
    left, told = None, data_of(row)
    if max_chars is not None:
        told = {name: shortened(value, max_chars) for name, value in told.items()}
    if isinstance(row, MemoryRow):
        half_life_days = states.half_life_days(candidate.owner)
        left = round(strength(row.importance, row.touched_at, states.now, half_life_days), 3)
    return RecallHit(
        source=candidate.source,
        id=candidate.entity,
        project=candidate.owner,
        by=by,
        score=round(min(max(candidate.score, 0.0), 1.0), 3),
        strength=left,
        row=told,
    )


def shortened(value: Any, max_chars: int) -> Any:
    """A text, or what has texts in it, with none that is longer."""
    if isinstance(value, str) and len(value) > max_chars:
        return value[: max_chars - 1] + "…"
    return [shortened(each, max_chars) for each in value] if isinstance(value, list | tuple) else value


def _wait_for(connection: Connection, position: int, timeout_s: float, meant: Meant | None) -> None:
    """Wait for what is known of an event to be found; one that is long in coming is not waited for."""
    deadline = datetime.now(UTC).timestamp() + min(timeout_s, TIMEOUT_S)
    connection.execute(f"LISTEN {tables.RECALLED}; LISTEN {PROJECTED}")
    try:
        while not _reached(connection, position, meant):
            left_s = deadline - datetime.now(UTC).timestamp()
            if left_s <= 0:
                return
            list(connection.notifies(timeout=min(left_s, 1.0), stop_after=1))
    finally:
        if not connection.broken:
            connection.execute("UNLISTEN *")


def _reached(connection: Connection, position: int, meant: Meant | None) -> bool:
    standing = tracked(connection, [source.projection.name for source in SOURCES]).values()
    texts = tables.progress(connection, tables.TEXTS, CODE) or 0
    if min((texts, *(each.position for each in standing))) < position:
        return False
    model = None if meant is None else tables.model_of(connection, meant.model)
    return meant is None or (model is not None and model.position >= position)


def _configure(connection: Connection) -> None:
    connection.execute(_SEARCH_SESSION)


def told(hits: Sequence[RecallHit]) -> list[dict[str, Any]]:
    """Hits as they are sent."""
    found: list[dict[str, Any]] = msgspec.to_builtins(hits, builtin_types=(datetime,))
    return found
