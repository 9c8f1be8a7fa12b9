"""What was learned: failures, estimates against actuals, retrospectives."""

from typing import Any

from domain.errors import UnknownEstimate
from domain.learning import (
    CloseEstimate,
    EstimateClosed,
    EstimateRecorded,
    FailureRecorded,
    RecordEstimate,
    RecordFailure,
    RecordRetrospective,
    RetrospectiveRecorded,
)
from tests.domain.given import given


def test_a_failure_is_recorded_with_its_lesson() -> None:
    recorded = given().when(
        "a1",
        RecordFailure(feature="index", approach="recursion", why="too deep", lesson="iterate", task="t1"),
    )
    event = recorded.the(FailureRecorded)
    assert (event.feature, event.approach, event.why, event.lesson, event.task) == (
        "index",
        "recursion",
        "too deep",
        "iterate",
        "t1",
    )
    assert event.entity == event.failure


def test_an_estimate_is_closed_with_what_it_took() -> None:
    scenario = given().when("a1", RecordEstimate(feature="index", sessions=2.5, complexity=7, persona="map"))
    estimate = scenario.the(EstimateRecorded).estimate
    scenario.then(
        EstimateRecorded(estimate=estimate, feature="index", sessions=2.5, complexity=7, persona="map")
    )
    scenario.when(
        "a1",
        CloseEstimate(estimate=estimate, sessions=5, files_created=3, files_modified=1, notes="harder"),
    ).then(
        EstimateClosed(
            estimate=estimate, estimated=2.5, sessions=5, files_created=3, files_modified=1, notes="harder"
        )
    )


def test_an_estimate_is_closed_once_and_only_if_it_was_made() -> None:
    scenario = given().when("a1", RecordEstimate(feature="index", sessions=1, complexity=1))
    estimate = scenario.the(EstimateRecorded).estimate
    scenario.when("a1", CloseEstimate(estimate=estimate, sessions=1)).then_kinds(EstimateClosed)
    scenario.when("a1", CloseEstimate(estimate=estimate, sessions=1)).rejected(
        UnknownEstimate, estimate=estimate
    )
    scenario.when("a1", CloseEstimate(estimate="e-none", sessions=1)).rejected(UnknownEstimate)


def test_a_retrospective_is_recorded() -> None:
    look_back: dict[str, Any] = {
        "feature": "index",
        "surprises": "none",
        "would_change": "names",
        "new_patterns": "fold",
        "spike_accuracy": 80,
    }
    scenario = given().when("a1", RecordRetrospective(**look_back))
    event = scenario.the(RetrospectiveRecorded)
    assert event == RetrospectiveRecorded(retro=event.entity, **look_back)


def test_each_record_has_an_id_of_its_own() -> None:
    scenario = given()
    record = RecordFailure(feature="index", approach="recursion", why="too deep")
    first = scenario.when("a1", record).the(FailureRecorded).failure
    second = scenario.when("a1", record).the(FailureRecorded).failure
    assert first != second
