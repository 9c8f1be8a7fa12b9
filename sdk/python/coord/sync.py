"""The client without async: the session's loop runs in a thread of its own, and each call waits for it.

A lost lease cannot stop code that runs in another thread: it shows as `task.lost`, and as LeaseLost from the
next call.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from coord.client import CLOSE_TIMEOUT_S, Client
from coord.connecting import connect as connect_async
from coord.results import (
    Answer,
    Completed,
    Conflict,
    Enqueued,
    Event,
    Failed,
    Initiated,
    Offered,
    Planned,
    Rows,
)
from coord.task import Task as AsyncTask
from coord.work import CLAIM_WAIT_S

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="coord", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns; it is cancelled if this wait is interrupted."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Task:
    """A task that is held; use `with task:` around the work."""

    def __init__(self, inner: AsyncTask, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop
        self.id = inner.id
        self.fence = inner.fence
        self.title = inner.title
        self.description = inner.description
        self.input = inner.input
        self.context = inner.context
        self.brief = inner.brief
        self.failures = inner.failures

    @property
    def lost(self) -> bool:
        return self._inner.lost

    def done(self, result: Any = None) -> None:
        """Set the result; the end of the block completes the task with it."""
        self._inner.done(result)

    def failed_before(self, limit: int = 3) -> list[dict[str, Any]]:
        return self._loop.run(self._inner.failed_before(limit))

    def progress(self, note: str = "", percent: int | None = None) -> Answer:
        return self._loop.run(self._inner.progress(note, percent))

    def complete(self, result: Any = None) -> Completed:
        return self._loop.run(self._inner.complete(result))

    def fail(self, error: str, *, retryable: bool = True) -> Failed:
        return self._loop.run(self._inner.fail(error, retryable=retryable))

    def release(self, reason: str = "") -> Answer:
        return self._loop.run(self._inner.release(reason))

    def hand_off(self, **fields: Any) -> Offered:
        """As the async task's."""
        return self._loop.run(self._inner.hand_off(**fields))

    def __enter__(self) -> Self:
        self._inner.entered = True
        if self._inner.lost:
            raise self._inner.loss()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._loop.run(self._inner.settle(error))


class Session:
    """A `Client` whose calls wait; see there what each does."""

    def __init__(self, client: Client, loop: Loop) -> None:
        self._client = client
        self._loop = loop
        self.agent = client.agent
        self.project = client.project

    def command(self, verb: str, **fields: Any) -> Answer:
        return self._loop.run(self._client.command(verb, **fields))

    def enqueue(self, title: str, **fields: Any) -> Enqueued:
        return self._loop.run(self._client.enqueue(title, **fields))

    def spike(self, question: str, approach: str = "", **fields: Any) -> Initiated:
        return self._loop.run(self._client.spike(question, approach, **fields))

    def landing(self, **params: Any) -> dict[str, Any]:
        return self._loop.run(self._client.landing(**params))

    def plan(self, tasks: Iterable[Mapping[str, Any]]) -> Planned:
        return self._loop.run(self._client.plan(tasks))

    def view(self, name: str, **params: Any) -> Rows:
        return self._loop.run(self._client.view(name, **params))

    def events(self, after: int = 0) -> Iterator[Event]:
        events = self._client.events(after)
        try:
            while True:
                yield self._loop.run(anext_of(events.__anext__))
        except StopAsyncIteration:
            return
        finally:
            if not self._loop.closed:
                self._loop.run(events.aclose())

    def work(
        self,
        persona: str | None = None,
        *,
        idle_s: float | None = None,
        wait_s: float = CLAIM_WAIT_S,
        fatal: tuple[type[BaseException], ...] = (),
    ) -> Iterator[Task]:
        work = self._client.work(persona, idle_s=idle_s, wait_s=wait_s, fatal=fatal, cancels=False)
        try:
            while True:
                yield Task(self._loop.run(anext_of(work.__anext__)), self._loop)
        except StopAsyncIteration:
            return

    def stop(self) -> None:
        self._client.stop()

    @property
    def waiting(self) -> int:
        """How many commands wait in the outbox."""
        return self._client.waiting

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        self._loop.run(self._client.flush(timeout_s))

    def conflicts(self) -> list[Conflict]:
        return self._loop.run(_called(self._client.conflicts))

    def acknowledge(self, conflict: Conflict) -> None:
        self._loop.run(_called(lambda: self._client.acknowledge(conflict)))


@contextmanager
def connect(url: str | None = None, **options: Any) -> Iterator[Session]:
    """As `coord.connect`, in a `with`."""
    loop = Loop()
    try:
        client = connect_async(url, **options)
        loop.run(client.__aenter__())
        error: BaseException | None = None
        try:
            yield Session(client, loop)
        except BaseException as raised:
            error = raised
            raise
        finally:
            loop.run(client.__aexit__(type(error) if error else None, error, None))
    finally:
        loop.close()


async def anext_of(step: Callable[[], Awaitable[T]]) -> T:
    return await step()


async def _called(function: Callable[[], T]) -> T:
    return function()
