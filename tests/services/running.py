"""A writer with its door, running inside a test on real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from domain.catalog import EVENTS, upcast
from domain.messages import Recorded
from services.bus.connection import connect
from services.doors.commands import CommandDoor
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.metrics import WriterMetrics
from services.writer.shards import MAPPED_SUBJECTS
from services.writer.writer import Writer

CODEC = Codec(EVENTS, upcast)


@asynccontextmanager
async def writing(
    database_url: str, nats_url: str, registry: CollectorRegistry | None = None
) -> AsyncIterator[EventLog]:
    """Yields the log; at the end the writer drains as it does when its process is told to stop."""
    log = EventLog(database_url)
    log.create_tables()
    metrics = WriterMetrics(registry or CollectorRegistry())
    nats = await connect(nats_url, "writer", patient=True)
    writer = Writer(log, CODEC, lambda: datetime.now(UTC), metrics)
    await writer.open()
    door = CommandDoor(nats, writer, metrics, MAPPED_SUBJECTS)
    await door.open()
    await nats.flush()
    stop = asyncio.Event()
    running = asyncio.create_task(writer.run(stop))
    try:
        yield log
    finally:
        await door.close()
        stop.set()
        await running
        await door.flush()
        await nats.close()
        log.close()


def events(log: EventLog, project: str = "main") -> list[Recorded]:
    """Everything that the log holds of a project."""
    return [CODEC.decode(row) for row in log.read_project(project, 0)]


def names(log: EventLog, project: str = "main") -> list[str]:
    return [recorded.event.name for recorded in events(log, project)]
