"""Decide and evolve for all that is known: each command and event finds its module here.

The ledger keeps what a later command may name: spikes that are open, decisions that hold, patterns.
"""

from typing import TYPE_CHECKING, assert_never

from msgspec import Struct, field

from domain.knowledge import actions, complexity, decisions, documentation, patterns, spikes
from domain.knowledge.actions import ActionsRecorded, RecordActions
from domain.knowledge.complexity import ComplexityMeasured, SnapshotComplexity
from domain.knowledge.decisions import DecisionRecorded, DecisionSuperseded, RecordDecision
from domain.knowledge.documentation import CacheDocumentation, DocumentationCached
from domain.knowledge.patterns import DefinePattern, PatternDefined, PatternUsed, UsePattern
from domain.knowledge.spikes import (
    ConcludeSpike,
    InitiateSpike,
    SpikeConcluded,
    SpikeInitiated,
    Trial,
)
from domain.messages import Context, Event

if TYPE_CHECKING:
    from domain.ledger import Ledger


class Knowledge(Struct):
    """The part of a ledger that this folder owns."""

    spikes: dict[str, Trial] = field(default_factory=dict)
    decisions: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)


KnowledgeCommand = (
    InitiateSpike | ConcludeSpike | RecordDecision | DefinePattern | UsePattern
    | SnapshotComplexity | CacheDocumentation | RecordActions
)  # fmt: skip
AnyKnowledgeEvent = (
    SpikeInitiated | SpikeConcluded | DecisionRecorded | DecisionSuperseded | PatternDefined | PatternUsed
    | ComplexityMeasured | DocumentationCached | ActionsRecorded
)  # fmt: skip


def decide(ledger: "Ledger", command: KnowledgeCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case InitiateSpike() | ConcludeSpike():
            return spikes.decide(ledger, command, context)
        case RecordDecision():
            return decisions.decide(ledger, command, context)
        case DefinePattern() | UsePattern():
            return patterns.decide(ledger, command)
        case SnapshotComplexity():
            return complexity.decide(command)
        case CacheDocumentation():
            return documentation.decide(command, context)
        case RecordActions():
            return actions.decide(ledger, command, context)
        case _:
            assert_never(command)


def evolve(ledger: "Ledger", event: AnyKnowledgeEvent) -> None:
    match event:
        case SpikeInitiated() | SpikeConcluded():
            spikes.evolve(ledger, event)
        case DecisionRecorded() | DecisionSuperseded():
            decisions.evolve(ledger, event)
        case PatternDefined() | PatternUsed():
            patterns.evolve(ledger, event)
        case ComplexityMeasured() | DocumentationCached() | ActionsRecorded():
            pass  # nothing that a decision would ask for
        case _:
            assert_never(event)
