"""Handoffs: a task changes hands with its context, and nothing is dropped on the way.

The sender keeps the task and its lease until somebody accepts; the acceptance moves both at once under a new
fence, and from then on the sender's fence is dead.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.errors import (
    HandoffNotYours,
    HandoffOpen,
    HandoffState,
    InvalidCommand,
    UnknownHandoff,
    UnknownPersona,
)
from domain.messages import Command, Context, Data, Event, Key, Name, TaskId, Text
from domain.tasks import evolve as task_evolve
from domain.tasks import work
from domain.tasks.commands import Fence

if TYPE_CHECKING:
    from domain.ledger import Ledger

Notes = Annotated[tuple[Text, ...], Constraint(max_length=200)]


class Baggage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the receiver needs to go on: the part that is lost when a handoff is only a message."""

    goal: Text = ""
    done: Notes = ()
    ruled_out: Notes = ()
    decisions: Notes = ()
    artifacts: Notes = ()
    next_step: Text = ""
    data: Data = None


class InitiateHandoff(Command, frozen=True, kw_only=True):
    """Offer a held task to an agent or to any agent of a persona."""

    name: ClassVar[str] = "handoff.initiate"

    task: TaskId
    fence: Fence
    to_agent: Name | None = None
    to_persona: Name | None = None
    reason: Text = ""
    context: Baggage = Baggage()
    expires_s: Annotated[float, Constraint(ge=1, le=30 * 86_400)] | None = None


class AcceptHandoff(Command, frozen=True, kw_only=True):
    """Take the task over, with its lease and a new fence."""

    name: ClassVar[str] = "handoff.accept"

    handoff: Key


class RejectHandoff(Command, frozen=True, kw_only=True):
    """Decline; the sender still holds the task."""

    name: ClassVar[str] = "handoff.reject"

    handoff: Key
    reason: Text = ""


class CompleteHandoff(Command, frozen=True, kw_only=True):
    """The receiver says that nothing more is needed from the sender."""

    name: ClassVar[str] = "handoff.complete"

    handoff: Key
    note: Text = ""


class ExpireHandoff(Command, frozen=True, kw_only=True):
    """Nobody answered in time (asked by the ticker alone)."""

    name: ClassVar[str] = "handoff.expire"

    handoff: Key


class HandoffEvent(Event, frozen=True, kw_only=True):
    """`from_agent` and `task` stand in each, so that whoever reads one alone knows whose it is."""

    handoff: str
    task: str
    from_agent: str

    @property
    def entity(self) -> str:
        return self.handoff


