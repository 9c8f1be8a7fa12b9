"""A writer's terms: for each shard that is ours one writer, from opening its projects to its last answer.

Touches what writers and their doors touch: the log, read models as a shortcut, and NATS.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nats.aio.client import Client

from services.doors.commands import CommandDoor, Dispatch
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.metrics import WriterMetrics
from services.sharing.shares import Session
from services.waiting import first_of
from services.writer.books import Shortcut
from services.writer.defaults import Defaults
from services.writer.estates import Estate, Shard
from services.writer.requests import Taker
from services.writer.shards import shard_subjects
from services.writer.telling import heard
from services.writer.writer import Writer

if TYPE_CHECKING:
    from services.tracing.traces import Traces


class Terms:
    """What the terms of one process have in common. `serve` is the term that holdings run."""

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        shortcut: Shortcut,
        metrics: WriterMetrics,
        nats: Client,
        dispatch: Dispatch,
        defaults: Defaults,
        traces: "Traces | None" = None,
    ) -> None:
        self._log = log
        self._codec = codec
        self._shortcut = shortcut
        self._metrics = metrics
        self._nats = nats
        self._dispatch = dispatch
        self._defaults = defaults
        self._traces = traces

    async def serve(self, session: Session, over: asyncio.Event, serves: Callable[[], None]) -> None:
        """Decide a shard's commands until it is over; then take no more, and answer those taken."""
        shard = Shard(session)
        writer = Writer(
            self._log, self._codec, _now, self._metrics, self._shortcut, self._estate(shard), self._defaults
        )
        taker = self._taker(writer)
        door = CommandDoor(self._nats, taker, self._metrics, shard_subjects(shard.number))
        drained = asyncio.Event()
        try:
            with self._metrics.opening():
                await writer.open()
            deciding = asyncio.create_task(writer.run(drained))
            await door.open()
            self._dispatch.writers[shard.number] = taker
            serves()
            await first_of(deciding, over)
            await door.close()
            drained.set()
            await deciding
            await door.flush()
        finally:
            self._dispatch.writers.pop(shard.number, None)
            self._defaults.leave(shard.owns)

    def _estate(self, shard: Shard) -> Estate:
        """The shard; with traces its commits are in them."""
        return shard if self._traces is None else self._traces.estate(shard)

    def _taker(self, writer: Writer) -> Taker:
        """What takes the commands for the writer: itself, unless somebody wants to know more of each."""
        taker = heard(writer)
        return taker if self._traces is None else self._traces.taker(taker)


def _now() -> datetime:
    return datetime.now(UTC)
