"""What a fleet knows beside its work: spikes, decisions, patterns, complexity, documentation, actions."""

from datetime import timedelta

from domain.errors import UnknownDecision, UnknownPattern, UnknownSpike
from domain.knowledge.actions import Action, ActionsRecorded, RecordActions
from domain.knowledge.complexity import ComplexityMeasured, Measured, SnapshotComplexity
from domain.knowledge.decisions import DecisionRecorded, DecisionSuperseded, RecordDecision
from domain.knowledge.documentation import CacheDocumentation, DocumentationCached
from domain.knowledge.patterns import DefinePattern, PatternDefined, PatternUsed, UsePattern
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike, SpikeConcluded, SpikeInitiated
from tests.domain.given import START, given


def test_a_spike_ends_once_and_says_again_what_it_was_about() -> None:
    scenario = given().when("a1", InitiateSpike(question="Can it be told by turns?", approach="Two voices"))
    spike = scenario.the(SpikeInitiated).spike
    conclude = ConcludeSpike(spike=spike, result="Readers lost track", viable=False, minutes=40)
    scenario.when("a2", conclude).then(
        SpikeConcluded(
            spike=spike,
            question="Can it be told by turns?",
            approach="Two voices",
            result="Readers lost track",
            viable=False,
            minutes=40,
        )
    )
    scenario.when("a2", conclude).rejected(UnknownSpike, spike=spike)


def test_a_decision_takes_the_place_of_one_that_holds() -> None:
    scenario = given().when("a1", RecordDecision(title="Voice", choice="third person"))
    first = scenario.the(DecisionRecorded).decision
    scenario.when("a1", RecordDecision(title="Voice", choice="first person", supersedes=first))
    second = scenario.the(DecisionRecorded).decision
    assert DecisionSuperseded(decision=first, by=second) in scenario.events
    again = RecordDecision(title="Voice", choice="letters", supersedes=first)
    scenario.when("a1", again).rejected(UnknownDecision, decision=first)


def test_a_pattern_is_there_before_it_is_used() -> None:
    use = UsePattern(pattern="short-chapters", file="act1/ch1.md", compliance=80)
    scenario = given().when("a1", use).rejected(UnknownPattern, pattern="short-chapters")
    define = DefinePattern(pattern="short-chapters", description="Ten pages at most")
    scenario.when("a1", define).then_kinds(PatternDefined)
    scenario.when("a2", use).then(PatternUsed(pattern="short-chapters", file="act1/ch1.md", compliance=80))


def test_a_file_that_is_measured_twice_at_once_counts_once() -> None:
    files = (Measured(file="a.py", score=1), Measured(file="b.py", score=5), Measured(file="a.py", score=2))
    given().when("a1", SnapshotComplexity(files=files)).then(
        ComplexityMeasured(files=(Measured(file="a.py", score=2), Measured(file="b.py", score=5)))
    )


def test_documentation_holds_for_a_week_unless_told() -> None:
    scenario = given().when("a1", CacheDocumentation(library="msgspec", content="Structs are fast"))
    assert scenario.the(DocumentationCached).expires_at == START + timedelta(days=7)
    scenario.when("a1", CacheDocumentation(library="msgspec", content="Structs are fast", days=0.5))
    assert scenario.the(DocumentationCached).expires_at == START + timedelta(hours=12)


def test_actions_are_told_together() -> None:
    done = (Action(action="pytest", seconds=3, success=False, error="2 failed"), Action(action="edit"))
    scenario = given().when("a1", RecordActions(actions=done))
    assert scenario.the(ActionsRecorded).actions == done
