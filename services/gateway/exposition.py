"""What Prometheus scrapes: what is true of the whole system now, and every service's own metrics."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from services.doors.reports import Report
from services.health.health import Health
from services.metrics import Told
from services.roster import SERVICES
from services.writer.shards import SHARDS

STATES = ("working", "standing_by")


def expose(health: Health, figures: Sequence[Metric]) -> bytes:
    """Everything, in the text format; `figures` are those of `services/monitoring`."""
    families = [*_system(health), *figures, *merge(health.reports)]
    registry = CollectorRegistry()
    registry.register(Told(lambda: families))
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


def _system(health: Health) -> Iterator[Metric]:
    parts = GaugeMetricFamily("coordctl_part_up", "1 for each part that works.", labels=["part"])
    for name, part in health.parts.items():
        parts.add_metric([name], part.ok)
    yield parts
    yield _instances(health.reports)
    owned = {shard for report in health.reports for shard in report.shards}
    about = "Of the shards of projects, how many no writer decides for."
    yield GaugeMetricFamily("coordctl_shards_undecided", about, value=SHARDS - len(owned))
    if health.standing is not None:
        head = "Position of the last event in the log."
        yield GaugeMetricFamily("coordctl_log_head_position", head, value=health.standing.head)
        full = "1 if the disk of Postgres has no room, so that commands are refused."
        yield GaugeMetricFamily("coordctl_log_full", full, value=bool(health.standing.full))
        yield from _lags(health)


def _instances(reports: Iterable[Report]) -> Metric:
    """Of every service, also of one of which no process answers."""
    family = GaugeMetricFamily(
        "coordctl_instances", "Processes of a service that answer, by state.", labels=["service", "state"]
    )
    states = [(report.service, report.working) for report in reports]
    for service in SERVICES:
        for state, working in zip(STATES, (True, False), strict=True):
            family.add_metric([service, state], states.count((service, working)))
    return family


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
