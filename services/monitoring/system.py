"""Every source of figures about one system, put together for the gateway."""

import asyncio
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import psycopg
from nats.errors import Error as NatsError
from prometheus_client.core import GaugeMetricFamily, Metric

from domain.errors import CoordError
from services.bus.link import Link
from services.monitoring import fleet, nats, postgres
from services.monitoring.sources import REST, Source, Sources


def sources_of(
    database_url: str, link: Link, monitor_urls: Sequence[str] = (), data: Path | None = None
) -> Sources:
    """`monitor_urls` are those of the nats-servers' own monitoring, `data` is where the disk is looked at."""

    async def of_fleet() -> Sequence[Metric]:
        return await asyncio.to_thread(fleet.look, database_url)

    async def of_postgres() -> Sequence[Metric]:
        return await asyncio.to_thread(postgres.look, database_url)

    async def of_stream() -> Sequence[Metric]:
        return await nats.look_at_stream(link.client)

    async def of_servers() -> Sequence[Metric]:
        return await nats.look_at_servers(monitor_urls)

    async def of_host() -> Sequence[Metric]:
        return await asyncio.to_thread(look_at_host, data)

    sources = [
        Source("fleet", of_fleet, CoordError, psycopg.Error, rest=REST),
        Source("postgres", of_postgres, psycopg.Error, rest=REST),
        Source("stream", of_stream, CoordError, NatsError, OSError, TimeoutError),
        Source("host", of_host, OSError),
    ]
    if monitor_urls:
        sources.append(Source("nats", of_servers))
    return Sources(sources)


def look_at_host(data: Path | None) -> list[Metric]:
    """This program's version, and the disk under the data directory, if there is one. Raises OSError."""
    about = GaugeMetricFamily(
        "coordctl_build_info", "1; the version of the gateway is a label.", labels=["version"]
    )
    about.add_metric([version("coordctl")], 1)
    if data is None:
        return [about]
    disk = shutil.disk_usage(data)
    free = GaugeMetricFamily(
        "coordctl_disk_free_bytes", "Room on the disk of the data directory.", value=disk.free
    )
    size = GaugeMetricFamily(
        "coordctl_disk_size_bytes", "Size of the disk of the data directory.", value=disk.total
    )
    return [about, free, size]
