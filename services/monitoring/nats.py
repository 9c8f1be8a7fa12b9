"""NATS in figures: the stream, as JetStream's API tells, and each server, as its own monitoring tells.

nats-server has no metrics of its own, only JSON at `/varz`, `/jsz` and `/healthz`. Asks these addresses and
no others: those that the operator has named, or that of the embedded server.
"""

import asyncio
import http.client
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field
from nats.aio.client import Client
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.relay.stream import STREAM

TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 2**20


class Api(Struct):
    total: int = 0
    errors: int = 0


class Limits(Struct):
    max_storage: int = 0


class JetStream(Struct):
    """What `/jsz` tells, as far as it is used."""

    storage: int = 0
    memory: int = 0
    api: Api = field(default_factory=Api)
    config: Limits = field(default_factory=Limits)


class Varz(Struct):
    """What `/varz` tells, as far as it is used."""

    start: datetime
    mem: int = 0
    cpu: float = 0.0
    connections: int = 0
    subscriptions: int = 0
    slow_consumers: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class Server(Struct, frozen=True, kw_only=True):
    """One server; what it is called is where it is monitored. None of what did not answer."""

    name: str
    healthy: bool
    varz: Varz | None
    jetstream: JetStream | None


async def look_at_stream(client: Client) -> list[Metric]:
    """The stream of events; nothing if there is none yet. Raises what the client raises."""
    try:
        info = await client.jetstream(timeout=TIMEOUT_S).stream_info(STREAM)
    except NotFoundError:
        return []
    return list(_of_stream(info))


async def look_at_servers(urls: Sequence[str]) -> list[Metric]:
    """Every server by its monitoring; those that do not answer are not healthy."""
    found = await asyncio.gather(*(asyncio.to_thread(_ask, url) for url in urls))
    return list(_of_servers(found))


def _of_stream(info: StreamInfo) -> Iterator[Metric]:
    state = info.state
    yield _gauge("stream_messages", "Events in the stream.", state.messages)
    yield _gauge("stream_bytes", "Size of the stream.", state.bytes)
    yield _gauge("stream_consumers", "Consumers of the stream.", state.consumer_count or 0)
    limit = info.config.max_bytes or 0
    yield _gauge("stream_limit_bytes", "Size the stream may have; 0 if it has no limit.", max(limit, 0))
    replicas = info.cluster.replicas or [] if info.cluster else []
    wanted = info.config.num_replicas or 1
    current = 1 + sum(bool(each.current) and not each.offline for each in replicas)
    missing = max(wanted - current, 0) if info.cluster and info.cluster.replicas is not None else 0
    yield _gauge("stream_replicas", "Servers that are to keep the stream.", wanted)
    yield _gauge("stream_replicas_missing", "Of these, how many do not have all of it now.", missing)


def _of_servers(found: Iterable[Server]) -> Iterator[Metric]:
    servers = list(found)
    healthy = GaugeMetricFamily(
        "coordctl_nats_healthy",
        "1 if the server says that it serves clients and JetStream.",
        labels=["server"],
    )
    for server in servers:
        healthy.add_metric([server.name], server.healthy)
    yield healthy
    for name, about, tell in _GAUGES:
        yield _by_server(GaugeMetricFamily(name, about, labels=["server"]), servers, tell)
    for name, about, tell in _COUNTERS:
        yield _by_server(CounterMetricFamily(name, about, labels=["server"]), servers, tell)
    for name, about, tells in _FLOWS:
        flow = CounterMetricFamily(name, about, labels=["server", "direction"])
        for server in servers:
            if server.varz is not None:
                for direction, value in zip(("in", "out"), tells(server.varz), strict=True):
                    flow.add_metric([server.name, direction], value)
        yield flow


Tell = Callable[[Varz, JetStream], float]

_GAUGES: tuple[tuple[str, str, Tell], ...] = (
    ("coordctl_nats_connections", "Clients that are connected.", lambda v, _: v.connections),
    ("coordctl_nats_subscriptions", "Subscriptions.", lambda v, _: v.subscriptions),
    ("coordctl_nats_memory_bytes", "Memory of the server.", lambda v, _: v.mem),
    ("coordctl_nats_cpu_ratio", "Processors the server uses now.", lambda v, _: v.cpu / 100),
    ("coordctl_nats_start_time_seconds", "When it was started, since 1970.", lambda v, _: _since_1970(v)),
    ("coordctl_jetstream_storage_bytes", "What JetStream keeps on disk.", lambda _, j: j.storage),
    ("coordctl_jetstream_storage_limit_bytes", "What it may keep there.", lambda _, j: j.config.max_storage),
    ("coordctl_jetstream_memory_bytes", "What JetStream keeps in memory.", lambda _, j: j.memory),
)
_COUNTERS: tuple[tuple[str, str, Tell], ...] = (
    (
        "coordctl_nats_slow_consumers", "Connections ended because they did not read.",
        lambda v, _: v.slow_consumers,
    ),
    ("coordctl_jetstream_api_requests", "Requests to JetStream's API.", lambda _, j: j.api.total),
    ("coordctl_jetstream_api_errors", "Requests that it refused.", lambda _, j: j.api.errors),
)  # fmt: skip
_FLOWS: tuple[tuple[str, str, Callable[[Varz], tuple[int, int]]], ...] = (
    ("coordctl_nats_messages", "Messages, by direction.", lambda v: (v.in_msgs, v.out_msgs)),
    ("coordctl_nats_bytes", "Bytes of messages, by direction.", lambda v: (v.in_bytes, v.out_bytes)),
)


def _since_1970(server: Varz) -> float:
    return server.start.timestamp()


def _by_server(
    family: GaugeMetricFamily | CounterMetricFamily, servers: Iterable[Server], tell: Tell
) -> Metric:
    for server in servers:
        if server.varz is not None and server.jetstream is not None:
            family.add_metric([server.name], tell(server.varz, server.jetstream))
    return family


def _ask(url: str) -> Server:
    address = urlsplit(url)
    name = address.netloc.rpartition("@")[2]  # what else is in it is nobody's business
    make = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    try:
        healthy, _ = _get(make(name, timeout=TIMEOUT_S), "/healthz")
        _, varz = _get(make(name, timeout=TIMEOUT_S), "/varz")
        _, jetstream = _get(make(name, timeout=TIMEOUT_S), "/jsz")
        return Server(
            name=name,
            healthy=healthy,
            varz=msgspec.json.decode(varz, type=Varz),
            jetstream=msgspec.json.decode(jetstream, type=JetStream),
        )
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return Server(name=name, healthy=False, varz=None, jetstream=None)


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[bool, bytes]:
    """Whether it answers 200, and what."""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK, answer.read(MAX_ANSWER_BYTES)
    finally:
        connection.close()


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"coordctl_{name}", about, value=value)
