"""Searches for commands, and what they show of what was found."""

from collections.abc import Sequence
from typing import Any

import click

from cli.context import Context
from cli.options import given
from cli.output import Item, clean, print_json, print_table, warn
from cli.session import opened_log

STATUSES = ("current", "superseded", "archived")
SOURCES = ("memory", "failure", "decision", "spike", "pattern")
FAILURES = "failure"
SPIKES = "spike"
CATCH_UP_TIMEOUT_S = 4.0
ADVICE_TIMEOUT_S = 1.0
"""How long a command waits for advice that nobody asked for."""

HIT_COLUMNS = ("id", "found by", "score", "kind", "strength", "agent", "text")


def recall(context: Context, timeout_s: float | None = None, **params: Any) -> list[Item]:
    """What the recall service finds; unless there is a time limit, with all that the log has when asked.

    Raises Refused, NotRunning, TimedOut or Unavailable.
    """
    import asyncio
    from datetime import datetime

    from services.config import resolve_nats
    from services.recall.asking import TIMEOUT_S, ask

    url = resolve_nats(context.config())
    if timeout_s is None:
        with opened_log(context) as log:
            params |= {"min_position": log.head(), "wait_s": CATCH_UP_TIMEOUT_S}
    asked = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given(**params).items()
    }
    return [*asyncio.run(ask(url, context.project, asked, timeout_s or TIMEOUT_S))]


def similar_failures(context: Context, *about: str) -> list[Item]:
    """The closest failures of the past."""
    return _similar(context, FAILURES, about)


def similar_spikes(context: Context, *about: str) -> list[Item]:
    """The closest spikes that were concluded."""
    return _similar(context, SPIKES, about)


def _similar(context: Context, source: str, about: Sequence[str]) -> list[Item]:
    """Rows of the closest; none if they cannot be asked for: advice is no reason to fail."""
    from domain.errors import CoordError
    from services.recall.params import surely_like, work_text

    asked = surely_like(work_text(*about), source)
    try:
        found = recall(context, ADVICE_TIMEOUT_S, **asked)
    except CoordError:
        return []
    return [hit["row"] for hit in found]


def warn_of(failures: Sequence[Item]) -> None:
    """Tell what failed before, on stderr."""
    for row in failures:
        lesson = f" Lesson: {row['lesson']}" if row["lesson"] else ""
        warn(f"Something like it failed before ({row['failure']}): {row['approach']}: {row['why']}.{lesson}")


def tell_of(spikes: Sequence[Item]) -> None:
    """Tell what was tried before, on stderr."""
    for row in spikes:
        end = "a way to go" if row["viable"] else "no way to go"
        lessons = f" Lessons: {row['lessons']}" if row["lessons"] else ""
        warn(f"Something like it was tried before ({row['spike']}, {end}): {row['result']}.{lessons}")


def print_hits(context: Context, hits: Sequence[Item], nothing: str) -> None:
    """What was found, the best first, each with the path that found it."""
    if context.as_json:
        print_json(hits)
    elif not hits:
        click.echo(nothing)
    else:
        print_table([_shown(hit) for hit in hits], HIT_COLUMNS)


def print_failures(context: Context, hits: Sequence[Item], nothing: str) -> None:
    """Failures that were found, with their lessons."""
    if context.as_json:
        print_json(hits)
    elif not hits:
        click.echo(nothing)
    else:
        rows = [{**hit["row"], "score": hit["score"], "found by": hit["by"]} for hit in hits]
        print_table(rows, ("failure", "found by", "score", "feature", "approach", "why", "lesson"))


_TEXTS = {
    "memory": ("text",),
    "failure": ("feature", "approach", "why"),
    "decision": ("title", "choice"),
    "spike": ("question", "result"),
    "pattern": ("pattern", "description"),
}
"""What people are shown of a record, by its source."""

_AGENTS = {
    "memory": "agent",
    "failure": "recorded_by",
    "decision": "decided_by",
    "spike": "concluded_by",
    "pattern": "defined_by",
}


def _shown(hit: Item) -> Item:
    row, source = hit["row"], hit["source"]
    return {
        "id": hit["id"],
        "found by": hit["by"],
        "score": hit["score"],
        "kind": row.get("kind", source),
        "strength": hit["strength"],
        "agent": row[_AGENTS[source]],
        "text": clean(": ".join(row[name] for name in _TEXTS[source])),
    }
