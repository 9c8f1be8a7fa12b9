"""The one place where coordctl's parts are put together: each service's process, built from its doors.

Every service creates the tables it needs, waits for servers that are not there yet, works until its event is
set, and reports on itself over NATS. Nothing is built on import; what only one service needs is imported
there, because a process should not load the others' libraries.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event as Flag

from nats.aio.client import Client
from prometheus_client import CollectorRegistry, ProcessCollector

from domain.catalog import EVENTS, upcast
from domain.errors import CoordError
from services.bus.connection import connect
from services.bus.link import disconnect
from services.config import Doors
from services.doors.micro import Endpoints, MicroDoor
from services.doors.reports import ReportDoor
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.recall.choice import Choice
from services.serving import Ready
from services.tracing.switch import tracing
from services.tuning import switch_often
from services.waiting import ToldToStop, either, first_of, unless

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0

logger = logging.getLogger(__name__)

Run = Callable[[Doors, asyncio.Event, Ready], Awaitable[None]]


async def run_writer(doors: Doors, stop: asyncio.Event, ready: Ready) -> None:
    """Decide the commands of our share of the shards; stand by while there is none."""
    from services.doors.commands import CommandDoor, Dispatch
    from services.doors.endpoints import command_endpoints
    from services.metrics import WriterMetrics
    from services.sharing.holdings import Holdings
    from services.sharing.shares import Shares
    from services.writer.defaults import Defaults, Follower
    from services.writer.ledgers import LedgersAtMarks
    from services.writer.shards import KIND, SHARDS
    from services.writer.terms import Terms

    switch_often()
    registry = new_registry()
    metrics = WriterMetrics(registry)
    log = await opened_log(doors, stop)
    dispatch, defaults = Dispatch(), Defaults()
    follower = Follower(defaults, log, codec())
    await until_there(follower.catch_up, stop)
    with tracing("writer", wanted=doors.traces) as traces:
        async with connected(
            doors, "writer", registry, dispatch.working, stop, dispatch.shards,
            endpoints=command_endpoints(registry),
        ) as nats:  # fmt: skip
            shortcut = LedgersAtMarks(log, codec(), doors.database_url)
            terms = Terms(log, codec(), shortcut, metrics, nats, dispatch, defaults, traces)
            shares = Shares(doors.database_url, KIND, SHARDS, "coordctl-writer shard")
            following = asyncio.create_task(follower.run(stop))
            door = CommandDoor(nats, dispatch, metrics)
            await door.open()
            await Holdings(shares, terms.serve, "shard").run(stop, ready)
            await door.close()
            await door.flush()
            await following
    log.close()


async def run_relay(doors: Doors, stop: asyncio.Event, ready: Ready) -> None:
    """Publish what the log holds to JetStream."""
    from services.metrics import watch_relay
    from services.relay.relay import Relay

    log = await opened_log(doors, stop)
    with tracing("relay", wanted=doors.traces) as traces:
        relay = Relay(log, doors.database_url, doors.nats_url, replicas=doors.stream_replicas, traces=traces)
        registry = new_registry()
        watch_relay(registry, relay)
        async with reporting(doors, "relay", registry, lambda: relay.leading, lambda: relay.trouble):
            ready()
            await relay.run(stop)
    log.close()


async def run_projector(doors: Doors, stop: asyncio.Event, ready: Ready) -> None:
    """Fold the log into the tables of the read models, whether NATS is there or not."""
    from projections.catalog import PROJECTIONS
    from services.metrics import watch_projector
    from services.projector.projector import Projector
    from services.projector.tables import connected as connected_to_tables
    from services.projector.tracking import set_up

    switch_often()
    log = await opened_log(doors, stop)
    with tracing("projector", wanted=doors.traces) as traces:
        projector = Projector(log, codec(), doors.database_url, PROJECTIONS, traces=traces)
        registry = new_registry()
        watch_projector(registry, projector)

        def prepare() -> None:
            with connected_to_tables(doors.database_url) as connection:
                set_up(connection, PROJECTIONS)

        await until_there(prepare, stop)
        flag = Flag()

        def trouble() -> str:
            return projector.standing.trouble or ""

        async with reporting(doors, "projector", registry, lambda: not trouble(), trouble):
            working = asyncio.ensure_future(asyncio.to_thread(projector.run, flag))
            ready()
            await first_of(working, stop)
            flag.set()
            await working
    log.close()


async def run_gateway(
    doors: Doors,
    stop: asyncio.Event,
    ready: Ready,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    data: Path | None = None,
    names: Sequence[str] = (),
    open_metrics: bool = False,
    monitor_urls: Sequence[str] = (),
) -> None:
    """Serve HTTP from the start, and reads over NATS from when there is NATS.

    `data` is where the tokens are, `names` the hosts it goes by beside its address, `monitor_urls` where the
    nats-servers' own monitoring answers. Raises PublicWithoutTokens.
    """
    from services.bus.link import Link
    from services.doors.endpoints import view_endpoints
    from services.doors.views import QUEUE, ViewDoor
    from services.gateway.app import Gateway
    from services.gateway.server import listening
    from services.gateway.tokens import is_loopback, opened
    from services.landing.desk import LandingDesk
    from services.metrics import GatewayMetrics
    from services.monitoring.system import sources_of
    from services.reading.past import Past
    from services.reading.reads import Reads, view_names

    registry = new_registry()
    metrics = GatewayMetrics(registry)
    link = Link(doors.nats_url, "coordctl-gateway")
    with Reads(doors.database_url) as reads:
        tokens = await asyncio.to_thread(opened, data, host)
        public = not (is_loopback(host) or open_metrics)
        sources = sources_of(doors.database_url, link, monitor_urls, data)
        gateway = Gateway(
            doors.database_url, reads, link, metrics, tokens, sources, names=(host, *names), public=public
        )
        async with listening(gateway.app(), host, port) as url:
            logger.info("listening on %s", url)
            nats = await unless(stop, link.connect(patient=True))
            await ReportDoor(nats, "gateway", registry, lambda: True).open()
            await MicroDoor(nats, "gateway", view_endpoints(registry, view_names(), QUEUE)).open()
            landings = LandingDesk(doors.database_url, reads, lambda: link.client, metrics.replaying)
            log = EventLog(doors.database_url)
            past = Past(doors.database_url, log, metrics.replaying)
            door = ViewDoor(nats, reads, past, metrics, landings)
            await door.open()
            ready()
            await stop.wait()
            await gateway.close()
            await door.close()
            landings.close()
            log.close()
            await link.close()


async def run_recall(
    doors: Doors, stop: asyncio.Event, ready: Ready, *, choice: Choice | None = None
) -> None:
    """Index what can be searched, and answer searches; the embedder is loaded when there is use for it.

    Raises InvalidConfig.
    """
    from services.reading.reads import Reads
    from services.recall.door import RecallDoor, RecallMetrics
    from services.recall.indexing import Indexer
    from services.recall.opening import Opening
    from services.recall.searching import Search
    from services.recall.summaries import Summaries, summariser

    choice = choice or Choice()
    summarise = summariser(choice.summariser)
    log = await opened_log(doors, stop)
    opening = Opening(choice)
    indexer = Indexer(log, codec(), doors.database_url, opening.embedder)
    registry = new_registry()
    metrics = RecallMetrics(registry, indexer)
    flag = Flag()

    def trouble() -> str:
        return indexer.standing.trouble

    async with connected(doors, "recall", registry, lambda: not trouble(), stop, trouble=trouble) as nats:
        with (
            Search(doors.database_url, log, codec(), opening.embedder) as search,
            Reads(doors.database_url, pool_connections=1) as reads,
        ):
            indexing = asyncio.ensure_future(asyncio.to_thread(indexer.run, flag))
            summaries = Summaries(log, codec(), reads, doors.database_url, doors.nats_url, summarise)
            summing = asyncio.create_task(summaries.run(stop, lambda: indexer.standing.leading))
            door = RecallDoor(nats, search, metrics)
            await door.open()
            ready()
            await first_of(indexing, stop)
            flag.set()
            await door.close()
            await indexing
            await summing
    log.close()


RUNS: Mapping[str, Run] = {
    "writer": run_writer,
    "relay": run_relay,
    "projector": run_projector,
    "gateway": run_gateway,
    "recall": run_recall,
}


def codec() -> Codec:
    return Codec(EVENTS, upcast)


def new_registry() -> CollectorRegistry:
    """A registry that also tells the memory, processor time and files of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


