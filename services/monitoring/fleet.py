"""The fleet in figures, from the read models: agents, tasks and handoffs by status, and what was learned.

Counts come from indexes, ages from what is not finished alone. Projects that were forked or restored have
their rows in layers and are counted one by one. Reads the tables of the read models, and changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily, Metric
from psycopg.sql import SQL

from projections.agents import AGENTS
from projections.estimates import ESTIMATES
from projections.failures import FAILURES
from projections.framework import Projection
from projections.handoffs import HANDOFFS
from projections.queue import QUEUE
from projections.retros import RETROS
from services.errors import Unavailable
from services.monitoring.asking import READING_TIMEOUT_S, Rows, asking, rows
from services.projector.layers import Layers, parts_of, read_layers, union
from services.projector.tables import Connection
from services.projector.tracking import tracked
from services.reading.listing import served

MAX_PROJECTS = 100
OTHERS = "others"

_OPEN_TASKS = ("queued", "blocked", "claimed", "in_progress", "failed")
_OPEN_HANDOFFS = ("initiated", "accepted")

_BY_STATUS = (
    "SELECT project, status, count(*) AS value FROM {table}"
    " WHERE project <> ALL(%(without)s::text[]) GROUP BY project, status"
)
_SINCE = (
    "SELECT project, status, min(updated_at) AS value FROM {table}"
    " WHERE status = ANY(%(open)s::text[]) AND project <> ALL(%(without)s::text[]) GROUP BY project, status"
)
_ALL = (
    "SELECT project, count(*) AS value FROM {table}"
    " WHERE project <> ALL(%(without)s::text[]) GROUP BY project"
)
_ESTIMATES = (
    "SELECT project, CASE WHEN closed_at IS NULL THEN 'open' ELSE 'closed' END AS status, count(*) AS value"
    " FROM {table} WHERE project <> ALL(%(without)s::text[]) GROUP BY 1, 2"
)
_FACTOR = (
    "SELECT project, avg(ratio) AS value FROM {table} WHERE closed_at > now() - interval '90 days'"
    " AND ratio IS NOT NULL AND project <> ALL(%(without)s::text[]) GROUP BY project"
)


class Figure(Struct, frozen=True, kw_only=True):
    """One metric and where it comes from; of the projects beyond the bound it has the sum, or the most."""

    name: str
    about: str
    projection: Projection[Any]
    query: str
    by_status: bool = True
    adds_up: bool = True
    open: tuple[str, ...] = ()


FIGURES = (
    Figure(name="agents", about="How many agents have this status.", projection=AGENTS, query=_BY_STATUS),
    Figure(name="tasks", about="How many tasks have this status.", projection=QUEUE, query=_BY_STATUS),
    Figure(
        name="handoffs", about="How many handoffs have this status.", projection=HANDOFFS, query=_BY_STATUS
    ),
    Figure(
        name="tasks_oldest_seconds",
        about="How long ago the task of this status last changed that did so longest ago.",
        projection=QUEUE, query=_SINCE, adds_up=False, open=_OPEN_TASKS,
    ),
    Figure(
        name="handoffs_oldest_seconds",
        about="How long ago the handoff of this status last changed that did so longest ago.",
        projection=HANDOFFS, query=_SINCE, adds_up=False, open=_OPEN_HANDOFFS,
    ),
    Figure(
        name="failures", about="How many failures were recorded.", projection=FAILURES, query=_ALL,
        by_status=False,
    ),
    Figure(
        name="retrospectives", about="How many retrospectives were recorded.", projection=RETROS,
        query=_ALL, by_status=False,
    ),
    Figure(
        name="estimates", about="How many estimates are open or closed.", projection=ESTIMATES,
        query=_ESTIMATES,
    ),
    Figure(
        name="estimate_correction_ratio",
        about="What the work of 90 days took by what it was estimated to take.",
        projection=ESTIMATES, query=_FACTOR, by_status=False, adds_up=False,
    ),
)  # fmt: skip


def look(database_url: str) -> list[Metric]:
    """All figures now. Raises Unavailable, NoReadModels, or what psycopg raises."""
    until = monotonic() + READING_TIMEOUT_S
    now = datetime.now(UTC)
    found: dict[str, Rows] = {}
    with asking(database_url) as connection:
        layers = read_layers(connection)
        for figure in FIGURES:
            counted = _in_time(until, _read(connection, figure, layers))
            found[figure.name] = [{**row, "value": _value(row["value"], now)} for row in counted]
    projects = _sizes(row for each in ("agents", "tasks", "handoffs") for row in found[each])
    named = set(sorted(projects, key=lambda project: -projects[project])[:MAX_PROJECTS])
    families = [family(figure, bounded(found[figure.name], named, figure)) for figure in FIGURES]
    total = GaugeMetricFamily("coordctl_projects", "How many projects there are.", value=len(projects))
    return [*families, total]


def family(figure: Figure, values: Mapping[tuple[str, ...], float]) -> Metric:
    """The metric of a figure."""
    labels = ["project", "status"] if figure.by_status else ["project"]
    made = GaugeMetricFamily(f"coordctl_{figure.name}", figure.about, labels=labels)
    for key, value in values.items():
        made.add_metric(key, value)
    return made


def bounded(found: Rows, named: set[str], figure: Figure) -> dict[tuple[str, ...], float]:
    """Values by labels: of the projects that are named, and of all others together."""
    values: dict[tuple[str, ...], float] = {}
    for row in found:
        project = row["project"] if row["project"] in named else OTHERS
        key = (project, row["status"]) if figure.by_status else (project,)
        before, value = values.get(key, 0.0), float(row["value"])
        values[key] = before + value if figure.adds_up else max(before, value)
    return values


def _in_time(until: float, read: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same rows. Raises Unavailable when the moment has come: there may be many forks to be asked."""
    for row in read:
        if monotonic() > until:
            raise Unavailable(what="Postgres", why=f"figures took more than {READING_TIMEOUT_S:g} s")
        yield row


def _read(connection: Connection, figure: Figure, layers: Layers) -> Iterator[dict[str, Any]]:
    """By project and status; those that stand on layers are asked one by one."""
    projection = figure.projection
    standing = tracked(connection, [projection.name]).get(projection.name)
    known = layers.until(standing.position) if standing else Layers()
    apart = [
        project for project in known.projects() if known.under(project, record=projection.record) is not None
    ]
    table = served(projection)
    text = SQL(figure.query)
    open_ = list(figure.open)
    yield from rows(connection, text.format(table=table.identifier), {"without": apart, "open": open_})
    for project in apart:
        source = SQL("{} AS rows").format(union(parts_of(table, known, project)))
        yield from rows(connection, text.format(table=source), {"without": [], "open": open_})


def _sizes(found: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How much there is of each project."""
    sizes: dict[str, int] = {}
    for row in found:
        sizes[row["project"]] = sizes.get(row["project"], 0) + int(row["value"])
    return sizes


def _value(value: Any, now: datetime) -> float:
    """A moment is told by its age."""
    if isinstance(value, datetime):
        return max((now - value).total_seconds(), 0.0)
    return float(value)
