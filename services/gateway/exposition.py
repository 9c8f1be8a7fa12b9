"""What Prometheus scrapes: what is true of the whole system now, and every service's own metrics."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from services.doors.reports import Report
from services.health.health import Health
from services.reading.reads import Tally

MAX_PROJECTS = 100
OTHERS = "others"
OPEN_HANDOFFS = ("initiated", "accepted")


def expose(health: Health, tallies: Iterable[Tally]) -> bytes:
    """Everything, in the text format."""
    registry = CollectorRegistry()
    registry.register(_Ready([*_system(health, _bounded(list(tallies))), *merge(health.reports)]))
    return generate_latest(registry)


def merge(reports: Iterable[Report]) -> list[Metric]:
    """The metrics of all services, each family once, the samples told apart by service and instance."""
    families: dict[str, Metric] = {}
    for report in reports:
        labels = {"service": report.service, "instance": report.instance}
        for family in text_string_to_metric_families(report.metrics):
            if family.name.endswith("_created"):
                continue  # when a counter was born: nobody plots it, and it doubles the series
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.samples.append(sample._replace(labels={**sample.labels, **labels}))
    return list(families.values())


def _system(health: Health, tallies: list[Tally]) -> Iterator[Metric]:
    parts = GaugeMetricFamily("coordctl_part_up", "1 for each part that works.", labels=["part"])
    for name, part in health.parts.items():
        parts.add_metric([name], part.ok)
    yield parts
    if health.standing is not None:
        head = "Position of the last event in the log."
        yield GaugeMetricFamily("coordctl_log_head_position", head, value=health.standing.head)
        yield from _lags(health)
    yield from _counts(tallies)


def _lags(health: Health) -> Iterator[Metric]:
    assert health.standing is not None, "the caller looked"
    found = [("relay", "", health.relay)]
    found += [("projector", name, lag) for name, lag in health.standing.projections.items()]
    events = GaugeMetricFamily(
        "coordctl_lag_events", "Positions behind the log.", labels=["of", "projection"]
    )
    seconds = GaugeMetricFamily(
        "coordctl_lag_seconds", "Age of the oldest event not handled yet.", labels=["of", "projection"]
    )
    for of, projection, lag in found:
        if lag is not None:
            events.add_metric([of, projection], lag.events)
            seconds.add_metric([of, projection], lag.seconds)
    yield events
    yield seconds


def _counts(tallies: list[Tally]) -> Iterator[Metric]:
    for kind in ("agents", "tasks", "handoffs"):
        family = GaugeMetricFamily(
            f"coordctl_{kind}", f"How many {kind} have this status.", labels=["project", "status"]
        )
        for (project, status), count in _sums(t for t in tallies if t.kind == kind).items():
            family.add_metric([project, status], count)
        yield family
    handoffs = [t for t in tallies if t.kind == "handoffs" and t.status in OPEN_HANDOFFS]
    yield GaugeMetricFamily(
        "coordctl_handoffs_open", "Handoffs that are not finished.", value=sum(t.count for t in handoffs)
    )


def _bounded(tallies: list[Tally]) -> list[Tally]:
    """Tallies of the largest projects; the rest counts as one, so that the series do not grow for ever."""
    sizes: dict[str, int] = {}
    for tally in tallies:
        sizes[tally.project] = sizes.get(tally.project, 0) + tally.count
    named = set(sorted(sizes, key=lambda project: -sizes[project])[:MAX_PROJECTS])
    return [
        tally if tally.project in named else Tally(OTHERS, tally.kind, tally.status, tally.count)
        for tally in tallies
    ]


def _sums(tallies: Iterable[Tally]) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for tally in tallies:
        key = (tally.project, tally.status)
        sums[key] = sums.get(key, 0) + tally.count
    return sums


class _Ready(Collector):
    """Families that have been made already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
