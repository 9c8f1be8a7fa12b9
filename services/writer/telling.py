"""What a writer says in its process's log: of what time brought about, of faults, and if asked of refusals.

Commands that are carried out are in the log of events; of them nothing is said here.
"""

import logging
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.agents import AgentWentStale
from domain.handoffs import HandoffExpired
from domain.messages import Command, Context, Event
from domain.tasks.events import TaskDied, TaskLeaseExpired
from services.errors import InternalError
from services.logs import about
from services.writer.requests import Request, Taker

logger = logging.getLogger(__name__)


def tell_due(context: Context, events: Sequence[Event]) -> None:
    """Say which leases ran out, and what came of it."""
    for event in events:
        match event:
            case TaskLeaseExpired():
                fields = about(context, task=event.task, agent=event.agent)
                logger.warning("the lease of %s on task %s expired", event.agent, event.task, extra=fields)
            case TaskDied():
                fields = about(context, task=event.task)
                logger.warning("task %s died: %s", event.task, event.reason, extra=fields)
            case AgentWentStale():
                fields = about(context, agent=event.agent)
                logger.warning(
                    "agent %s is stale: silent for %.0f s", event.agent, event.silent_s, extra=fields
                )
            case HandoffExpired():
                fields = about(context, handoff=event.handoff, task=event.task)
                logger.warning("handoff %s expired: %s", event.handoff, event.reason, extra=fields)
            case _:
                pass


def fault(command: Command, context: Context, error: Exception) -> InternalError:
    """Say with what a decision failed; what its caller is told."""
    fields = about(context, command=command.name, code=InternalError.code)
    logger.error("deciding %s failed", command.name, exc_info=error, extra=fields)
    return InternalError(verb=command.name, kind=type(error).__name__)


def heard(taker: Taker) -> Taker:
    """Takes the same commands; if this process logs so much, each refusal is a line of its log."""
    return _Heard(taker) if logger.isEnabledFor(logging.DEBUG) else taker


class _Error(Struct):
    code: str
    message: str


class _Answer(Struct):
    """All that is read of an answer."""

    error: _Error | None = None


_answer = msgspec.json.Decoder(_Answer)


class _Heard:
    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def submit(self, request: Request) -> None:
        answer = request.answer

        def answered(encoded: bytes) -> None:
            answer(encoded)
            if (error := _answer.decode(encoded).error) is not None:
                fields = about(request, command=request.command.name, code=error.code)
                logger.debug("%s is refused: %s", request.command.name, error.message, extra=fields)

        self._taker.submit(replace(request, answer=answered))
