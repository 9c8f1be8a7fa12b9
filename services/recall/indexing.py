"""The indexer: keeps up with the log, first with the texts of what is searched, then with their vectors.

Texts need no embedder, so one that is slow or dead delays the search by meaning and nothing else. Any number
of indexers may run: one works, the others stand by. Two that did at once would write the same rows.

It reads the log and writes the tables of `tables`.
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event as Flag

import msgspec
from msgspec import Struct
from psycopg.errors import (
    FeatureNotSupported,
    InsufficientPrivilege,
    UndefinedFile,
    UndefinedObject,
    UndefinedTable,
)
from psycopg.sql import SQL

from domain.errors import CoordError
from domain.memory import MemoryShared, MemoryStored
from domain.messages import Event, Recorded
from services.log.codec import Codec
from services.log.database import LogUnavailable, in_a_line
from services.log.event_log import EventLog
from services.projector.tables import Connection, connected
from services.recall import tables
from services.recall.embedder import Embedder
from services.recall.large import LargeProjects
from services.recall.sources import CODE, Searched, is_searched, searched
from services.recall.words import hashed, terms
from services.sharing.leadership import Leadership

LEADER = "coord.recall"
BATCH_EVENTS = 5_000
BATCH_TEXTS = 64
WAIT_S = 1.0
LEAD_TIMEOUT_S = 1.0
FIRST_BACKOFF_S = 0.2
MAX_BACKOFF_S = 5.0

_TEXT_COLUMNS = "project, sequence, position, source, entity, kind, tags, agent, at, text, terms"
_NEXT_TEXTS = """
SELECT project, sequence, position, source, text FROM coord.recall_texts
WHERE position > %s ORDER BY position LIMIT %s
"""
_SHARE = """
INSERT INTO coord.recall_shares (to_project, project, sequence, owner, position)
SELECT %s, project, sequence, %s, %s FROM coord.recall_texts WHERE source = 'memory' AND entity = %s
ON CONFLICT DO NOTHING
"""
_NO_VECTORS = (FeatureNotSupported, InsufficientPrivilege, UndefinedFile, UndefinedObject)

logger = logging.getLogger(__name__)


class VectorsMissing(CoordError):
    code = "vectors_missing"
    says = (
        "The database cannot keep vectors ({why}), so nothing is found by meaning; install pgvector 0.8 and"
        " `CREATE EXTENSION vector` there."
    )
    retryable = True


class Standing(Struct, frozen=True, kw_only=True):
    """How far texts and vectors are; `trouble` says why it does not go on, if it does not."""

    texts: int = 0
    vectors: int = 0
    leading: bool = False
    trouble: str = ""


class Indexer:
    """Run `run` in a thread of its own. The embedder is opened by it, and opened again after a failure."""

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        url: str,
        open_embedder: Callable[[], Embedder],
        *,
        hnsw_rows: int = tables.HNSW_ROWS,
    ) -> None:
        self._log = log
        self._codec = codec
        self._url = url
        self._open_embedder = open_embedder
        self._large = LargeProjects(url, hnsw_rows)
        self.standing = Standing()

    def run(self, stop: Flag) -> None:
        """Index until told to stop; whatever fails is tried again, a little later each time."""
        backoff_s = FIRST_BACKOFF_S
        while not stop.is_set():
            before = self.standing
            try:
                self._lead(stop)
            except (CoordError, UndefinedTable) as error:  # a table may be thrown away, to be made anew
                self.standing = msgspec.structs.replace(self.standing, trouble=str(error))
                moved = (before.texts, before.vectors) != (self.standing.texts, self.standing.vectors)
                backoff_s = FIRST_BACKOFF_S if moved else backoff_s
                logger.warning("indexing stopped for %.1f s: %s", backoff_s, error)
                stop.wait(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
        self._large.close()

    def catch_up(self) -> None:
        """Index all that is in the log now, and return."""
        with connected(self._url) as connection:
            tables.create(connection)
            while self._step_texts(connection):
                pass
            embedder = self._open_embedder()
            while self._step_vectors(connection, embedder):
                pass
            self._large.catch_up(embedder.model)

    def _lead(self, stop: Flag) -> None:
        leadership = Leadership(self._url, LEADER)
        try:
            while not leadership.acquire(LEAD_TIMEOUT_S):
                self.standing = Standing()
                if stop.is_set():
                    return
            with connected(self._url) as connection:
                tables.create(connection)
                self._work(connection, leadership, stop)
        finally:
            self.standing = msgspec.structs.replace(self.standing, leading=False)
            leadership.release()

    def _work(self, connection: Connection, leadership: Leadership, stop: Flag) -> None:
        """Texts go before vectors; a failing embedder is tried again only while there are no new texts."""
        embedder: Embedder | None = None
        while not stop.is_set() and leadership.is_held():
            busy = self._step_texts(connection)
            try:
                if embedder is not None or _has_texts(connection):
                    embedder = embedder or self._open_embedder()
                    busy |= self._step_vectors(connection, embedder)
                    self._large.look(embedder.model)
                self._stand(trouble="")
            except CoordError as error:
                if isinstance(error, LogUnavailable):
                    raise
                if str(error) != self.standing.trouble:
                    logger.warning("nothing new is found by meaning: %s", error)
                self._stand(trouble=str(error))
            if not busy:
                self._log.wait_past(self.standing.texts, WAIT_S)

    def _stand(self, *, trouble: str) -> None:
        self.standing = msgspec.structs.replace(self.standing, leading=True, trouble=trouble)

    def _step_texts(self, connection: Connection) -> bool:
        """Take the texts of the events that follow; whether there may be more."""
        done = tables.progress(connection, tables.TEXTS, CODE)
        if done is None or done > self._log.head():
            tables.clear_texts(connection)  # other code made them, or the log is another
            tables.advance(connection, tables.TEXTS, CODE, 0)
            done = 0
        rows = self._log.read(done, BATCH_EVENTS)
        if rows:
            wanted = (row for row in rows if is_searched(row) or row[3].startswith(MemoryShared.name))
            self._write_texts(connection, done, rows[-1][0], [self._codec.decode(row) for row in wanted])
            done = rows[-1][0]
        self.standing = msgspec.structs.replace(self.standing, texts=done)
        return bool(rows)

    def _write_texts(self, connection: Connection, done: int, end: int, events: Sequence[Recorded]) -> None:
        with connection.transaction():
            if tables.progress(connection, tables.TEXTS, CODE, lock=True) != done:
                return  # another has been here
            found = [text for text in map(searched, events) if text is not None]
            _copy_texts(connection, found)
            for recorded in events:
                if (to := _shared_with(recorded.event)) is not None:
                    values = (to, recorded.project, recorded.position, recorded.event.entity)
                    connection.execute(_SHARE, values)
            tables.advance(connection, tables.TEXTS, CODE, end)

    def _step_vectors(self, connection: Connection, embedder: Embedder) -> bool:
        """Embed the texts that follow; whether there may be more. Raises Unavailable or VectorsMissing."""
        model = tables.model_of(connection, embedder.model)
        if model is None or model.dimensions != embedder.dimensions:
            model = _created(connection, embedder)
        texts = connection.execute(_NEXT_TEXTS, (model.position, BATCH_TEXTS)).fetchall()
        end = texts[-1][2] if len(texts) == BATCH_TEXTS else max(self.standing.texts, model.position)
        if end > model.position:
            vectors = embedder.embed([text for *_, text in texts]) if texts else []
            with connection.transaction():
                with (
                    connection.cursor() as cursor,
                    cursor.copy(SQL("COPY {} FROM STDIN").format(model.table)) as copy,
                ):
                    for (project, sequence, _, source, _), vector in zip(texts, vectors, strict=True):
                        copy.write_row((project, sequence, source, tables.literal(vector)))
                connection.execute(
                    "UPDATE coord.recall_models SET position = %s WHERE model = %s", (end, model.model)
                )
                tables.notify(connection)
        if not texts:
            _forget_others(connection, model.model)
        self.standing = msgspec.structs.replace(self.standing, vectors=end)
        return bool(texts)


def _has_texts(connection: Connection) -> bool:
    """Until there are any, nobody has to load a model."""
    return connection.execute("SELECT FROM coord.recall_texts LIMIT 1").fetchone() is not None


def _copy_texts(connection: Connection, found: Sequence[Searched]) -> None:
    statement = SQL("COPY coord.recall_texts ({}) FROM STDIN").format(SQL(_TEXT_COLUMNS))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for each in found:
            copy.write_row(
                (
                    each.project, each.sequence, each.position, each.source, each.entity, each.kind,
                    list(each.tags), each.agent, each.at, each.text,
                    list(hashed(each.project, terms(each.text).all)),
                )
            )  # fmt: skip


def _shared_with(event: Event) -> str | None:
    """The project that may find the memory from now on; all projects, if it was stored for all."""
    if isinstance(event, MemoryShared):
        return event.to_project
    if isinstance(event, MemoryStored) and event.visibility == "shared":
        return tables.ALL_PROJECTS
    return None


def _created(connection: Connection, embedder: Embedder) -> tables.Model:
    try:
        return tables.create_vectors(connection, embedder.model, embedder.dimensions)
    except _NO_VECTORS as error:
        raise VectorsMissing(why=in_a_line(error)) from error


def _forget_others(connection: Connection, model: str) -> None:
    """The vectors of models that were used before; those of this one are complete."""
    for other in tables.models(connection):
        if other.model != model:
            tables.drop_vectors(connection, other)
