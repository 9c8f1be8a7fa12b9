"""Writing what was folded while the next is being folded: the counterpart of reading ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class WriteBehind:
    """Runs jobs in a thread of its own, one at a time. A job that may not write returns false."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "write-behind")
        self._under_way: Future[bool] | None = None

    def put(self, job: Callable[[], bool]) -> bool:
        """Start a job once the one before is done. If that one was not allowed to write: false, and no start.

        Raises what the one before has raised.
        """
        if not self.settle():
            return False
        self._under_way = self._thread.submit(job)
        return True

    def settle(self) -> bool:
        """Wait for the job under way, if any: false if it was not allowed to write. Raises what it raised."""
        job, self._under_way = self._under_way, None
        return job is None or job.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
