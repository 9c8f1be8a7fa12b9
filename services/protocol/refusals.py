"""Every refusal that an answer on NATS may be: code, sentence, facts, and whether to ask again. Pure."""

from collections.abc import Iterator, Mapping
from string import Formatter

from msgspec import Struct

from domain.errors import CoordError, Rejection
from services import errors
from services.doors.commands import ForeignReplySubject
from services.doors.questions import TooManyQuestions
from services.log.chain import BrokenHistory
from services.log.codec import UnknownEvent, UnreadableEvent
from services.log.database import LogConflict, LogFull, LogMissing, LogUnavailable
from services.reading.points import BadPoint, PointNotReached
from services.reading.reads import NotYetVisible

_ANSWERED: tuple[type[CoordError], ...] = (
    errors.BadInput,
    errors.UnknownVerb,
    errors.UnknownView,
    errors.BadName,
    errors.PayloadTooLarge,
    errors.AnswerTooLarge,
    errors.Busy,
    errors.Unavailable,
    errors.InternalError,
    ForeignReplySubject,
    TooManyQuestions,
    NotYetVisible,
    BadPoint,
    PointNotReached,
    LogConflict,
    LogUnavailable,
    LogFull,
    LogMissing,
    UnknownEvent,
    UnreadableEvent,
    BrokenHistory,
)
"""Beside the domain's rejections, those that a service answers with. `timed_out` is a caller's own."""


class Refusal(Struct, frozen=True, kw_only=True):
    """`facts` names what stands beside code, message and retryable in the answer; there may be more."""

    code: str
    says: str
    retryable: bool
    facts: tuple[str, ...]


def refusals() -> Mapping[str, Refusal]:
    """All of them by code; of several kinds with one code, the facts that all have."""
    found: dict[str, Refusal] = {}
    for kind in sorted({*_ANSWERED, *_below(Rejection)}, key=lambda kind: (kind.code, kind.__name__)):
        facts = _facts(kind)
        if kind.code in found:
            facts = tuple(fact for fact in found[kind.code].facts if fact in facts)
        found[kind.code] = Refusal(code=kind.code, says=kind.says, retryable=kind.retryable, facts=facts)
    return found


def _below(kind: type[CoordError]) -> Iterator[type[CoordError]]:
    """The refusals of the domain, from this one down; those of other modules never travel."""
    if kind.__module__ == Rejection.__module__:
        yield kind
        for each in kind.__subclasses__():
            yield from _below(each)


def _facts(kind: type[CoordError]) -> tuple[str, ...]:
    """The names that the sentence has places for."""
    return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(kind.says) if name))
