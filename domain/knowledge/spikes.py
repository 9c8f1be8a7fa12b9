"""Spikes: short trials that answer one question before anybody builds on the answer."""

from typing import TYPE_CHECKING, Annotated, ClassVar, assert_never

from msgspec import Meta as Constraint

from domain.errors import UnknownSpike
from domain.messages import Command, Context, Event, Key, TaskId, Text, Title

if TYPE_CHECKING:
    from domain.ledger import Ledger

Minutes = Annotated[float, Constraint(ge=0, le=1_000_000)]


class InitiateSpike(Command, frozen=True, kw_only=True):
    """Begin a trial that answers a question."""

    name: ClassVar[str] = "spike.initiate"

    question: Title
    approach: Text = ""
    task: TaskId | None = None
    session: Key | None = None


class ConcludeSpike(Command, frozen=True, kw_only=True):
    """Say what the trial showed, and whether it is a way to go."""

    name: ClassVar[str] = "spike.conclude"

    spike: Key
    result: Text
    viable: bool
    lessons: Text = ""
    minutes: Minutes | None = None
    session: Key | None = None


class SpikeInitiated(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "spike.initiated"

    spike: str
    question: str
    approach: str = ""
    task: str | None = None
    session: str | None = None

    @property
    def entity(self) -> str:
        return self.spike


class SpikeConcluded(Event, frozen=True, kw_only=True):
    """`question` and `approach` repeat the beginning, so that this event alone says what was learned.

    `session` is that in which it ended.
    """

    name: ClassVar[str] = "spike.concluded"

    spike: str
    question: str
    approach: str
    result: str
    viable: bool
    lessons: str = ""
    minutes: float | None = None
    session: str | None = None

    @property
    def entity(self) -> str:
        return self.spike


Trial = tuple[str, str]
"""The question and the approach of a spike that is open."""

SpikeCommand = InitiateSpike | ConcludeSpike
AnySpikeEvent = SpikeInitiated | SpikeConcluded


def decide(ledger: "Ledger", command: SpikeCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case InitiateSpike():
            initiated = SpikeInitiated(
                spike=context.new_id("s"),
                question=command.question,
                approach=command.approach,
                task=command.task,
                session=ledger.session_of(context.actor, command.session),
            )
            return (initiated,)
        case ConcludeSpike():
            return (_conclude(ledger, command, context),)
        case _:
            assert_never(command)


def _conclude(ledger: "Ledger", command: ConcludeSpike, context: Context) -> SpikeConcluded:
    trial = ledger.knowledge.spikes.get(command.spike)
    if trial is None:
        raise UnknownSpike(spike=command.spike)
    question, approach = trial
    return SpikeConcluded(
        spike=command.spike,
        question=question,
        approach=approach,
        result=command.result,
        viable=command.viable,
        lessons=command.lessons,
        minutes=command.minutes,
        session=ledger.session_of(context.actor, command.session),
    )


def evolve(ledger: "Ledger", event: AnySpikeEvent) -> None:
    match event:
        case SpikeInitiated():
            ledger.knowledge.spikes[event.spike] = (event.question, event.approach)
        case SpikeConcluded():
            ledger.knowledge.spikes.pop(event.spike, None)
        case _:
            assert_never(event)
