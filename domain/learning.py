"""What was learned: failures with their lessons, estimates against actuals, and retrospectives."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.correction import Basis, Closed, correction, ratio_of
from domain.errors import UnknownEstimate
from domain.messages import Command, Context, Event, Key, Name, TaskId, Text, Title

if TYPE_CHECKING:
    from domain.ledger import Ledger

Sessions = Annotated[float, Constraint(gt=0, le=10_000)]
Complexity = Annotated[int, Constraint(ge=1, le=10)]
Percent = Annotated[int, Constraint(ge=0, le=100)]
FileCount = Annotated[int, Constraint(ge=0, le=1_000_000)]


class RecordFailure(Command, frozen=True, kw_only=True):
    """Record what was tried, why it failed, and what to do instead."""

    name: ClassVar[str] = "failure.record"

    feature: Title
    approach: Text
    why: Text
    lesson: Text = ""
    task: TaskId | None = None
    session: Key | None = None


class RecordEstimate(Command, frozen=True, kw_only=True):
    """Estimate a piece of work, in sessions, before it starts."""

    name: ClassVar[str] = "estimate.record"

    feature: Title
    sessions: Sessions
    complexity: Complexity
    persona: Name | None = None


class CloseEstimate(Command, frozen=True, kw_only=True):
    """Say what the estimated work took in truth."""

    name: ClassVar[str] = "estimate.close"

    estimate: Key
    sessions: Sessions
    files_created: FileCount = 0
    files_modified: FileCount = 0
    notes: Text = ""


class RecordRetrospective(Command, frozen=True, kw_only=True):
    """Look back on a finished piece of work."""

    name: ClassVar[str] = "retro.record"

    feature: Title
    surprises: Text = ""
    would_change: Text = ""
    new_patterns: Text = ""
    spike_accuracy: Percent | None = None


class FailureRecorded(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "failure.recorded"

    failure: str
    feature: str
    approach: str
    why: str
    lesson: str = ""
    task: str | None = None
    session: str | None = None

    @property
    def entity(self) -> str:
        return self.failure


class EstimateRecorded(Event, frozen=True, kw_only=True):
    """`corrected` are the sessions by what earlier ones of this `basis` took; None if there were none."""

    name: ClassVar[str] = "estimate.recorded"

    estimate: str
    feature: str
    sessions: float
    complexity: int
    persona: str | None = None
    corrected: float | None = None
    factor: float | None = None
    basis: Basis | None = None

    @property
    def entity(self) -> str:
        return self.estimate


class EstimateClosed(Event, frozen=True, kw_only=True):
    """`estimated` repeats the estimate, so that whoever reads this event alone can tell the error made."""

    name: ClassVar[str] = "estimate.closed"

    estimate: str
    estimated: float
    sessions: float
    files_created: int = 0
    files_modified: int = 0
    notes: str = ""

    @property
    def entity(self) -> str:
        return self.estimate


class RetrospectiveRecorded(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "retro.recorded"

    retro: str
    feature: str
    surprises: str = ""
    would_change: str = ""
    new_patterns: str = ""
    spike_accuracy: int | None = None

    @property
    def entity(self) -> str:
        return self.retro


class OpenEstimate(Struct, frozen=True):
    sessions: float
    complexity: int
    persona: str | None


LearningCommand = RecordFailure | RecordEstimate | CloseEstimate | RecordRetrospective
LearningEvent = FailureRecorded | EstimateRecorded | EstimateClosed | RetrospectiveRecorded


def decide(ledger: "Ledger", command: LearningCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case RecordFailure():
            return (
                FailureRecorded(
                    failure=context.new_id("f"),
                    feature=command.feature,
                    approach=command.approach,
                    why=command.why,
                    lesson=command.lesson,
                    task=command.task,
                    session=ledger.session_of(context.actor, command.session),
                ),
            )
        case RecordEstimate():
            return (_estimate(ledger, command, context),)
        case CloseEstimate():
            return _close(ledger, command)
        case RecordRetrospective():
            return (
                RetrospectiveRecorded(
                    retro=context.new_id("r"),
                    feature=command.feature,
                    surprises=command.surprises,
                    would_change=command.would_change,
                    new_patterns=command.new_patterns,
                    spike_accuracy=command.spike_accuracy,
                ),
            )
        case _:
            assert_never(command)


def _estimate(ledger: "Ledger", command: RecordEstimate, context: Context) -> EstimateRecorded:
    found = correction(ledger.closed_estimates, command.persona, command.complexity, context.at)
    return EstimateRecorded(
        estimate=context.new_id("e"),
        feature=command.feature,
        sessions=command.sessions,
        complexity=command.complexity,
        persona=command.persona,
        corrected=command.sessions * found.factor if found else None,
        factor=found.factor if found else None,
        basis=found.basis if found else None,
    )


def _close(ledger: "Ledger", command: CloseEstimate) -> tuple[Event, ...]:
    open_estimate = ledger.estimates.get(command.estimate)
    if open_estimate is None:
        raise UnknownEstimate(estimate=command.estimate)
    return (
        EstimateClosed(
            estimate=command.estimate,
            estimated=open_estimate.sessions,
            sessions=command.sessions,
            files_created=command.files_created,
            files_modified=command.files_modified,
            notes=command.notes,
        ),
    )


def evolve(ledger: "Ledger", event: LearningEvent, at: datetime) -> None:
    match event:
        case EstimateRecorded():
            opened = OpenEstimate(event.sessions, event.complexity, event.persona)
            ledger.estimates[event.estimate] = opened
        case EstimateClosed():
            known = ledger.estimates.pop(event.estimate, None)
            ratio = ratio_of(event.sessions, event.estimated)
            if known is not None and ratio is not None:
                ledger.closed_estimates.append(Closed(ratio, known.persona, known.complexity, at))
        case FailureRecorded() | RetrospectiveRecorded():
            pass  # nothing that a decision would ask for
        case _:
            assert_never(event)
