"""Reading the log in batches, the next one while this one is being folded and written.

What has been read never changes, so a batch read early is as good as one read late.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from domain.messages import Recorded
from services.codec import Codec
from services.log import EventLog

_Range = tuple[int, int | None]


class ReadAhead:
    """Batches of at most `batch_events` in the order of the log, of all projects or of one.

    It holds one batch beside the one it handed out.
    """

    def __init__(self, log: EventLog, codec: Codec, batch_events: int, project: str | None = None) -> None:
        self.batch_events = batch_events
        self._log = log
        self._codec = codec
        self._project = project
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._ahead: tuple[_Range, Future[list[Recorded]]] | None = None

    def read(self, after: int, until: int | None = None) -> list[Recorded]:
        """The events that follow this position, none of them past `until`; empty if there are none yet."""
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead and ahead[0] == (after, until) else self._fetch(after, until)
        if len(batch) == self.batch_events:
            following = (batch[-1].position, until)
            self._ahead = (following, self._thread.submit(self._fetch, *following))
        return batch

    def read_all(self, after: int, until: int) -> Iterator[list[Recorded]]:
        """All the batches between two positions."""
        while batch := self.read(after, until):
            yield batch
            after = batch[-1].position

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, after: int, until: int | None) -> list[Recorded]:
        rows = self._log.read(after, self.batch_events, until=until, project=self._project)
        return [self._codec.decode(row) for row in rows]
