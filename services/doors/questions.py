"""What the NATS doors for questions have in common: how they receive, bound, answer, count and end.

Answers go only to inboxes, like those of the door for commands: whoever may ask cannot have an answer
published where it would pass for something else.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from domain.errors import CoordError
from services.bus.wire import check_json, encode_error, may_answer
from services.errors import RETRY_AFTER_S, AnswerTooLarge, BadInput, InternalError

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class TooManyQuestions(CoordError):
    code = "busy"
    says = "{waiting} {kind} wait for an answer here, the limit; try again in {retry_after_s} s."
    retryable = True


class QuestionDoor(ABC):
    """Answers questions, each in a task of its own. `open` and `close` bracket its life.

    Of several processes with the same queue one takes each. Where `limit` questions wait, more are refused.
    """

    def __init__(self, nats: Client, subject: str, queue: str, *, kind: str, limit: int) -> None:
        """`kind` is what people call the questions, as in "reads"."""
        self._nats = nats
        self._subject = subject
        self._queue = queue
        self._kind = kind
        self._limit = limit
        self._running: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    @abstractmethod
    async def answer(self, message: Msg) -> bytes:
        """The reply. Raises the CoordError that refuses it."""

    @abstractmethod
    def count(self, message: Msg, outcome: str, seconds: float | None) -> None:
        """Note how it ended (ok or the error's code), and how long that took if it was looked at."""

    async def open(self) -> None:
        self._subscription = await self._nats.subscribe(self._subject, queue=self._queue, cb=self._receive)

    async def close(self) -> None:
        """Take no more questions, and answer those taken."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        await asyncio.gather(*self._running)

    async def _receive(self, message: Msg) -> None:
        if not may_answer(message.reply):
            self.count(message, "foreign_reply_subject", None)
            logger.warning("no answer to %s: the reply subject is not an inbox", self._kind)
            return
        if (waiting := len(self._running)) >= self._limit:
            busy = TooManyQuestions(waiting=waiting, kind=self._kind, retry_after_s=RETRY_AFTER_S)
            self.count(message, busy.code, None)
            await self._nats.publish(message.reply, encode_error(busy))
            return
        task = asyncio.create_task(self._answer(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, message: Msg) -> None:
        began = perf_counter()
        try:
            reply, outcome = check_size(self._nats, await self.answer(message)), "ok"
        except CoordError as error:
            reply, outcome = encode_error(error), error.code
        except Exception as fault:
            logger.exception("a question to %s could not be answered", message.subject)
            told = InternalError(verb=f"one of the {self._kind}", kind=type(fault).__name__)
            reply, outcome = encode_error(told), told.code
        self.count(message, outcome, perf_counter() - began)
        await self._nats.publish(message.reply, reply)


class Threads:
    """Threads that work for one event loop. Where `limit` things wait or are done, more are refused."""

    def __init__(self, threads: int, kind: str, limit: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=kind)
        self._kind = kind
        self._limit = limit
        self._waiting = 0

    def close(self) -> None:
        self._executor.shutdown()

    async def run(self, work: Callable[..., bytes], *arguments: Any) -> bytes:
        """What the work returns or raises. Raises TooManyQuestions."""
        if self._limit is not None and self._waiting >= self._limit:
            raise TooManyQuestions(waiting=self._waiting, kind=self._kind, retry_after_s=RETRY_AFTER_S)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        finally:
            self._waiting -= 1


def check_size(nats: Client, reply: bytes) -> bytes:
    """The reply. Raises AnswerTooLarge if the server does not let it through."""
    if len(reply) > nats.max_payload:
        raise AnswerTooLarge(size=len(reply), limit=nats.max_payload)
    return reply


def read_params(what: str, payload: bytes) -> dict[str, Any]:
    """The parameters of a question. Raises BadInput."""
    check_json(what, payload)
    try:
        return msgspec.json.decode(payload or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(verb=what, why=str(error)) from error


def encode_rows(position: int, rows: Any) -> bytes:
    """The reply that answers: the rows, and the position that they include."""
    return _encode({"ok": True, "position": position, "result": rows})
