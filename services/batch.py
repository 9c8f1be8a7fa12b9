"""One batch of decided commands: the events to commit together and the answers to give after that."""

from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from domain.errors import CoordError
from domain.messages import Event
from domain.results import Result, recalled, result
from services.books import Briefs
from services.codec import Codec
from services.errors import Unavailable
from services.log import EventLog
from services.requests import Request
from services.wire import Reply, encode_error, encode_reply, encode_result

MAX_EVENTS_PER_COMMAND = 5_000


class Outcome(Struct, frozen=True):
    """What became of one request. `first` and `last` are places in the batch's list of events."""

    request: Request
    told: tuple[Event, ...] = ()
    first: int = 0
    last: int = 0
    plain: Result | None = None
    repeats: int | None = None
    refusal: CoordError | None = None


class Batch:
    """Filled by the writer while it decides; committed and answered in a thread of its own."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.outcomes: list[Outcome] = []

    def commit(self, log: EventLog) -> list[int]:
        """The positions of the events, in order. Raises LogConflict or LogUnavailable; then nothing is kept."""
        return log.append(self.stored) if self.stored else []

    def answers(
        self, positions: Sequence[int], head: int, log: EventLog, codec: Codec, briefs: Briefs
    ) -> list[tuple[Request, bytes]]:
        """Every reply of the batch. `head` is the position of the last event committed so far."""
        return [
            (outcome.request, self._answer(outcome, positions, head, log, codec, briefs))
            for outcome in self.outcomes
        ]

    def _answer(
        self,
        outcome: Outcome,
        positions: Sequence[int],
        head: int,
        log: EventLog,
        codec: Codec,
        briefs: Briefs,
    ) -> bytes:
        if outcome.refusal is not None:
            return encode_error(outcome.refusal)
        request = outcome.request
        if outcome.repeats is not None:
            return repeated_answer(request, outcome.repeats, log, codec, briefs)
        told = outcome.plain or result(
            outcome.told, briefs.fetch(request.project, recalled(outcome.told)).__getitem__
        )
        if outcome.first == outcome.last:
            return encode_reply(Reply(ok=True, position=head, result=encode_result(told)))
        sequence = self.stored[outcome.last - 1].originator_version
        return encode_reply(
            Reply(
                ok=True,
                position=positions[outcome.last - 1],
                result=encode_result(told),
                sequence=sequence,
            )
        )


def repeated_answer(request: Request, sequence: int, log: EventLog, codec: Codec, briefs: Briefs) -> bytes:
    """The first answer to a command once more, made from the events that it brought about."""
    events: list[Event] = []
    position = 0
    for row in log.read_project(request.project, sequence - 1, limit_events=MAX_EVENTS_PER_COMMAND):
        recorded = codec.decode(row)
        if recorded.command_id != request.command_id:
            break
        events.append(recorded.event)
        position, sequence = recorded.position, recorded.sequence
    told = result(events, briefs.fetch(request.project, recalled(events)).__getitem__)
    return encode_reply(Reply(ok=True, position=position, result=encode_result(told), sequence=sequence))


def refuse_all(requests: Sequence[Request], why: str) -> None:
    """Tell every caller that nothing was changed and that asking again is right."""
    answer = encode_error(Unavailable(what="The log", why=why))
    for request in requests:
        request.answer(answer)
