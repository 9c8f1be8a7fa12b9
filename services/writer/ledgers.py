"""Ledgers at a mark: where the writer may begin to fold a project, instead of at its first event.

It reads the read models as they were at a mark, through the same tables as time travel, and a few events of
the log that no row tells of. It writes nothing.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.sql import SQL, Composable, Composed, Identifier

from domain.agents import AgentTerminated
from domain.agents import evolve as agent_evolve
from domain.correction import REMEMBERED_ESTIMATES
from domain.ledger import Ledger
from domain.lineage import Segments
from domain.messages import Data
from domain.project import ProjectRestored
from domain.project import evolve as project_evolve
from domain.settings import SettingId
from domain.tasks.commands import Retry
from projections.agents import AGENTS
from projections.bookmarks import BOOKMARKS
from projections.decisions import DECISIONS
from projections.estimates import ESTIMATES
from projections.framework import Projection
from projections.handoffs import HANDOFFS
from projections.ledgers import Finished, Live, Rows, fill
from projections.memory import MEMORIES
from projections.patterns import PATTERNS
from projections.personas import PERSONAS
from projections.queue import QUEUE
from projections.sessions import SESSIONS
from projections.settings import SETTINGS
from projections.spikes import SPIKES
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.bases import Base, nearest_base
from services.projector.layers import Layers, read_layers, rows_of
from services.projector.tables import Connection, connected
from services.projector.tracking import reached
from services.reading.listing import served
from services.writer.books import command_events

_SOURCES = (
    AGENTS, PERSONAS, SETTINGS, BOOKMARKS, ESTIMATES, QUEUE, HANDOFFS, MEMORIES, SPIKES, DECISIONS, PATTERNS,
    SESSIONS,
)  # fmt: skip
_EVERY = SQL("true")
_OVER = SQL("status IN ('completed', 'cancelled')")

_CLOSED_LAST = SQL("ratio IS NOT NULL ORDER BY closed_at DESC LIMIT {}").format(REMEMBERED_ESTIMATES)

_FETCHED_ROWS = 10_000
_REMEMBERED_VALUES = 10_000


class LedgersAtMarks:
    """The ledgers that the read models of this database know."""

    def __init__(self, log: EventLog, codec: Codec, url: str) -> None:
        self._log = log
        self._codec = codec
        self._url = url

    def begin(
        self, project: str, segments: Segments, position: int, defaults: Mapping[SettingId, Data]
    ) -> Ledger:
        """A ledger from which the rest of the segments' events lead to the position; maybe an empty one."""
        ledger = Ledger(project, defaults)
        with connected(self._url) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            standing = [reached(connection, each) for each in _SOURCES]
            least = min((each for each in standing if each is not None), default=0)
            if not segments or None in standing:
                return ledger
            base = nearest_base(self._log, connection, segments, position, reached=least)
            if not base.mark:
                return ledger
            fill(ledger, _rows(connection, read_layers(connection), base, project))
        ledger.sequence = base.sequence
        self._remember_turns(ledger, project, segments)
        return ledger

    def _remember_turns(self, ledger: Ledger, project: str, segments: Segments) -> None:
        """What restores said that no row tells of: how high fences were, and whom they ended who has no row.

        A segment that does not begin the history begins with a fork or a restore.
        """
        known = {*ledger.agents, *ledger.terminated}
        for segment in segments[1:]:
            if segment.first > ledger.sequence:
                return
            for recorded in command_events(self._log, self._codec, project, segment.first):
                event = recorded.event
                if recorded.sequence > ledger.sequence:
                    return
                if isinstance(event, ProjectRestored):
                    project_evolve(ledger, event)
                elif isinstance(event, AgentTerminated) and event.agent not in known:
                    agent_evolve(ledger, event, recorded.at)


def _rows(connection: Connection, layers: Layers, base: Base, project: str) -> Rows:
    def read(projection: Projection[Any], condition: Composable = _EVERY) -> list[Any]:
        return _read(connection, layers, base, project, projection, condition)

    return Rows(
        agents=read(AGENTS),
        personas=read(PERSONAS),
        settings=read(SETTINGS),
        bookmarks=read(BOOKMARKS),
        estimates=read(ESTIMATES, SQL("closed_at IS NULL")),
        closed=reversed(read(ESTIMATES, _CLOSED_LAST)),
        spikes=read(SPIKES, SQL("viable IS NULL")),
        decisions=read(DECISIONS, SQL("status = 'holds'")),
        patterns=read(PATTERNS),
        finished=_finished(connection, layers, base, project),
        tasks=_live(connection, layers, base, project),
        handoffs=read(HANDOFFS, SQL("status IN ('initiated', 'accepted')")),
        memories=read(MEMORIES, SQL("status = 'current'")),
        sessions=read(SESSIONS, SQL("ended_at IS NULL")),
    )


def _read(
    connection: Connection,
    layers: Layers,
    base: Base,
    project: str,
    projection: Projection[Any],
    condition: Composable,
) -> list[Any]:
    relation = rows_of(served(projection), layers, base.stream, at=base.mark, named=project)
    statement = SQL("SELECT row_to_json(t)::text FROM {} t WHERE {}").format(relation, condition)
    decode = msgspec.json.Decoder(projection.row).decode
    return [decode(text) for (text,) in connection.execute(statement)]


def _finished(connection: Connection, layers: Layers, base: Base, project: str) -> Iterator[Finished]:
    """Many, and little of each."""
    relation = rows_of(served(QUEUE), layers, base.stream, at=base.mark, named=project)
    statement = SQL("SELECT {} FROM {} t WHERE {} ORDER BY _since").format(
        _columns(Finished), relation, _OVER
    )
    return (Finished(*row) for row in _one_by_one(connection, statement))


def _live(connection: Connection, layers: Layers, base: Base, project: str) -> Iterator[Live]:
    """Maybe a million. Most have one of few combinations of what they need, so each is decoded once."""
    relation = rows_of(served(QUEUE), layers, base.stream, at=base.mark, named=project)
    statement = SQL("SELECT {} FROM {} t WHERE NOT {}").format(_columns(Live), relation, _OVER)
    names = lru_cache(_REMEMBERED_VALUES)(msgspec.json.Decoder(tuple[str, ...]).decode)
    retry = lru_cache(_REMEMBERED_VALUES)(msgspec.json.Decoder(Retry).decode)
    for capabilities, depends_on, policy, *rest in _one_by_one(connection, statement):
        yield Live(names(capabilities), names(depends_on), retry(policy), *rest)


def _columns(row: type[Struct]) -> Composed:
    """The columns of the queue that a struct has as fields, JSON as its text."""
    types = {column.name: column.type for column in QUEUE.columns}
    return SQL(", ").join(
        SQL("{}::text" if types[name].startswith("json") else "{}").format(Identifier(name))
        for name in row.__struct_fields__
    )


def _one_by_one(connection: Connection, statement: Composed) -> Iterator[tuple[Any, ...]]:
    """Rows, fetched in batches, the next while one is used: never all are held at once."""
    with connection.cursor(name="tasks", binary=True) as cursor, ThreadPoolExecutor(1, "rows") as ahead:
        cursor.execute(statement)
        batch = ahead.submit(cursor.fetchmany, _FETCHED_ROWS)
        while rows := batch.result():
            batch = ahead.submit(cursor.fetchmany, _FETCHED_ROWS)
            yield from rows
