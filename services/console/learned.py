"""What was learned: failures, estimates against what the work took, what else the fleet knows. Reads only."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from projections.views import MAX_ROWS
from services.console.detail_seen import Seen
from services.reading.reads import Item

SHOWN_ROWS = 100
MAX_POINTS = 2_000
RECENT = timedelta(days=90)
"""How long a closed estimate counts for the correction factor."""


class Known(Struct, frozen=True, kw_only=True):
    """A list that is shown as a table: of which view, with which columns, and which command has it all."""

    name: str
    title: str
    view: str
    columns: Mapping[str, str]
    command: str
    params: Mapping[str, Any] = {}


class KnownRows(Struct, frozen=True):
    """A list with its first rows, and whether there are more."""

    of: Known
    rows: Sequence[Item]
    more: bool


KNOWN = (
    Known(
        name="decisions", title="Decisions that hold", view="decisions", params={"status": ("holds",)},
        columns={"title": "About", "choice": "Choice", "context": "Because", "consequences": "So",
                 "decided_by": "By", "decided_at": "Decided"},
        command="decision list",
    ),
    Known(
        name="memories", title="Memories", view="memories",
        params={"status": ("current",), "visibility": ("project", "shared")},
        columns={"text": "Text", "kind": "Kind", "importance": "Importance", "tags": "Tags", "agent": "By",
                 "stored_at": "Stored"},
        command="memory list",
    ),
    Known(
        name="spikes", title="Spikes", view="spikes",
        columns={"question": "Question", "viable": "A way to go", "result": "Result", "lessons": "Lessons",
                 "initiated_by": "By", "initiated_at": "Begun"},
        command="spike list",
    ),
    Known(
        name="patterns", title="Patterns", view="patterns",
        columns={"pattern": "Pattern", "description": "How it is done",
                 "average_compliance": "Kept to, of 100", "uses": "Uses"},
        command="pattern list",
    ),
    Known(
        name="complexity", title="Files that grow too fast", view="complexity", params={"warning": True},
        columns={"file": "File", "score": "Score", "growth": "Grown by", "lines": "Lines",
                 "measured_at": "Measured"},
        command="complexity list --warning",
    ),
    Known(
        name="stale", title="Stale documentation", view="stale_documentation",
        columns={"library": "Library", "release": "Release", "topic": "About", "expires_at": "Stale since"},
        command="docs stale",
    ),
    Known(
        name="factors", title="Correction factors by group", view="factors",
        columns={"basis": "By", "of": "Of", "factor": "Factor", "spread": "Spread", "estimates": "Estimates"},
        command="estimate factors",
    ),
)  # fmt: skip
"""What is shown beside failures, estimates, retrospectives and the plans that grew."""

GREW = Known(
    name="plans", title="Plans that grew", view="plans",
    columns={"plan": "Plan", "planned": "Planned", "added": "Added", "completed": "Completed",
             "made_at": "Made"},
    command="plan list",
)  # fmt: skip


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
        "known": [*(_known(seen, each) for each in KNOWN), _grown(seen)],
    }


def _known(seen: Seen, known: Known) -> KnownRows:
    rows = seen.view(known.view, limit=SHOWN_ROWS + 1, **known.params)
    return KnownRows(known, rows[:SHOWN_ROWS], len(rows) > SHOWN_ROWS)


def _grown(seen: Seen) -> KnownRows:
    """Plans of which half as much again was completed as was planned, or more."""
    rows = [row for row in seen.view(GREW.view, limit=MAX_ROWS) if row["scope_creep"]]
    return KnownRows(GREW, rows[:SHOWN_ROWS], len(rows) > SHOWN_ROWS)


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
