"""Answers about what was learned that no row gives: factors, plans that grew, what is stale or slow."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from domain.correction import REMEMBERED_ESTIMATES, Closed
from domain.correction import factors as factors_of
from projections.actions import ACTIONS
from projections.documentation import DOCUMENTATION
from projections.estimates import ESTIMATES
from projections.queue import QUEUE
from projections.views import Page
from services.projector.tables import Connection
from services.reading.named import named

Item = dict[str, Any]

_DAY_S = 86_400.0


class FactorParams(Page, frozen=True, kw_only=True):
    """As of a moment; without one, now."""

    at: Annotated[datetime, Meta(tz=True)] | None = None


class StaleParams(FactorParams, frozen=True, kw_only=True):
    """What had expired by a moment; without one, by now."""


class ActionStatsParams(FactorParams, frozen=True, kw_only=True):
    """Over the `seconds` before a moment, a day unless told.

    Agents, with the slowest first, or kinds of action, with those that fail most often first.
    """

    by: Literal["agent", "action"] = "agent"
    seconds: Annotated[float, Meta(gt=0, le=366 * _DAY_S)] = _DAY_S


def factor(connection: Connection, project: str, params: FactorParams) -> list[Item]:
    """The factor of all estimates together."""
    return named(connection, ESTIMATES, "factor", project, {"at": params.at})


def factors(connection: Connection, project: str, params: FactorParams) -> list[Item]:
    """The factor of all, of each persona and of each band of complexity, with the spread of each."""
    asked = {"at": params.at, "limit": REMEMBERED_ESTIMATES}
    closed = [
        Closed(row["ratio"], row["persona"], row["complexity"], row["closed_at"])
        for row in named(connection, ESTIMATES, "closed", project, asked)
    ]
    found = factors_of(closed, params.at or datetime.now(UTC))
    return [msgspec.to_builtins(each) for each in found[params.offset : params.offset + params.limit]]


def plans(connection: Connection, project: str, params: Page) -> list[Item]:
    """Each plan's steps: planned, added below them, completed.

    It is `scope_creep` if half more were completed than planned.
    """
    return named(connection, QUEUE, "plans", project, {"limit": params.limit, "offset": params.offset})


def stale_documentation(connection: Connection, project: str, params: StaleParams) -> list[Item]:
    """Documentation that can no longer be relied on, the longest expired first."""
    asked = {"at": params.at, "limit": params.limit, "offset": params.offset}
    return named(connection, DOCUMENTATION, "stale", project, asked)


def action_stats(connection: Connection, project: str, params: ActionStatsParams) -> list[Item]:
    """How many actions, how many failed, and how long they took."""
    asked = {"at": params.at, "seconds": params.seconds, "limit": params.limit, "offset": params.offset}
    return named(connection, ACTIONS, f"by_{params.by}", project, asked)
