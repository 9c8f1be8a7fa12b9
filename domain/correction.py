"""By how much estimates were wrong, and so by how much to correct the next one. Pure.

A factor is the mean of actual by estimated sessions over the estimates closed in the 90 days before, of the
last 1,000 at most. There is one for all, one for each persona, and one for each band of complexity.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import isfinite
from statistics import fmean, stdev
from typing import Literal

from msgspec import Struct

REMEMBERED_ESTIMATES = 1_000
WINDOW = timedelta(days=90)
LEAST_ESTIMATES = 3
"""A factor of fewer says less than that of all."""

Band = Literal["1-3", "4-6", "7-10"]
Basis = Literal["persona", "complexity", "all"]


class Closed(Struct, frozen=True, gc=False):
    """A closed estimate: actual by estimated sessions, and what it was of."""

    ratio: float
    persona: str | None
    complexity: int
    at: datetime


class Factor(Struct, frozen=True, kw_only=True):
    """`spread` is the standard deviation of the ratios; None of fewer than two."""

    basis: Basis
    of: str
    factor: float
    spread: float | None
    estimates: int


def ratio_of(actual: float, estimated: float) -> float | None:
    """Actual by estimated; None if the estimate was of next to nothing, which says nothing."""
    ratio = actual / estimated
    return ratio if isfinite(ratio) else None


def remembered() -> deque[Closed]:
    """Where a ledger keeps what was closed, the latest last."""
    return deque(maxlen=REMEMBERED_ESTIMATES)


def band(complexity: int) -> Band:
    """Of a complexity from 1 to 10."""
    if complexity <= 3:
        return "1-3"
    return "4-6" if complexity <= 6 else "7-10"


def factors(closed: Iterable[Closed], now: datetime) -> list[Factor]:
    """The factor of all, of each persona, and of each band of complexity; none of what has no estimates."""
    recent = [each for each in closed if now - WINDOW < each.at <= now]
    personas = sorted({each.persona for each in recent if each.persona is not None})
    groups: list[tuple[Basis, str, list[Closed]]] = [("all", "", recent)]
    groups += [("persona", name, [each for each in recent if each.persona == name]) for name in personas]
    for name in ("1-3", "4-6", "7-10"):
        groups.append(("complexity", name, [each for each in recent if band(each.complexity) == name]))
    return [_factor(basis, of, [each.ratio for each in group]) for basis, of, group in groups if group]


def correction(
    closed: Iterable[Closed], persona: str | None, complexity: int, now: datetime
) -> Factor | None:
    """The factor for an estimate: its persona's, its band's or that of all, the first that has enough."""
    found = {(each.basis, each.of): each for each in factors(closed, now)}
    groups: tuple[tuple[Basis, str], ...] = (("persona", persona or ""), ("complexity", band(complexity)))
    for group in groups:
        factor = found.get(group)
        if factor is not None and factor.estimates >= LEAST_ESTIMATES:
            return factor
    return found.get(("all", ""))


def _factor(basis: Basis, of: str, ratios: Sequence[float]) -> Factor:
    spread = stdev(ratios) if len(ratios) > 1 else None
    return Factor(basis=basis, of=of, factor=fmean(ratios), spread=spread, estimates=len(ratios))
