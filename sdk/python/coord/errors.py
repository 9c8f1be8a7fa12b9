"""What can go wrong, as types: a refusal by its code, and what the client itself has to say.

`code` is for programs, `str()` for people and `facts` for both. Touches nothing.
"""

from collections.abc import Mapping
from typing import Any


class CoordError(Exception):
    """The root of all errors of this client."""

    code: str = "error"
    retryable: bool = False

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts: dict[str, Any] = dict(facts or {})


class Rejected(CoordError):
    """coordctl said no, and would say so again; of a code that this client does not know, `code` tells it."""

    code = "rejected"


class NotFound(Rejected):
    """What was named does not exist in this project."""

    code = "not_found"


class UnknownTask(NotFound):
    code = "unknown_task"


class UnknownAgent(NotFound):
    code = "unknown_agent"


class UnknownPersona(NotFound):
    code = "unknown_persona"


class UnknownHandoff(NotFound):
    code = "unknown_handoff"


class UnknownDependency(NotFound):
    code = "unknown_dependency"


class AgentExists(Rejected):
    code = "agent_exists"


class AgentTerminated(Rejected):
    code = "agent_terminated"


class AgentLimitReached(Rejected):
    code = "agent_limit_reached"


class TaskExists(Rejected):
    code = "task_exists"


class TaskNotClaimable(Rejected):
    code = "task_not_claimable"


class TaskDoesNotFit(Rejected):
    code = "task_does_not_fit"


class StaleFence(Rejected):
    """The task is not held under this fence any more: stop working on it."""

    code = "stale_fence"


class WrongState(Rejected):
    code = "wrong_state"


class DependencyCycle(Rejected):
    code = "dependency_cycle"


class InvalidPlan(Rejected):
    code = "invalid_plan"


class HandoffOpen(Rejected):
    code = "handoff_open"


class HandoffNotYours(Rejected):
    code = "handoff_not_yours"


class HandoffWrongState(Rejected):
    code = "handoff_wrong_state"


class InvalidCommand(Rejected):
    code = "invalid_command"


class BadInput(Rejected):
    """The request is not what the command or the view takes."""

    code = "bad_input"


class PayloadTooLarge(Rejected):
    code = "payload_too_large"


class NotPermitted(Rejected):
    """These credentials do not allow it; or the server does not know them."""

    code = "not_permitted"


class Unavailable(CoordError):
    """It cannot be done now; the same command id makes it safe to ask again."""

    code = "unavailable"
    retryable = True


class Away(Unavailable):
    """There is no connection to the bus."""

    code = "away"


class TimedOut(Unavailable):
    """No answer came; whether it was done, the same command id tells."""

    code = "timed_out"


class NotYetVisible(Unavailable):
    """The read models are not at the position asked for yet."""

    code = "not_yet_visible"


class LeaseLost(CoordError):
    """The task is somebody else's now, or nobody's: what is done for it from here on is in vain."""

    code = "lease_lost"


class NoRetry(Exception):  # raised by the worker's own code, as a word to the queue
    """Raise it in a task's block: the task fails, and trying it again is no use."""


class NotConfigured(CoordError):
    """Something that must be told was told neither as an argument nor in the environment."""

    code = "not_configured"


class OutboxFull(CoordError):
    code = "outbox_full"


class OutboxLocked(CoordError):
    """Another process has this outbox open."""

    code = "outbox_locked"


class OutboxDamaged(CoordError):
    code = "outbox_damaged"


_CLASSES: tuple[type[CoordError], ...] = (
    NotFound, UnknownTask, UnknownAgent, UnknownPersona, UnknownHandoff, UnknownDependency, AgentExists,
    AgentTerminated, AgentLimitReached, TaskExists, TaskNotClaimable, TaskDoesNotFit, StaleFence, WrongState,
    DependencyCycle, InvalidPlan, HandoffOpen, HandoffNotYours, HandoffWrongState, InvalidCommand, BadInput,
    PayloadTooLarge, NotPermitted, Unavailable, TimedOut, NotYetVisible,
)  # fmt: skip
_BY_CODE: dict[str, type[CoordError]] = {each.code: each for each in _CLASSES}
_ENVELOPE: frozenset[str] = frozenset({"code", "message", "retryable"})


def refusal(told: Mapping[str, Any]) -> CoordError:
    """The error that a reply tells of: `{code, message, retryable, …facts}`."""
    code, retryable = str(told.get("code", "error")), bool(told.get("retryable", False))
    kind = _BY_CODE.get(code) or (Unavailable if retryable else Rejected)
    facts = {name: value for name, value in told.items() if name not in _ENVELOPE}
    error = kind(str(told.get("message", code)), facts)
    error.code, error.retryable = code, retryable
    return error
