"""Decisions: what was chosen, why, what else there was, and which decision took its place."""

from typing import TYPE_CHECKING, Annotated, ClassVar, assert_never

from msgspec import Meta as Constraint

from domain.errors import UnknownDecision
from domain.messages import Command, Context, Event, Key, TaskId, Text, Title

if TYPE_CHECKING:
    from domain.ledger import Ledger

Alternatives = Annotated[tuple[Text, ...], Constraint(max_length=32)]


class RecordDecision(Command, frozen=True, kw_only=True):
    """Record a choice that others have to know; it may take the place of an earlier one."""

    name: ClassVar[str] = "decision.record"

    title: Title
    choice: Annotated[Text, Constraint(min_length=1)]
    context: Text = ""
    alternatives: Alternatives = ()
    consequences: Text = ""
    supersedes: Key | None = None
    task: TaskId | None = None
    session: Key | None = None


class DecisionRecorded(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "decision.recorded"

    decision: str
    title: str
    choice: str
    context: str = ""
    alternatives: tuple[str, ...] = ()
    consequences: str = ""
    supersedes: str | None = None
    task: str | None = None
    session: str | None = None

    @property
    def entity(self) -> str:
        return self.decision


class DecisionSuperseded(Event, frozen=True, kw_only=True):
    """`by` is the decision that holds from now on."""

    name: ClassVar[str] = "decision.superseded"

    decision: str
    by: str

    @property
    def entity(self) -> str:
        return self.decision


DecisionCommand = RecordDecision
AnyDecisionEvent = DecisionRecorded | DecisionSuperseded


def decide(ledger: "Ledger", command: DecisionCommand, context: Context) -> tuple[Event, ...]:
    old = command.supersedes
    if old is not None and old not in ledger.knowledge.decisions:
        raise UnknownDecision(decision=old)
    recorded = DecisionRecorded(
        decision=context.new_id("d"),
        title=command.title,
        choice=command.choice,
        context=command.context,
        alternatives=command.alternatives,
        consequences=command.consequences,
        supersedes=old,
        task=command.task,
        session=ledger.session_of(context.actor, command.session),
    )
    if old is None:
        return (recorded,)
    return (recorded, DecisionSuperseded(decision=old, by=recorded.decision))


def evolve(ledger: "Ledger", event: AnyDecisionEvent) -> None:
    match event:
        case DecisionRecorded():
            ledger.knowledge.decisions.add(event.decision)
        case DecisionSuperseded():
            ledger.knowledge.decisions.discard(event.decision)
        case _:
            assert_never(event)
