"""What the services count. Every metric of a process is declared here once; docs/monitoring.md explains it.

Each process has a registry of its own, handed to whoever counts. No agent or task id is ever a label. What is
true of the whole system is found out by `services/monitoring` instead.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from domain.catalog import EVENTS
from domain.messages import Event
from domain.tasks.events import TaskLeaseExpired
from services.errors import InternalError
from services.log.database import LogConflict, LogFull, LogUnavailable

if TYPE_CHECKING:  # who counts commands need not load the relay and the projector
    from eventsourcing.persistence import StoredEvent

    from services.projector.projector import Projector
    from services.relay.relay import Relay

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_LONG_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Waiting(Struct, frozen=True):
    """What waits in one writer now: requests to be decided, and claims for work."""

    requests: int
    claims: int


class WriterMetrics:
    """What the writers of a process and their doors count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._commands = Counter(
            "coordctl_commands", "Commands by verb and outcome (ok or the error's code).",
            ["verb", "outcome"], registry=registry,
        )  # fmt: skip
        self._counters: dict[tuple[str, str], Counter] = {}
        self._seconds = Histogram(
            "coordctl_command_seconds",
            "Time from a command's arrival to its answer; for claims also the time they wait for work.",
            ["verb"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._timers: dict[str, Histogram] = {}
        events = Counter(
            "coordctl_events_committed", "Events committed, by their name.", ["event"], registry=registry
        )
        self._events = {name: events.labels(name) for name in EVENTS}  # from zero on: so the first counts
        self._faults = Counter(
            "coordctl_faults", "Commands that met a fault of coordctl itself.", registry=registry
        )
        self._expired = Counter("coordctl_leases_expired", "Leases that ran out.", registry=registry)
        self._failures = Counter(
            "coordctl_commits_failed", "Batches the log refused, by code.", ["code"], registry=registry
        )
        for known in (LogConflict, LogUnavailable, LogFull):  # from zero on: so the first counts
            self._failures.labels(known.code)
        self._batch = Histogram(
            "coordctl_batch_events", "Events committed in one transaction.",
            buckets=_SIZES, registry=registry,
        )  # fmt: skip
        self._commit = Histogram(
            "coordctl_commit_seconds", "Time to commit one batch.", buckets=_SECONDS, registry=registry
        )
        self._decision = Histogram(
            "coordctl_decision_seconds", "Time to decide the requests that had arrived.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._opening = Histogram(
            "coordctl_ledgers_open_seconds", "Time to fold the ledgers of a shard that was taken over.",
            buckets=_LONG_SECONDS, registry=registry,
        )  # fmt: skip
        self._writers: set[Callable[[], Waiting]] = set()
        registry.register(Told(self._wait))
        self._position = Gauge(
            "coordctl_log_position", "Position of the last event committed here.", registry=registry
        )

    def accepted(self, verb: str) -> None:
        self._count(verb, "ok")

    def refused(self, verb: str, code: str) -> None:
        self._count(verb, code)
        if code == InternalError.code:
            self._faults.inc()

    def answered(self, verb: str, seconds: float) -> None:
        timer = self._timers.get(verb)
        if timer is None:
            timer = self._timers[verb] = self._seconds.labels(verb)
        timer.observe(seconds)

    def ticked(self, verb: str, events: Sequence[Event]) -> None:
        self._count(verb, "ok")
        self._expired.inc(sum(isinstance(event, TaskLeaseExpired) for event in events))

    def decided(self, requests: int, seconds: float) -> None:
        if requests:
            self._decision.observe(seconds)

    def begins(self, writer: Callable[[], Waiting]) -> None:
        """A writer begins, and tells this when asked; all writers of a process count together."""
        self._writers.add(writer)

    def ends(self, writer: Callable[[], Waiting]) -> None:
        self._writers.discard(writer)

    def _wait(self) -> Iterator[Metric]:
        found = [writer() for writer in self._writers]
        requests, claims = sum(each.requests for each in found), sum(each.claims for each in found)
        yield _gauge("inbox_requests", "Requests waiting to be decided.", requests)
        yield _gauge("parked_claims", "Claims waiting for work.", claims)

    def committed(self, events: "Sequence[StoredEvent]", seconds: float, position: int) -> None:
        for topic, count in collections.Counter(event.topic for event in events).items():
            self._events[topic.partition("@")[0]].inc(count)
        self._batch.observe(len(events))
        self._commit.observe(seconds)
        self._position.set(position)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Around the opening of a shard."""
        with timed(self._opening.observe):
            yield

    def _count(self, verb: str, outcome: str) -> None:
        counter = self._counters.get((verb, outcome))
        if counter is None:  # looking a label up costs more than counting: do it once
            counter = self._counters[verb, outcome] = self._commands.labels(verb, outcome)
        counter.inc()

    def commit_failed(self, code: str) -> None:
        self._failures.labels(code).inc()


class GatewayMetrics:
    """What the gateway counts: reads over NATS, requests over HTTP, and looks at the past."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reads = Counter(
            "coordctl_reads", "Reads over NATS by view and outcome (ok or the error's code).",
            ["view", "outcome"], registry=registry,
        )  # fmt: skip
        self._read_seconds = Histogram(
            "coordctl_read_seconds", "Time to answer a read.", ["view"], buckets=_SECONDS, registry=registry
        )
        self._requests = Counter(
            "coordctl_http_requests", "HTTP requests by route and status.",
            ["route", "status"], registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "coordctl_http_request_seconds", "Time until an answer over HTTP begins.", ["route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._denials = Counter(
            "coordctl_http_refused", "HTTP requests that were refused, by the code told.",
            ["code"], registry=registry,
        )  # fmt: skip
        self._replay = Histogram(
            "coordctl_replay_seconds", "Time to tell what was at a point in the past.",
            buckets=_LONG_SECONDS, registry=registry,
        )  # fmt: skip

    def read(self, view: str, outcome: str, seconds: float | None = None) -> None:
        self._reads.labels(view, outcome).inc()
        if seconds is not None:
            self._read_seconds.labels(view).observe(seconds)

    def requested(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def denied(self, code: str) -> None:
        self._denials.labels(code).inc()

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Around a look at the past."""
        with timed(self._replay.observe):
            yield


class Told(Collector):
    """Families that are made when they are asked for."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def watch_relay(registry: CollectorRegistry, relay: "Relay") -> None:
    """What the relay tells, read when asked for."""

    def families() -> Iterator[Metric]:
        work = relay.work
        yield _gauge("relay_position", "Position of the last event in the stream.", relay.position)
        yield _gauge("relay_leading", "1 if this relay works, 0 if it stands by.", relay.leading)
        yield _gauge("relay_troubled", "1 if the relay cannot publish now.", bool(relay.trouble))
        yield _counter("relay_events_published", "Events handed to JetStream.", work.events)
        yield _counter("relay_windows", "Windows of events that JetStream has confirmed.", work.windows)
        yield _counter("relay_publishing_seconds", "Time spent on having windows confirmed.", work.seconds)
        yield _counter("relay_stops", "How often publishing failed and began anew.", work.stops)

    registry.register(Told(families))


def watch_projector(registry: CollectorRegistry, projector: "Projector") -> None:
    """What the projector tells, read when asked for."""

    def families() -> Iterator[Metric]:
        standing, work = projector.standing, projector.work
        troubled = standing.trouble is not None
        yield _gauge("projector_position", "Position of the projection furthest behind.", standing.position)
        yield _gauge("projector_troubled", "1 if the projector cannot work now.", troubled)
        yield _counter("projector_events_folded", "Events folded into read models.", work.events)
        yield _counter("projector_stops", "How often projecting failed and began anew.", work.stops)

    registry.register(Told(families))


@contextmanager
def timed(tell: Callable[[float], None]) -> Iterator[None]:
    """Tells how many seconds the body took, however it ended."""
    began = perf_counter()
    try:
        yield
    finally:
        tell(perf_counter() - began)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"coordctl_{name}", about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"coordctl_{name}", about, value=value)
