"""The metrics as docs/monitoring.md has them in its tables, and as a gateway exposes them."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

SOMETIMES = "*"
"""After the name of a metric that there is only where its thing is."""

_ROW = re.compile(r"^\| `([a-z0-9_]+)`(\*?) \| (counter|gauge|histogram) \| ([a-z_`, ]*?) *\| (.+) \|$")
_WHO = {"service", "instance"}

Shape = tuple[str, frozenset[str]]
"""The type and the labels."""


def rows(page: Path) -> list[tuple[str, bool, Shape]]:
    """Names as they are in queries, whether they are always there, and what they are."""
    found = []
    for line in page.read_text().splitlines():
        if match := _ROW.match(line):
            name, sometimes, kind, labels, _ = match.groups()
            shape = (kind, frozenset(re.findall(r"`([a-z_]+)`", labels)))
            found.append((name, sometimes != SOMETIMES, shape))
    return found


def documented(page: Path) -> dict[str, Shape]:
    return {name: shape for name, _, shape in rows(page)}


def promised(page: Path) -> set[str]:
    """The metrics that every system has."""
    return {name for name, always, _ in rows(page) if always}


def exposed(text: str) -> dict[str, Shape]:
    """Every metric that has samples; the labels that tell processes apart go unsaid."""
    found: dict[str, Shape] = {}
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        own = labels - _WHO if labels >= _WHO else labels
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if family.samples:
            found[name] = (family.type, frozenset(own))
    return found
