"""What the writer and the gateway offer on NATS, with the figures of their metrics.

Reads their registries, when asked.
"""

from collections.abc import Sequence
from inspect import cleandoc

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from domain.catalog import COMMANDS
from services.doors.micro import Endpoint, Endpoints

_WORK_SECONDS = ("coordctl_decision_seconds_sum", "coordctl_commit_seconds_sum")


def command_endpoints(registry: CollectorRegistry) -> Endpoints:
    """One for each command. They are decided and committed together, so each has its share of the time."""

    def endpoints() -> list[Endpoint]:
        used = _outcomes(registry, "coordctl_commands_total", "verb")
        asked = sum(sum(counts.values()) for counts in used.values())
        each_s = sum(sample.value for sample in _samples(registry, *_WORK_SECONDS)) / max(1, asked)
        return [
            Endpoint(
                name=verb.replace(".", "_"),
                subject=f"coord.*.cmd.*.{verb}",
                queue_group="",
                about=cleandoc(kind.__doc__ or "").partition("\n")[0],
                outcomes=used.get(verb, {}),
                seconds=each_s * sum(used.get(verb, {}).values()),
            )
            for verb, kind in COMMANDS.items()
        ]

    return endpoints


def view_endpoints(registry: CollectorRegistry, views: Sequence[str], queue: str) -> Endpoints:
    """One for each view."""

    def endpoints() -> list[Endpoint]:
        used = _outcomes(registry, "coordctl_reads_total", "view")
        spent_s = {
            each.labels["view"]: each.value for each in _samples(registry, "coordctl_read_seconds_sum")
        }
        return [
            Endpoint(
                name=view,
                subject=f"coord.*.get.{view}",
                queue_group=queue,
                about=f"Read the view {view}.",
                outcomes=used.get(view, {}),
                seconds=spent_s.get(view, 0.0),
            )
            for view in views
        ]

    return endpoints


def _outcomes(registry: CollectorRegistry, counter: str, label: str) -> dict[str, dict[str, int]]:
    """How often by the value of a label, and by outcome."""
    found: dict[str, dict[str, int]] = {}
    for sample in _samples(registry, counter):
        found.setdefault(sample.labels[label], {})[sample.labels["outcome"]] = int(sample.value)
    return found


def _samples(registry: CollectorRegistry, *names: str) -> list[Sample]:
    """Those of these names, and nothing else is collected."""
    families = registry.restricted_registry(names).collect()
    return [sample for family in families for sample in family.samples]
