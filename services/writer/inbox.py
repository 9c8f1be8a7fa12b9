"""The writer's inbox: requests that wait to be decided, in the order they came. Touches nothing else."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import get_args

from domain.errors import CoordError
from domain.project import ProjectCommand
from services.bus.wire import encode_error
from services.errors import RETRY_AFTER_S, Busy
from services.metrics import WriterMetrics
from services.writer.batch import LOG, refuse_all
from services.writer.requests import Request

MAX_INBOX_REQUESTS = 20_000
WRITER = "The writer"
ENDED = "it ends, and another takes over"

_TURNS = get_args(ProjectCommand)


class Inbox:
    """Bounded; what does not fit is told to come again."""

    def __init__(self, metrics: WriterMetrics) -> None:
        self._metrics = metrics
        self._requests: deque[Request] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._away: CoordError | None = None

    def __len__(self) -> int:
        return len(self._requests)

    def put(self, request: Request) -> None:
        """Take a request, or answer it at once if there is no room, or nobody to decide it now."""
        if self._closed:
            refuse_all([request], ENDED, WRITER)
        elif self._away is not None:
            self._metrics.refused(request.command.name, self._away.code)
            refuse_all([request], self._away)
        elif len(self._requests) >= MAX_INBOX_REQUESTS:
            self._metrics.refused(request.command.name, Busy.code)
            busy = Busy(waiting=len(self._requests), retry_after_s=RETRY_AFTER_S)
            request.answer(encode_error(busy))
        else:
            self._requests.append(request)
            self._arrived.set()

    def pop(self) -> Request:
        return self._requests.popleft()

    @property
    def turn_is_next(self) -> bool:
        """Whether the next request is a fork or a restore, which is decided alone."""
        return bool(self._requests) and isinstance(self._requests[0].command, _TURNS)

    async def arrival(self, timeout_s: float) -> None:
        """Return when there is something, when woken, or after the timeout."""
        if not self._requests:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), timeout_s)

    def wake(self) -> None:
        """Let whoever waits for an arrival look around."""
        self._arrived.set()

    async def wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake()

    def shut(self, why: CoordError) -> None:
        """The log is away: refuse what is in it, and what comes until it is reopened."""
        self._away = why
        self._refuse(why, LOG)

    def reopen(self) -> None:
        self._away = None

    def close(self) -> None:
        """Refuse what is in it, and what may still come."""
        self._closed = True
        self._refuse(ENDED, WRITER)

    def _refuse(self, why: str | CoordError, what: str) -> None:
        """Tell everyone who waits to ask again."""
        refuse_all([self._requests.popleft() for _ in range(len(self._requests))], why, what)
