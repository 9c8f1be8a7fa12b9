"""Sessions: an agent at work from one start to one end, what it attends to, and who sent it.

What an agent does belongs to its session, and so do the tasks that it delegates; of several open ones, to
the one that it names. What came of a session is then found without guessing. The ledger knows the open ones.
An agent's sessions end with the agent.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.errors import SessionOfAnother, UnknownSession
from domain.messages import Command, Context, Event, Key, TaskId, Text

if TYPE_CHECKING:
    from domain.ledger import Ledger

MAX_OPEN_OF_AGENT = 16
MAX_OPEN_SESSIONS = 10_000
"""Of a project. Whoever forgets to end sessions loses the oldest: one more ends it."""

SessionRole = Literal["worker", "planner", "operator"]
Focus = Annotated[str, Constraint(max_length=2_000)]


class StartSession(Command, frozen=True, kw_only=True):
    """Begin to work, maybe on a task, maybe sent by another session."""

    name: ClassVar[str] = "session.start"

    platform: Annotated[str, Constraint(max_length=64)] = ""
    role: SessionRole = "worker"
    focus: Focus = ""
    task: TaskId | None = None
    parent: Key | None = None


class EndSession(Command, frozen=True, kw_only=True):
    """Say that a session of the actor is over."""

    name: ClassVar[str] = "session.end"

    session: Key
    reason: Text = ""


class SessionStarted(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "session.started"

    session: str
    agent: str
    role: SessionRole
    platform: str = ""
    focus: str = ""
    task: str | None = None
    parent: str | None = None

    @property
    def entity(self) -> str:
        return self.session


class SessionEnded(Event, frozen=True, kw_only=True):
    """`agent` is whose session it was."""

    name: ClassVar[str] = "session.ended"

    session: str
    agent: str
    reason: str = ""

    @property
    def entity(self) -> str:
        return self.session


class Session(Struct, frozen=True, gc=False):
    """An open session; `sequence` is that of the event that began it."""

    agent: str
    sequence: int


SessionCommand = StartSession | EndSession
AnySessionEvent = SessionStarted | SessionEnded


def decide(ledger: "Ledger", command: SessionCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case StartSession():
            return _start(ledger, command, context)
        case EndSession():
            known = check_open(ledger, command.session)
            if known.agent != context.actor:
                raise SessionOfAnother(session=command.session, agent=known.agent)
            return (SessionEnded(session=command.session, agent=known.agent, reason=command.reason),)
        case _:
            assert_never(command)


def _start(ledger: "Ledger", command: StartSession, context: Context) -> tuple[Event, ...]:
    if command.parent is not None:
        check_open(ledger, command.parent)
    started = SessionStarted(
        session=context.new_id("n"),
        agent=context.actor,
        role=command.role,
        platform=command.platform,
        focus=command.focus,
        task=command.task,
        parent=command.parent,
    )
    own = ledger.sessions_by_agent.get(context.actor, ())
    excess = own[: len(own) + 1 - MAX_OPEN_OF_AGENT] if len(own) >= MAX_OPEN_OF_AGENT else ()
    if not excess and len(ledger.sessions) >= MAX_OPEN_SESSIONS:
        excess = (next(iter(ledger.sessions)),)
    return (*end_all(ledger, excess, "too many are open"), started)


def check_open(ledger: "Ledger", session: str) -> Session:
    """The session, which is open. Raises UnknownSession."""
    known = ledger.sessions.get(session)
    if known is None:
        raise UnknownSession(session=session)
    return known


def end_all(ledger: "Ledger", sessions: Iterable[str], reason: str) -> tuple[Event, ...]:
    """The ends of open sessions."""
    return tuple(
        SessionEnded(session=name, agent=ledger.sessions[name].agent, reason=reason) for name in sessions
    )


def evolve(ledger: "Ledger", event: AnySessionEvent, sequence: int) -> None:
    match event:
        case SessionStarted():
            ledger.begin_session(event.session, Session(event.agent, sequence))
        case SessionEnded():
            ledger.sessions.pop(event.session, None)
            own = ledger.sessions_by_agent.pop(event.agent, ())
            if left := tuple(each for each in own if each != event.session):
                ledger.sessions_by_agent[event.agent] = left
        case _:
            assert_never(event)
