"""Rows of what is known: spikes, decisions, patterns, complexity, documentation, actions."""

from datetime import timedelta

import pytest

from domain.knowledge.actions import Action, RecordActions
from domain.knowledge.complexity import Measured, SnapshotComplexity
from domain.knowledge.decisions import DecisionRecorded, RecordDecision
from domain.knowledge.documentation import CacheDocumentation
from domain.knowledge.patterns import DefinePattern, UsePattern
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike, SpikeInitiated
from projections.actions import ACTIONS
from projections.complexity import COMPLEXITY, ComplexityRow
from projections.decisions import DECISIONS
from projections.documentation import DOCUMENTATION
from projections.patterns import PATTERN_USES, PATTERNS
from projections.spikes import SPIKES
from tests.projections.stories import START, Story


def test_a_spike_says_what_it_asked_and_what_it_showed() -> None:
    story = Story()
    (event,) = story.do("a1", InitiateSpike(question="By turns?", approach="Two voices", task="t1"))
    assert isinstance(event, SpikeInitiated)
    (row,) = story.rows(SPIKES).values()
    assert (row.question, row.task, row.viable, row.concluded_at) == ("By turns?", "t1", None, None)
    story.tick(60)
    story.do("a2", ConcludeSpike(spike=event.spike, result="no", viable=False, lessons="one", minutes=9))
    (row,) = story.rows(SPIKES).values()
    assert (row.result, row.viable, row.lessons, row.minutes) == ("no", False, "one", 9)
    assert (row.concluded_by, row.concluded_at) == ("a2", START + timedelta(seconds=60))


def test_a_superseded_decision_names_the_one_that_holds() -> None:
    story = Story()
    (first,) = story.do(
        "a1", RecordDecision(title="Voice", choice="third", alternatives=("first", "letters"))
    )
    assert isinstance(first, DecisionRecorded)
    second, _ = story.do("a1", RecordDecision(title="Voice", choice="first", supersedes=first.decision))
    rows = story.rows(DECISIONS)
    assert (rows[first.decision].status, rows[first.decision].superseded_by) == ("superseded", second.entity)
    assert (rows[second.entity].status, rows[second.entity].supersedes) == ("holds", first.decision)
    assert rows[first.decision].alternatives == ("first", "letters")


def test_a_pattern_knows_how_well_it_is_kept_also_when_it_is_said_anew() -> None:
    story = Story()
    story.do("a1", DefinePattern(pattern="short", description="ten pages"))
    for file, compliance in (("a.md", 100), ("b.md", 50), ("a.md", 90)):
        story.do("a2", UsePattern(pattern="short", file=file, compliance=compliance))
    story.do("a1", DefinePattern(pattern="short", description="eight pages"))
    row = story.rows(PATTERNS)["short"]
    assert (row.description, row.uses, row.average_compliance) == ("eight pages", 3, 80)
    uses = story.rows(PATTERN_USES)
    assert (uses["a.md"].compliance, uses["a.md"].uses, uses["b.md"].compliance) == (90, 2, 50)


def measured(*scores: float) -> ComplexityRow:
    story = Story()
    for score in scores:
        story.do("a1", SnapshotComplexity(files=(Measured(file="a.py", score=score, lines=7),)))
    row = story.rows(COMPLEXITY)["a.py"]
    assert isinstance(row, ComplexityRow)
    return row


def test_a_file_that_grew_by_more_than_half_in_five_measurements_is_warned_of() -> None:
    assert (measured(10).growth, measured(10).warning) == (None, False)
    assert not measured(10, 11, 12, 14, 15).warning
    row = measured(10, 11, 12, 14, 15.1)
    assert (row.warning, row.growth, row.scores) == (True, pytest.approx(0.51), (10, 11, 12, 14, 15.1))
    assert not measured(10, 20, 20, 20, 20, 20).warning, "what it grew from is further back"
    assert (measured(0, 5).growth, measured(5e-324, 1e9).growth) == (None, None)


def test_documentation_kept_anew_takes_the_place_of_the_old() -> None:
    story = Story()
    story.do("a1", CacheDocumentation(library="click", release="8", content="old", source="docs"))
    story.tick(60)
    story.do("a2", CacheDocumentation(library="click", release="8", content="new", days=1))
    story.do("a2", CacheDocumentation(library="click", release="8", topic="groups", content="other"))
    rows = story.rows(DOCUMENTATION)
    assert (rows[""].content, rows[""].refreshed, rows[""].cached_by) == ("new", 1, "a2")
    assert rows[""].expires_at == START + timedelta(days=1, seconds=60)
    assert rows["groups"].refreshed == 0


def test_each_action_is_a_row() -> None:
    story = Story()
    failed = Action(action="pytest", phase="verify", seconds=3, success=False, error="2 failed", task="t1")
    story.do("a1", RecordActions(actions=(failed, Action(action="edit", output="ch1"))))
    rows = story.rows(ACTIONS)
    assert (rows[0].action, rows[0].phase, rows[0].success, rows[0].error) == (
        "pytest",
        "verify",
        False,
        "2 failed",
    )
    assert (rows[1].action, rows[1].success, rows[1].output, rows[1].agent) == ("edit", True, "ch1", "a1")
