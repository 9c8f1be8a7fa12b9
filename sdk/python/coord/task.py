"""A task that is held: what it is about, what one can say about it, and how its block ends.

Carries the fence by itself. Asks through the session, and touches nothing else.
"""

import asyncio
import logging
import traceback
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from coord.advice import about_of, similar_to
from coord.errors import CoordError, LeaseLost, NoRetry, Rejected, StaleFence
from coord.results import Answer, Brief, Completed, Failed, Offered, PastFailure, Rows

MAX_TRACEBACK_CHARS = 8_000
SETTLE_PATIENCE_S = 60.0

State = Literal["held", "settled", "offered", "lost"]
A = TypeVar("A", bound=Answer)
logger = logging.getLogger("coord")


class Teller(Protocol):
    """What a task needs of its session."""

    async def tell(self, verb: str, fields: dict[str, Any], *, patience_s: float) -> Answer: ...

    async def view(self, name: str, **params: Any) -> Rows: ...

    def let_go(self, task: "Task") -> None: ...

    def keep_offer(self, task: "Task", offer: Offered) -> None: ...


class Task:
    """Use `async with task:` around the work, so that the loop goes on whatever happens inside.

    The block's end completes the task with what `done` was given, or fails it with the exception's traceback.
    """

    def __init__(self, brief: Brief, teller: Teller, fatal: tuple[type[BaseException], ...] = ()) -> None:
        self.brief = brief
        self.id = brief.task
        self.fence = brief.fence
        self.lease_s = brief.lease_s
        self.title = brief.title
        self.description = brief.description
        self.input = brief.input
        self.context = brief.context
        self.failures: list[PastFailure] = []
        """The closest failures of the past, as they were found when the task was claimed."""
        self.result: Any = None
        """What the task is completed with at the end of its block."""
        self.state: State = "held"
        self.entered = False
        self.over = asyncio.Event()
        """Set when the task is held no more, or is offered and waits for its receiver."""
        self._teller = teller
        self._fatal: tuple[type[BaseException], ...] = (NoRetry, *fatal)
        self._runner: asyncio.Task[Any] | None = None
        self._cancelled: asyncio.Task[Any] | None = None
        self._why = ""

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.state} under fence {self.fence}: {self.title!r}>"

    @property
    def lost(self) -> bool:
        """Whether the lease is gone: then everything that is said about the task raises LeaseLost."""
        return self.state == "lost"

    def done(self, result: Any = None) -> None:
        """Set the result; the end of the block completes the task with it."""
        self.result = result

    async def failed_before(self, limit: int = 3) -> list[dict[str, Any]]:
        """What failed in the past that is surely like this task, the closest first, with its lessons."""
        about = about_of(self.title, self.description)
        found = await self._teller.view("recall", **similar_to(about, "failure", limit))
        return [hit["row"] for hit in found.rows]

    async def start(self) -> Answer:
        return await self._say("task.start", {})

    async def progress(self, note: str = "", percent: int | None = None) -> Answer:
        """Say how far the work is (0 to 100); this renews the lease."""
        return await self._say("task.progress", {"note": note, "percent": percent})

    async def complete(self, result: Any = None) -> Completed:
        """Complete the task now."""
        answer = await self._say("task.complete", {"result": result})
        self._end("settled")
        return answer.as_a(Completed)

    async def fail(self, error: str, *, retryable: bool = True) -> Failed:
        """Give this attempt up; it is tried again later if that is of use."""
        answer = await self._say("task.fail", {"error": error, "retryable": retryable})
        self._end("settled")
        return answer.as_a(Failed)

    async def release(self, reason: str = "") -> Answer:
        """Put the task back into the queue, at no cost of an attempt."""
        answer = await self._say("task.release", {"reason": reason})
        self._end("settled")
        return answer

    async def hand_off(
        self,
        *,
        to: str | None = None,
        persona: str | None = None,
        reason: str = "",
        expires_s: float | None = None,
        **context: Any,
    ) -> Offered:
        """Offer the task to an agent, or to any of a persona, with what the receiver needs to go on.

        `context` is goal, done, ruled_out, decisions, artifacts (lists of text), next_step and data. The
        lease is kept alive until somebody accepts; if nobody does, the task returns to the queue.
        """
        fields = {"to_agent": to, "to_persona": persona, "reason": reason, "expires_s": expires_s}
        answer = await self._say("handoff.initiate", {**fields, "context": context})
        offer = answer.as_a(Offered)
        self._teller.keep_offer(self, offer)
        self._end("offered")
        return offer

    async def __aenter__(self) -> Self:
        self.entered = True
        self.run_by(asyncio.current_task())
        if self.lost:
            raise self.loss()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._runner = None
        return await self.settle(error)

    async def settle(self, error: BaseException | None) -> bool:
        """End the block with what came of it; whether the error was dealt with, so that the loop goes on."""
        if self.lost:
            return self._forgive(error)
        if self.state != "held":
            return False
        try:
            if error is None:
                await self._finish()
                return True
            if isinstance(error, Exception):
                logger.warning("task %s failed: %r", self.id, error)
                await self.fail(told(error), retryable=not isinstance(error, self._fatal))
                return True
            await self.release("its agent was stopped")
        except LeaseLost as loss:
            logger.warning("%s", loss)
            return error is None or isinstance(error, Exception)
        return False

    async def _finish(self) -> None:
        try:
            await self.complete(self.result)
        except (Rejected, TypeError) as error:  # such as a result too large, or no JSON
            logger.warning("task %s cannot be completed: %s", self.id, error)
            await self.fail(f"its result was refused: {error}", retryable=False)

    def _forgive(self, error: BaseException | None) -> bool:
        """What a block throws whose lease is lost is told, and no reason to stop the loop; a stop is."""
        logger.warning("%s", self._why, exc_info=error if isinstance(error, Exception) else None)
        if isinstance(error, asyncio.CancelledError):
            return self.was_cancelled()
        return error is None or isinstance(error, Exception)

    def was_cancelled(self) -> bool:
        """Whether it was the lost lease, and nothing else, that cancelled the running block; asked once."""
        cancelled, self._cancelled = self._cancelled, None
        return cancelled is not None and cancelled is asyncio.current_task() and cancelled.uncancel() == 0

    def run_by(self, runner: asyncio.Task[Any] | None) -> None:
        """What to cancel when the lease is lost."""
        self._runner = runner

    def lose(self, why: str) -> None:
        """The fence is dead: stop whoever works on the task."""
        if self.state != "held":
            return
        self._why = f"The lease of task {self.id} is lost: {why}"
        self._end("lost")
        runner, self._runner = self._runner, None
        if runner is not None and not runner.done():
            self._cancelled = runner
            runner.cancel(self._why)

    def loss(self) -> LeaseLost:
        return LeaseLost(self._why or f"The lease of task {self.id} is lost.", {"task": self.id})

    async def _say(self, verb: str, fields: dict[str, Any]) -> Answer:
        if self.lost:
            raise self.loss()
        if self.state != "held":
            raise CoordError(f"Task {self.id} is {self.state}; nothing more can be said about it.")
        given = {name: value for name, value in fields.items() if value is not None}
        body = {"task": self.id, "fence": self.fence, **given}
        try:
            return await self._teller.tell(verb, body, patience_s=SETTLE_PATIENCE_S)
        except StaleFence as error:
            self._runner = None  # it is told by the exception
            self.lose(str(error))
            raise self.loss() from error

    def _end(self, state: State) -> None:
        self.state = state
        self._teller.let_go(self)
        self.over.set()


def told(error: BaseException) -> str:
    """The traceback, of which the end counts most."""
    text = "".join(traceback.format_exception(error))
    return text if len(text) <= MAX_TRACEBACK_CHARS else f"…{text[1 - MAX_TRACEBACK_CHARS :]}"