class HandoffInitiated(HandoffEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "handoff.initiated"

    to_agent: str | None = None
    to_persona: str | None = None
    reason: str = ""
    context: Baggage = Baggage()
    expires_at: datetime


class HandoffAccepted(HandoffEvent, frozen=True, kw_only=True):
    """`brief` and `offer` are the sequences of the events that tell of the task and of the offer."""

    name: ClassVar[str] = "handoff.accepted"

    to_agent: str
    fence: int
    brief: int
    offer: int
    lease_s: float
    lease_until: datetime


class HandoffRejected(HandoffEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "handoff.rejected"

    by: str
    reason: str = ""


class HandoffCompleted(HandoffEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "handoff.completed"

    to_agent: str
    note: str = ""


class HandoffExpired(HandoffEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "handoff.expired"

    reason: str


class Handoff(Struct, frozen=True):
    """A handoff that is not over."""

    id: str
    task: str
    from_agent: str
    to_agent: str | None
    to_persona: str | None
    sequence: int
    status: Literal["initiated", "accepted"] = "initiated"


HandoffCommand = InitiateHandoff | AcceptHandoff | RejectHandoff | CompleteHandoff | ExpireHandoff
AnyHandoffEvent = HandoffInitiated | HandoffAccepted | HandoffRejected | HandoffCompleted | HandoffExpired


def decide(ledger: "Ledger", command: HandoffCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case InitiateHandoff():
            return _initiate(ledger, command, context)
        case AcceptHandoff():
            return _accept(ledger, command, context)
        case RejectHandoff():
            handoff = _offered(ledger, command.handoff, context.actor, "reject")
            return (HandoffRejected(**_of(handoff), by=context.actor, reason=command.reason),)
        case CompleteHandoff():
            return _complete(ledger, command, context)
        case ExpireHandoff():
            expired = ledger.handoffs.get(command.handoff)
            if expired is None or expired.status != "initiated":
                return ()
            return (HandoffExpired(**_of(expired), reason="nobody answered in time"),)
        case _:
            assert_never(command)


def _initiate(ledger: "Ledger", command: InitiateHandoff, context: Context) -> tuple[Event, ...]:
    task = work.held_by(ledger, context.actor, command.task, command.fence)
    if (command.to_agent is None) == (command.to_persona is None):
        raise InvalidCommand(why="A handoff goes to an agent or to a persona: name exactly one of them.")
    if command.to_agent == context.actor:
        raise InvalidCommand(why="A handoff goes to somebody else than its sender.")
    if command.to_agent is not None:
        ledger.active_agent(command.to_agent)
    if command.to_persona is not None and not ledger.knows_persona(command.to_persona):
        raise UnknownPersona(persona=command.to_persona)
    events: tuple[Event, ...] = ()
    if task.handoff is not None:
        if ledger.handoffs[task.handoff].status == "initiated":
            raise HandoffOpen(task=task.id, handoff=task.handoff)
        events = ledger.close_handoff(task, "handed on", completed=True)
    expires_s = command.expires_s or ledger.setting("handoff_expiry_s")
    initiated = HandoffInitiated(
        handoff=context.new_id("h"),
        task=task.id,
        from_agent=context.actor,
        to_agent=command.to_agent,
        to_persona=command.to_persona,
        reason=command.reason,
        context=command.context,
        expires_at=context.at + timedelta(seconds=expires_s),
    )
    return (*events, initiated)


def _accept(ledger: "Ledger", command: AcceptHandoff, context: Context) -> tuple[Event, ...]:
    handoff = ledger.handoffs.get(command.handoff)
    if handoff is not None and handoff.status == "accepted" and handoff.to_agent == context.actor:
        return ()
    handoff = _offered(ledger, command.handoff, context.actor, "accept")
    task = ledger.tasks.live[handoff.task]
    lease_s = ledger.lease_s(task)
    return (
        HandoffAccepted(
            **_of(handoff),
            to_agent=context.actor,
            fence=ledger.next_fence(task),
            brief=task.sequence,
            offer=handoff.sequence,
            lease_s=lease_s,
            lease_until=context.at + timedelta(seconds=lease_s),
        ),
    )


def _complete(ledger: "Ledger", command: CompleteHandoff, context: Context) -> tuple[Event, ...]:
    handoff = _known(ledger, command.handoff)
    ledger.active_agent(context.actor)
    if handoff.status != "accepted":
        raise HandoffState(handoff=handoff.id, status=handoff.status, allowed="accepted")
    if handoff.to_agent != context.actor:
        raise HandoffNotYours(handoff=handoff.id, to=handoff.to_agent, agent=context.actor, verb="complete")
    return (HandoffCompleted(**_of(handoff), to_agent=context.actor, note=command.note),)


def _offered(ledger: "Ledger", name: str, actor: str, verb: str) -> Handoff:
    """The handoff, if it waits for an answer and this agent may give it."""
    handoff = _known(ledger, name)
    agent = ledger.active_agent(actor)
    if handoff.status != "initiated":
        raise HandoffState(handoff=name, status=handoff.status, allowed="initiated")
    meant = handoff.to_agent == actor or handoff.to_persona == agent.persona
    if not meant or handoff.from_agent == actor:
        to = handoff.to_agent or f"persona {handoff.to_persona}"
        raise HandoffNotYours(handoff=name, to=to, agent=actor, verb=verb)
    return handoff


def _known(ledger: "Ledger", name: str) -> Handoff:
    handoff = ledger.handoffs.get(name)
    if handoff is None:
        raise UnknownHandoff(handoff=name)
    return handoff


def close(handoff: Handoff, why: str, *, completed: bool = False) -> Event:
    """The end of a handoff whose task moved on: completed if it had been accepted and the work is done."""
    if completed and handoff.status == "accepted" and handoff.to_agent is not None:
        return HandoffCompleted(**_of(handoff), to_agent=handoff.to_agent, note=why)
    return HandoffExpired(**_of(handoff), reason=why)


def _of(handoff: Handoff) -> dict[str, str]:
    return {"handoff": handoff.id, "task": handoff.task, "from_agent": handoff.from_agent}


def evolve(ledger: "Ledger", event: AnyHandoffEvent, sequence: int, at: datetime) -> None:
    match event:
        case HandoffInitiated():
            ledger.handoffs[event.handoff] = Handoff(
                event.handoff, event.task, event.from_agent, event.to_agent, event.to_persona, sequence
            )
            ledger.tasks.live[event.task].handoff = event.handoff
            ledger.timers.set("handoff", event.handoff, event.expires_at)
        case HandoffAccepted():
            ledger.handoffs[event.handoff] = Handoff(
                event.handoff, event.task, event.from_agent, event.to_agent, None, event.offer, "accepted"
            )
            ledger.timers.clear("handoff", event.handoff)
            task_evolve.hold(ledger, event.task, event.to_agent, event.fence, event.lease_until, at)
        case HandoffRejected() | HandoffCompleted() | HandoffExpired():
            ledger.handoffs.pop(event.handoff, None)
            ledger.timers.clear("handoff", event.handoff)
            task = ledger.tasks.live.get(event.task)
            if task is not None and task.handoff == event.handoff:
                task.handoff = None
        case _:
            assert_never(event)