async def opened_log(doors: Doors, stop: asyncio.Event) -> EventLog:
    """The log with its tables, as soon as the database is there."""
    log = EventLog(doors.database_url)
    await until_there(log.create_tables, stop)
    return log


async def until_there(prepare: Callable[[], None], stop: asyncio.Event) -> None:
    """Prepare the database, as soon as it is there."""
    backoff_s = FIRST_BACKOFF_S
    while True:
        try:
            await asyncio.to_thread(prepare)
        except CoordError as error:
            if not error.retryable:
                raise
            logger.warning("waiting for the database: %s", error)
            if await either(stop, backoff_s):
                raise ToldToStop from error
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
        else:
            return


@asynccontextmanager
async def connected(
    doors: Doors,
    service: str,
    registry: CollectorRegistry,
    working: Callable[[], bool],
    stop: asyncio.Event,
    shards: Callable[[], Sequence[int]] = tuple,
    trouble: Callable[[], str] = str,
    endpoints: Endpoints = tuple,
) -> AsyncIterator[Client]:
    """A connection to NATS, as soon as there is a server, on which the service also tells of itself."""
    nats = await unless(stop, connect(doors.nats_url, f"coordctl-{service}", patient=True))
    try:
        await ReportDoor(nats, service, registry, working, shards, trouble).open()
        await MicroDoor(nats, service, endpoints).open()
        yield nats
    finally:
        await disconnect(nats)


@asynccontextmanager
async def reporting(
    doors: Doors,
    service: str,
    registry: CollectorRegistry,
    working: Callable[[], bool],
    trouble: Callable[[], str],
) -> AsyncIterator[None]:
    """Report on a service that does its work without this connection, from when there is a NATS server."""

    never = asyncio.Event()

    async def report() -> None:
        async with connected(doors, service, registry, working, never, trouble=trouble):
            await never.wait()

    reports = asyncio.create_task(report())
    try:
        yield
    finally:
        reports.cancel()
        with suppress(asyncio.CancelledError):
            await reports
