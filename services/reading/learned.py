"""Answers about what was learned that no row gives: factors, plans that grew, what is stale or slow.

They are made of the named queries of the projections, asked of the rows of now or of any moment of the past.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from domain.correction import REMEMBERED_ESTIMATES, Closed
from domain.correction import factors as factors_of
from projections.actions import ACTIONS
from projections.documentation import DOCUMENTATION
from projections.estimates import ESTIMATES
from projections.framework import Projection
from projections.queue import QUEUE
from projections.views import Page

Item = dict[str, Any]


class Ask(Protocol):
    """The result of a named query over a project's rows, those there are or those there were at a moment."""

    def __call__(
        self, projection: Projection[Any], name: str, parameters: Mapping[str, Any], /
    ) -> list[Item]: ...


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


def factor(ask: Ask, params: FactorParams) -> list[Item]:
    """The factor of all estimates together."""
    return ask(ESTIMATES, "factor", {"at": params.at})


def factors(ask: Ask, params: FactorParams) -> list[Item]:
    """The factor of all, of each persona and of each band of complexity, with the spread of each."""
    closed = [
        Closed(row["ratio"], row["persona"], row["complexity"], row["closed_at"])
        for row in ask(ESTIMATES, "closed", {"at": params.at, "limit": REMEMBERED_ESTIMATES})
    ]
    found = factors_of(closed, params.at or datetime.now(UTC))
    return [msgspec.to_builtins(each) for each in found[params.offset : params.offset + params.limit]]


def plans(ask: Ask, params: Page) -> list[Item]:
    """Each plan's steps: planned, added below them, completed.

    It is `scope_creep` if half more were completed than planned.
    """
    return ask(QUEUE, "plans", {"limit": params.limit, "offset": params.offset})


def stale_documentation(ask: Ask, params: StaleParams) -> list[Item]:
    """Documentation that can no longer be relied on, the longest expired first."""
    return ask(DOCUMENTATION, "stale", {"at": params.at, "limit": params.limit, "offset": params.offset})


def action_stats(ask: Ask, params: ActionStatsParams) -> list[Item]:
    """How many actions, how many failed, and how long they took."""
    asked = {"at": params.at, "seconds": params.seconds, "limit": params.limit, "offset": params.offset}
    return ask(ACTIONS, f"by_{params.by}", asked)


class Learned(Struct, frozen=True):
    """A view that is answered from named queries."""

    params: type[Page]
    answer: Callable[[Ask, Any], list[Item]]


LEARNED: Mapping[str, Learned] = {
    "factor": Learned(FactorParams, factor),
    "factors": Learned(FactorParams, factors),
    "plans": Learned(Page, plans),
    "stale_documentation": Learned(StaleParams, stale_documentation),
    "action_stats": Learned(ActionStatsParams, action_stats),
}


def timed_at(view: str, time: datetime | None) -> dict[str, Any]:
    """The parameter that says as of which time, for a view that takes one, if a time is meant."""
    takes = view in LEARNED and issubclass(LEARNED[view].params, FactorParams)
    return {"at": time} if takes and time is not None else {}
