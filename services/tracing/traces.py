"""What services have traced: commands and commits of writers, windows of relays, strides of projectors.

All is made around what the services do anyway, so that without traces there is nothing to ask and nothing
to do, but for one question a batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time_ns
from typing import TYPE_CHECKING

import msgspec
from eventsourcing.persistence import StoredEvent
from msgspec import Struct
from msgspec.structs import replace

from domain.agents import Heartbeat
from domain.messages import Recorded
from services.log.codec import Row
from services.tracing.origins import Origin, origin_of, origins_of
from services.tracing.spans import Attributes, Spans, attributes_of
from services.writer.requests import Request, Taker

if TYPE_CHECKING:  # only writers have one
    from services.writer.estates import Estate


class Traces:
    """The traces of one process."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def taker(self, taker: Taker) -> Taker:
        """Takes the same commands, each with a span from its arrival to its answer."""
        return _TracedTaker(taker, self._spans)

    def estate(self, estate: "Estate") -> "Estate":
        """The same estate, with a span `commit` for each append."""
        return _TracedEstate(estate, self._spans)

    @contextmanager
    def publishing(self, rows: Sequence[Row]) -> Iterator[Mapping[int, str]]:
        """Around the publishing of a window, whose span is `publish`; gives traceparents by positions."""
        origins = {row[0]: origin_of(row[1], row[4]) for row in rows}
        spans = self._spans.batch("publish", filter(None, origins.values()))
        headers = spans.headers()
        try:
            yield {
                position: headers[origin.traceparent]
                for position, origin in origins.items()
                if origin is not None and origin.traceparent in headers
            }
        except BaseException as error:
            spans.end({"coordctl.batch.events": len(rows)}, error)
            raise
        spans.end({"coordctl.batch.events": len(rows), "coordctl.position": rows[-1][0]})

    def folding(
        self,
        events: Sequence[Recorded],
        projections: Iterable[str],
        end: int,
        began_ns: int,
        write: Callable[[], bool],
    ) -> Callable[[], bool]:
        """The job that writes what a stride has folded, and ends its span `fold`; unwritten, it has none."""
        spans = self._spans.batch("fold", origins_of(events), began_ns)
        told: Attributes = {
            "coordctl.batch.events": len(events),
            "coordctl.position": end,
            "coordctl.projections": ",".join(sorted(projections)),
        }

        def writing() -> bool:
            try:
                written = write()
            except BaseException as error:
                spans.end(told, error)
                raise
            if written:
                spans.end(told)
            return written

        return writing


class _Error(Struct):
    code: str


class _Answer(Struct):
    """All that is read of the answer to a command."""

    position: int | None = None
    error: _Error | None = None


_answer = msgspec.json.Decoder(_Answer)


class _TracedTaker:
    """Also gives a command's events the traceparent of its span."""

    def __init__(self, taker: Taker, spans: Spans) -> None:
        self._taker = taker
        self._spans = spans

    def submit(self, request: Request) -> None:
        """A heartbeat that nobody traces begins no trace: they are many, and nothing follows from them."""
        if request.traceparent is None and isinstance(request.command, Heartbeat):
            self._taker.submit(request)
            return
        origin = Origin(None, request.project, request.actor, request.command_id, 0.0)
        span = self._spans.command(request.command.name, request.traceparent, attributes_of(origin))
        if span is None:
            self._taker.submit(request)
            return
        answer = request.answer

        def answered(encoded: bytes) -> None:
            answer(encoded)
            told = _answer.decode(encoded)
            span.end(told.error.code if told.error else None, told.position)

        self._taker.submit(replace(request, traceparent=span.traceparent, answer=answered))


class _TracedEstate:
    def __init__(self, estate: "Estate", spans: Spans) -> None:
        self._estate = estate
        self._spans = spans

    @property
    def lost(self) -> bool:
        return self._estate.lost

    def owns(self, project: str) -> bool:
        return self._estate.owns(project)

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        began_ns = time_ns()
        try:
            positions = self._estate.append(events)
        except BaseException as error:
            self._tell(events, began_ns, 0, error)
            raise
        self._tell(events, began_ns, positions[-1] if positions else 0)
        return positions

    def check(self) -> None:
        self._estate.check()

    def _tell(
        self, events: Sequence[StoredEvent], began_ns: int, position: int, error: BaseException | None = None
    ) -> None:
        origins = (origin_of(str(event.originator_id), event.state) for event in events)
        spans = self._spans.batch("commit", filter(None, origins), began_ns)
        spans.end({"coordctl.batch.events": len(events), "coordctl.position": position}, error)
