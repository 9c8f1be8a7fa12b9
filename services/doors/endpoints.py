"""What the writer and the gateway offer on NATS, with the figures of their metrics.

Reads their registries, when asked.
"""

from collections.abc import Sequence
from inspect import cleandoc

from prometheus_client import CollectorRegistry

from domain.catalog import COMMANDS
from services.doors.micro import Endpoint, Endpoints

_WORK_SECONDS = ("coordctl_decision_seconds_sum", "coordctl_commit_seconds_sum")


def command_endpoints(registry: CollectorRegistry) -> Endpoints:
    """One for each command. They are decided and committed together, so each has its share of the time."""

    def endpoints() -> list[Endpoint]:
        used = _outcomes(registry, "coordctl_commands", "verb")
        each_s = _total(registry, _WORK_SECONDS) / max(
            1, sum(sum(counts.values()) for counts in used.values())
        )
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
        used = _outcomes(registry, "coordctl_reads", "view")
        return [
            Endpoint(
                name=view,
                subject=f"coord.*.get.{view}",
                queue_group=queue,
                about=f"Read the view {view}.",
                outcomes=used.get(view, {}),
                seconds=registry.get_sample_value("coordctl_read_seconds_sum", {"view": view}) or 0.0,
            )
            for view in views
        ]

    return endpoints


def _outcomes(registry: CollectorRegistry, counter: str, label: str) -> dict[str, dict[str, int]]:
    """How often by the value of a label, and by outcome."""
    found: dict[str, dict[str, int]] = {}
    for family in registry.collect():
        if family.name == counter:
            for sample in family.samples:
                if sample.name == f"{counter}_total":
                    counts = found.setdefault(sample.labels[label], {})
                    counts[sample.labels["outcome"]] = int(sample.value)
    return found


def _total(registry: CollectorRegistry, samples: Sequence[str]) -> float:
    return sum(registry.get_sample_value(sample) or 0.0 for sample in samples)
