"""Actions: the audit trail of what agents did, step by step, told in batches because there are many."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta as Constraint
from msgspec import Struct
from msgspec.structs import replace

from domain.messages import Command, Context, Event, Key, TaskId, Title

if TYPE_CHECKING:
    from domain.ledger import Ledger

MAX_ACTIONS = 1_000

Summary = Annotated[str, Constraint(max_length=2_000)]
Seconds = Annotated[float, Constraint(ge=0, le=10_000_000)]


class Action(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One thing that an agent did, in which phase of its work, from what to what, and how it ended."""

    action: Title
    phase: Key = "work"
    input: Summary = ""
    output: Summary = ""
    seconds: Seconds | None = None
    success: bool = True
    error: Summary = ""
    task: TaskId | None = None
    session: Key | None = None


class RecordActions(Command, frozen=True, kw_only=True):
    """Tell what you did; many at once, as after a piece of work."""

    name: ClassVar[str] = "action.record"

    actions: Annotated[tuple[Action, ...], Constraint(min_length=1, max_length=MAX_ACTIONS)]


class ActionsRecorded(Event, frozen=True, kw_only=True):
    """`batch` names these actions together; each by itself is `batch.<its place, from 0>`."""

    name: ClassVar[str] = "action.recorded"

    batch: str
    actions: tuple[Action, ...]

    @property
    def entity(self) -> str:
        return self.batch


def decide(ledger: "Ledger", command: RecordActions, context: Context) -> tuple[Event, ...]:
    session, done = ledger.session_of(context.actor, None), command.actions
    if session is not None:
        done = tuple(replace(each, session=session) if each.session is None else each for each in done)
    return (ActionsRecorded(batch=context.new_id("x"), actions=done),)
