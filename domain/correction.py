"""By how much estimates were wrong, and so by how much to correct the next one. Pure.

A factor is the mean of actual by estimated sessions over the estimates closed in the 90 days before, of the
last 1,000 at most. There is one for all, one for each persona, and one for each band of complexity.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import fsum, sqrt
from statistics import fmean
from typing import Literal, assert_never

from msgspec import Struct

REMEMBERED_ESTIMATES = 1_000
WINDOW = timedelta(days=90)
MAX_RATIO = 1e6
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
    return ratio if ratio <= MAX_RATIO else None


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
    recent = _recent(closed, now)
    personas = sorted({each.persona for each in recent if each.persona is not None})
    bands: tuple[Band, ...] = ("1-3", "4-6", "7-10")
    groups: list[tuple[Basis, str]] = [("all", "")]
    groups += [("persona", name) for name in personas] + [("complexity", name) for name in bands]
    found = ((basis, of, _ratios(recent, basis, of)) for basis, of in groups)
    return [_factor(basis, of, ratios) for basis, of, ratios in found if ratios]


def correction(
    closed: Iterable[Closed], persona: str | None, complexity: int, now: datetime
) -> Factor | None:
    """The factor for an estimate: its persona's, its band's or that of all, the first that has enough."""
    recent = _recent(closed, now)
    groups: tuple[tuple[Basis, str], ...] = (("persona", persona or ""), ("complexity", band(complexity)))
    for basis, of in groups:
        ratios = _ratios(recent, basis, of)
        if len(ratios) >= LEAST_ESTIMATES:
            return _factor(basis, of, ratios)
    return _factor("all", "", _ratios(recent, "all", "")) if recent else None


def _recent(closed: Iterable[Closed], now: datetime) -> list[Closed]:
    return [each for each in closed if now - WINDOW < each.at <= now]


def _ratios(closed: Iterable[Closed], basis: Basis, of: str) -> list[float]:
    """Those of a group."""
    match basis:
        case "all":
            return [each.ratio for each in closed]
        case "persona":
            return [each.ratio for each in closed if each.persona == of]
        case "complexity":
            return [each.ratio for each in closed if band(each.complexity) == of]
        case _:
            assert_never(basis)


def _factor(basis: Basis, of: str, ratios: Sequence[float]) -> Factor:
    mean, spread = fmean(ratios), None
    if len(ratios) > 1:  # by hand: the library reckons in fractions, which a writer has no time for
        spread = sqrt(fsum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1))
    return Factor(basis=basis, of=of, factor=mean, spread=spread, estimates=len(ratios))
