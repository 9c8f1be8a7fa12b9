"""By how much the next estimate is corrected."""

from datetime import timedelta

import pytest

from domain.correction import REMEMBERED_ESTIMATES, Closed, correction, factors, remembered
from domain.learning import CloseEstimate, EstimateRecorded, RecordEstimate
from tests.domain.given import START, Scenario, given


def closed(scenario: Scenario, ratio: float, persona: str | None = None, complexity: int = 5) -> None:
    estimate = RecordEstimate(feature="x", sessions=2, complexity=complexity, persona=persona)
    name = scenario.when("a1", estimate).the(EstimateRecorded).estimate
    scenario.when("a1", CloseEstimate(estimate=name, sessions=2 * ratio))


def corrected(scenario: Scenario, persona: str | None = None, complexity: int = 5) -> EstimateRecorded:
    estimate = RecordEstimate(feature="y", sessions=10, complexity=complexity, persona=persona)
    return scenario.when("a1", estimate).the(EstimateRecorded)


def test_the_first_estimate_is_taken_as_it_is() -> None:
    first = corrected(given())
    assert (first.corrected, first.factor, first.basis) == (None, None, None)


def test_an_estimate_is_corrected_by_those_of_its_persona_if_there_are_enough() -> None:
    scenario = given()
    for _ in range(3):
        closed(scenario, 2.0, persona="map")
        closed(scenario, 1.0, persona="plot", complexity=9)
    found = corrected(scenario, persona="map")
    assert (found.corrected, found.factor, found.basis) == (20.0, 2.0, "persona")
    found = corrected(scenario, persona="poet", complexity=8)
    assert (found.corrected, found.basis) == (10.0, "complexity")
    found = corrected(scenario, persona="poet", complexity=1)
    assert (found.corrected, found.basis) == (15.0, "all")


def test_what_was_closed_long_ago_says_nothing_any_more() -> None:
    scenario = given()
    closed(scenario, 3.0)
    assert corrected(scenario).factor == 3.0
    scenario.after(91 * 86_400)
    assert corrected(scenario).factor is None


def test_the_spread_is_told_of_each_group() -> None:
    several = [Closed(ratio, None, 2, START) for ratio in (1.0, 2.0, 3.0)]
    overall, band = factors([*several, Closed(1.0, None, 9, START)], START)[:2]
    assert (overall.factor, overall.estimates) == (1.75, 4)
    assert (band.basis, band.of, band.factor, band.spread) == ("complexity", "1-3", 2.0, pytest.approx(1.0))
    assert factors([Closed(1.0, None, 9, START)], START)[0].spread is None
    assert correction(several, None, 2, START + timedelta(days=90)) is None


def test_a_bounded_number_is_remembered() -> None:
    kept = remembered()
    kept.extend(Closed(1.0, None, 1, START) for _ in range(REMEMBERED_ESTIMATES + 5))
    assert len(kept) == REMEMBERED_ESTIMATES


def test_an_estimate_of_next_to_nothing_spoils_none() -> None:
    scenario = given()
    for _ in range(4):
        opened = scenario.when("a1", RecordEstimate(feature="x", sessions=1.2e-304, complexity=5))
        estimate = opened.the(EstimateRecorded).estimate
        scenario.when("a1", CloseEstimate(estimate=estimate, sessions=10_000))
    closed(scenario, 2.0)
    assert corrected(scenario).corrected == 20.0
