"""One batch of decided commands: the events to commit together and the answers to give after that."""

from collections import defaultdict
from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from domain.errors import CoordError
from domain.messages import Event
from domain.results import Result, recalled, result
from services.bus.wire import Reply, encode_error, encode_reply, encode_result
from services.errors import Unavailable
from services.log.codec import Codec
from services.log.event_log import EventLog, LogFull, LogUnavailable
from services.writer.books import Briefs, command_events
from services.writer.estates import Estate
from services.writer.requests import Request

LOG = "The log"
MAX_BATCH_REQUESTS = 2_000
MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 8 * 2**20


class Outcome(Struct, frozen=True, gc=False):
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
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should be decided into it. What one command brought about is never divided."""
        return (
            len(self.outcomes) >= MAX_BATCH_REQUESTS
            or len(self.stored) >= MAX_BATCH_EVENTS
            or self._bytes >= MAX_BATCH_BYTES
        )

    def store(self, event: StoredEvent) -> None:
        self.stored.append(event)
        self._bytes += len(event.state)

    def commit(self, estate: Estate) -> list[int]:
        """The positions of the events. Raises LogConflict or LogUnavailable; then nothing is kept.

        Without events too: an answer from memory is good only if nobody else decides by now.
        """
        if self.stored:
            return estate.append(self.stored)
        estate.check()
        return []

    def answers(
        self, positions: Sequence[int], head: int, log: EventLog, codec: Codec, briefs: Briefs
    ) -> list[tuple[Request, bytes]]:
        """Every reply of the batch. `head` is the position of the last event committed so far."""
        recall = self._recall(briefs)
        replies = []
        for outcome in self.outcomes:
            request = outcome.request
            if outcome.refusal is not None:
                answer = encode_error(outcome.refusal)
            elif outcome.repeats is not None:
                answer = repeated_answer(request, outcome.repeats, log, codec, briefs)
            else:
                told = outcome.plain or result(outcome.told, recall[request.project].__getitem__)
                answer = self._reply(outcome, told, positions, head)
            replies.append((request, answer))
        return replies

    def _recall(self, briefs: Briefs) -> dict[str, dict[int, Event]]:
        """The earlier events that the answers tell of, by project and sequence; one query a project."""
        wanted: defaultdict[str, set[int]] = defaultdict(set)
        for outcome in self.outcomes:
            wanted[outcome.request.project].update(recalled(outcome.told))
        return {project: briefs.fetch(project, sequences) for project, sequences in wanted.items()}

    def _reply(self, outcome: Outcome, told: Result, positions: Sequence[int], head: int) -> bytes:
        if outcome.first == outcome.last:
            return encode_reply(Reply(ok=True, position=head, result=encode_result(told)))
        return encode_reply(
            Reply(
                ok=True,
                position=positions[outcome.last - 1],
                result=encode_result(told),
                sequence=self.stored[outcome.last - 1].originator_version,
            )
        )


def repeated_answer(request: Request, sequence: int, log: EventLog, codec: Codec, briefs: Briefs) -> bytes:
    """The first answer to a command once more, made from the events that it brought about."""
    recorded = [*command_events(log, codec, request.project, sequence)]
    events = [each.event for each in recorded]
    told = encode_result(result(events, briefs.fetch(request.project, recalled(events)).__getitem__))
    last = recorded[-1]
    return encode_reply(Reply(ok=True, position=last.position, result=told, sequence=last.sequence))


def refuse_all(requests: Sequence[Request], why: str | CoordError, what: str = LOG) -> None:
    """Tell every caller to ask again under the same command id: that tells what became of it."""
    answer = encode_error(_refusal(why, what))
    for request in requests:
        request.answer(answer)


def _refusal(why: str | CoordError, what: str) -> CoordError:
    """A log that is full is called so; whatever else is wrong with it, it is unavailable."""
    if isinstance(why, LogFull):
        return why
    if isinstance(why, LogUnavailable):
        return Unavailable(what=what, why=why.facts["why"])
    return Unavailable(what=what, why=str(why))
