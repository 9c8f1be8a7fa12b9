"""Reading the log in batches, the next one while this one is being folded and written.

What has been read never changes, so a batch read early is as good as one read late.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from domain.lineage import Segments
from domain.messages import Recorded
from services.log.codec import Codec
from services.log.event_log import LAST_POSITION, EventLog, is_full

_Range = tuple[int, int | None]


class _Batch(NamedTuple):
    events: list[Recorded]
    full: bool


class ReadAhead:
    """Batches in order, of at most `batch_events`, or of as many as one read of the log holds in bytes.

    They are of the whole log, or of these segments of one project.

    What follows is named by a position, and within a project by a sequence. It holds one batch beside the
    one it handed out.
    """

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        batch_events: int,
        project: str | None = None,
        segments: Segments = (),
    ) -> None:
        self.batch_events = batch_events
        self._log = log
        self._codec = codec
        self._project = project
        self._segments = segments
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._ahead: tuple[_Range, Future[_Batch]] | None = None
        self.full = False
        """Whether the batch last read holds all that one may: then more may follow before its end."""

    def read(self, after: int, until: int | None = None) -> list[Recorded]:
        """The events that follow, none of them past the position `until`; empty if there are none yet."""
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead and ahead[0] == (after, until) else self._fetch(after, until)
        self.full = batch.full
        if batch.full:
            self.expect(self._place(batch.events[-1]), until)
        return batch.events

    def expect(self, after: int, until: int | None) -> None:
        """Read what will be asked for next."""
        self._ahead = ((after, until), self._thread.submit(self._fetch, after, until))

    def read_all(self, after: int, until: int | None = None) -> Iterator[list[Recorded]]:
        """All the batches that follow, none of their events past the position `until`."""
        while batch := self.read(after, until):
            yield batch
            after = self._place(batch[-1])

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, after: int, until: int | None) -> _Batch:
        if self._project is None:
            rows = self._log.read(after, self.batch_events, until=until)
        else:
            last = LAST_POSITION if until is None else until
            rows = self._log.read_segments(self._project, self._segments, after, self.batch_events, last)
        return _Batch([self._codec.decode(row) for row in rows], is_full(rows, self.batch_events))

    def _place(self, recorded: Recorded) -> int:
        return recorded.position if self._project is None else recorded.sequence
