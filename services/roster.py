"""The services that make up a running system, by name, and the names of their instances."""

from collections.abc import Mapping

RECALL = "recall"
"""The one without which all others do their work."""

SERVICES = ("writer", "relay", "projector", "gateway", RECALL)
MAX_INSTANCES = 8
"""Of one service. What they need of connections the embedded Postgres has room for."""


def instances(counts: Mapping[str, int]) -> dict[str, str]:
    """The service of each instance by the instance's name: `writer`, `writer-2`, `relay` and so on.

    `counts` says how many there are of a service; of those it does not name there is one.
    """
    return {
        name if number == 1 else f"{name}-{number}": name
        for name in SERVICES
        for number in range(1, counts.get(name, 1) + 1)
    }


def service_of(instance: str) -> str:
    """The service that an instance of this name runs."""
    name, _, number = instance.rpartition("-")
    return name if name in SERVICES and number.isdecimal() else instance
