"""`coordctl bench replay`, in a history so short that only the way is tried, not the speed."""

import json
from pathlib import Path

from projections.catalog import VIEWS
from tests.acceptance.system import System

VIEW, ENTITY = "any view at a random instant", "one entity at a random instant"
BOUNDS = {
    f"{VIEW}: p50": 150,
    f"{VIEW}: p95": 400,
    f"{ENTITY}: p50": 20,
    "diff of two random instants, all views: slowest": 1,
    "checkpoints, share of the log's size": 0.25,
    "folding in memory, a core": 100_000,
    "rebuilding all read models": 40_000,
    "fork, to its first command and first view: slowest": 1,
}


def test_the_past_is_measured_to_the_end_and_nothing_is_left_behind(data: Path) -> None:
    system = System(data, TMPDIR=str(data))

    told = json.loads(system.run("bench", "replay", "--events", "3000", "--json"))

    figures = {figure["name"]: figure for figure in told["figures"]}
    assert 3_000 <= figures["history"]["value"] < 3_100
    assert [name for name, each in figures.items() if each["value"] <= 0 and "lag" not in name] == []
    assert {name: each["target"] for name, each in figures.items() if each["target"]} == BOUNDS
    assert {name for name in figures if name.startswith(f"{VIEW}: ")} == {
        f"{VIEW}: {each}" for each in ("p50", "p95", *(f"{v}: {p}" for v in VIEWS for p in ("p50", "p95")))
    }
    for name in (f"{VIEW}: p50", f"{VIEW}: p95", f"{ENTITY}: p50", "rebuilding all read models"):
        assert figures[name]["plain_replay"] > 0
    assert told["missed"] == [name for name, each in figures.items() if each["met"] is False]
    assert system.processes() == []
    assert list(data.iterdir()) == []


def test_a_size_goes_with_the_measurement_that_has_one(data: Path) -> None:
    system = System(data)
    system.run("bench", "--events", "5000", code=2)
    system.run("bench", "replay", "--events", "100", code=2)
    system.run("bench", "replay", "--quick", "--events", "5000", code=2)
