"""What the services count. Every metric is declared here once; the names follow the Prometheus conventions.

Each process has a registry of its own, handed to whoever counts. No agent or task id is ever a label.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain.messages import Event
from domain.tasks.events import TaskLeaseExpired

if TYPE_CHECKING:  # who counts commands need not load the relay and the projector
    from services.projector.projector import Projector
    from services.relay.relay import Relay

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class WriterMetrics:
    """What the writer and its door count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._commands = Counter(
            "coordctl_commands", "Commands by verb and outcome (ok or the error's code).",
            ["verb", "outcome"], registry=registry,
        )  # fmt: skip
        self._counters: dict[tuple[str, str], Counter] = {}
        self._events = Counter("coordctl_events_committed", "Events committed.", registry=registry)
        self._expired = Counter("coordctl_leases_expired", "Leases that ran out.", registry=registry)
        self._failures = Counter(
            "coordctl_commits_failed", "Batches the log refused, by code.", ["code"], registry=registry
        )
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
        self._inbox = Gauge("coordctl_inbox_requests", "Requests waiting to be decided.", registry=registry)
        self._parked = Gauge("coordctl_parked_claims", "Claims waiting for work.", registry=registry)
        self._position = Gauge(
            "coordctl_log_position", "Position of the last event committed here.", registry=registry
        )

    def accepted(self, verb: str) -> None:
        self._count(verb, "ok")

    def refused(self, verb: str, code: str) -> None:
        self._count(verb, code)

    def ticked(self, verb: str, events: Sequence[Event]) -> None:
        self._count(verb, "ok")
        self._expired.inc(sum(isinstance(event, TaskLeaseExpired) for event in events))

    def decided(self, requests: int, seconds: float) -> None:
        if requests:
            self._decision.observe(seconds)

    def waiting(self, more_requests: int, more_claims: int) -> None:
        """How many more wait than before; all writers of a process count together."""
        if more_requests:
            self._inbox.inc(more_requests)
        if more_claims:
            self._parked.inc(more_claims)

    def committed(self, events: int, seconds: float, position: int) -> None:
        self._events.inc(events)
        self._batch.observe(events)
        self._commit.observe(seconds)
        self._position.set(position)

    def _count(self, verb: str, outcome: str) -> None:
        counter = self._counters.get((verb, outcome))
        if counter is None:  # looking a label up costs more than counting: do it once
            counter = self._counters[verb, outcome] = self._commands.labels(verb, outcome)
        counter.inc()

    def commit_failed(self, code: str) -> None:
        self._failures.labels(code).inc()


class GatewayMetrics:
    """What the gateway counts: reads over NATS, and requests over HTTP."""

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
        self._denials = Counter(
            "coordctl_http_refused", "HTTP requests that were refused, by the code told.",
            ["code"], registry=registry,
        )  # fmt: skip

    def read(self, view: str, outcome: str, seconds: float | None = None) -> None:
        self._reads.labels(view, outcome).inc()
        if seconds is not None:
            self._read_seconds.labels(view).observe(seconds)

    def requested(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def denied(self, code: str) -> None:
        self._denials.labels(code).inc()


def watch_relay(registry: CollectorRegistry, relay: "Relay") -> None:
    """What the relay tells, read when asked for."""
    Gauge(
        "coordctl_relay_position", "Position of the last event in the stream.", registry=registry
    ).set_function(lambda: relay.position)
    Gauge(
        "coordctl_relay_leading", "1 if this relay works, 0 if it stands by.", registry=registry
    ).set_function(lambda: relay.leading)
    Gauge("coordctl_relay_troubled", "1 if the relay cannot publish now.", registry=registry).set_function(
        lambda: bool(relay.trouble)
    )


def watch_projector(registry: CollectorRegistry, projector: "Projector") -> None:
    """What the projector tells, read when asked for."""
    Gauge(
        "coordctl_projector_position", "Position of the projection furthest behind.", registry=registry
    ).set_function(lambda: projector.standing.position)
    Gauge(
        "coordctl_projector_troubled", "1 if the projector cannot work now.", registry=registry
    ).set_function(lambda: projector.standing.trouble is not None)
