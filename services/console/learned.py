"""What was learned: failures, estimates against what the work took, and retrospectives. Reads only."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from projections.views import MAX_ROWS
from services.console.detail_seen import Seen
from services.reading.reads import Item

SHOWN_ROWS = 100
MAX_POINTS = 2_000
RECENT = timedelta(days=90)
"""How long a closed estimate counts for the correction factor."""


class Correction(Struct, frozen=True):
    """By which factor to multiply the next estimate, and of how many closed ones it is the mean.

    `factor` is None if none was closed in the last 90 days.
    """

    factor: float | None
    estimates: int


def correction(rows: Iterable[Item], at: datetime) -> Correction:
    """The mean of actual by estimated sessions of what was closed in the 90 days before a moment."""
    ratios = [
        row["ratio"]
        for row in rows
        if row["ratio"] is not None and row["closed_at"] is not None and at - RECENT < row["closed_at"] <= at
    ]
    return Correction(sum(ratios) / len(ratios) if ratios else None, len(ratios))


def learned(seen: Seen) -> Item:
    """What the view shows, the latest first; SHOWN_ROWS of each list, and whether there are more."""
    estimates = _estimates(seen)
    failures = seen.view("failures", limit=SHOWN_ROWS + 1)
    retros = seen.view("retros", limit=SHOWN_ROWS + 1)
    return {
        "failures": failures[:SHOWN_ROWS],
        "more_failures": len(failures) > SHOWN_ROWS,
        "estimates": estimates[:SHOWN_ROWS],
        "more_estimates": len(estimates) > SHOWN_ROWS,
        "retros": retros[:SHOWN_ROWS],
        "more_retros": len(retros) > SHOWN_ROWS,
        "correction": correction(estimates, seen.at),
        "closed": sum(row["actual_sessions"] is not None for row in estimates),
    }


def points(seen: Seen) -> Item:
    """The latest closed estimates as the plot draws them, in the order of what was estimated."""
    estimates = _estimates(seen)
    found = correction(estimates, seen.at)
    closed = [row for row in estimates if row["actual_sessions"] is not None][:MAX_POINTS]
    closed.sort(key=lambda row: row["estimated_sessions"])
    return {
        "factor": found.factor,
        "estimates": found.estimates,
        "points": [
            {
                "estimate": row["estimate"],
                "feature": row["feature"],
                "estimated": row["estimated_sessions"],
                "actual": row["actual_sessions"],
                "closed_at": row["closed_at"],
            }
            for row in closed
        ],
    }


def _estimates(seen: Seen) -> Sequence[Item]:
    return seen.view("estimates", limit=MAX_ROWS)
