"""The NATS door for commands: from a message on a subject to a request for the writer, and back to a reply.

Answers go only to subjects that start with the actor's own inbox prefix: a privileged service that answers
wherever it is told could be made to publish an event in somebody's name.
"""

import asyncio
import logging
from collections import deque
from time import perf_counter
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from domain.errors import CoordError
from services.bus.wire import (
    CAUSATION_HEADER,
    COMMAND_ID_HEADER,
    COMMAND_SUBJECTS,
    CORRELATION_HEADER,
    encode_error,
    inbox,
    may_answer,
    parse_command,
    parse_id,
    parse_subject,
    parse_trace,
)
from services.errors import AnswerTooLarge
from services.metrics import WriterMetrics
from services.writer.requests import Request, Taker
from services.writer.shards import check_shard, shard_of

REFUSALS = "refused"
"""Below an actor's inbox: where it is told of commands that cannot be answered where they asked for it."""

logger = logging.getLogger(__name__)


class ForeignReplySubject(CoordError):
    code = "foreign_reply_subject"
    says = "Answers to a command go only to {inbox}, the inbox of its actor; nothing was done."


class CommandDoor:
    """Subscribes for the writer. `open` and `close` bracket its life."""

    def __init__(
        self, nats: Client, writer: Taker, metrics: WriterMetrics, subjects: str = COMMAND_SUBJECTS
    ) -> None:
        self._nats = nats
        self._subjects = subjects
        self._writer = writer
        self._metrics = metrics
        self._subscription: Subscription | None = None
        self._outbox = Outbox(nats)

    async def open(self) -> None:
        self._subscription = await self._nats.subscribe(self._subjects, cb=self._receive)

    async def close(self) -> None:
        """Take no more requests; those taken are still answered by `flush`."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped

    async def flush(self) -> None:
        """Wait until every reply is on its way."""
        await self._outbox.flush()

    async def _receive(self, message: Msg) -> None:
        if message.reply and not may_answer(message.reply, own_inbox(message)):
            self._refuse_reply(message)
            return
        try:
            request = self._read(message)
        except CoordError as error:
            self._metrics.refused("unreadable", error.code)
            self._reply(message, encode_error(error))
            logger.debug("a command is unreadable: %s", error, extra=_sender(message, error))
        else:
            self._writer.submit(request)

    def _read(self, message: Msg) -> Request:
        """Raises the CoordError that says what is wrong with the message."""
        began = perf_counter()
        address = parse_subject(message.subject)
        check_shard(message.subject)
        headers = message.headers

        def answer(content: bytes) -> None:
            self._metrics.answered(address.verb, perf_counter() - began)
            self._reply(message, content)

        return Request(
            project=address.project,
            actor=address.actor,
            command=parse_command(address.verb, message.data),
            command_id=parse_id(headers, COMMAND_ID_HEADER) or uuid4().hex,
            answer=answer,
            correlation_id=parse_id(headers, CORRELATION_HEADER),
            causation_id=parse_id(headers, CAUSATION_HEADER),
            traceparent=parse_trace(headers),
        )

    def _reply(self, message: Msg, answer: bytes) -> None:
        if message.reply:
            self._outbox.send(message.reply, answer)

    def _refuse_reply(self, message: Msg) -> None:
        """Do nothing, and say so where the actor may listen; one that is no name has no such place."""
        inbox_of_actor = own_inbox(message)
        self._metrics.refused("unreadable", ForeignReplySubject.code)
        logger.warning(
            "a command is refused: its reply subject is not below %s", inbox_of_actor,
            extra=_sender(message, ForeignReplySubject),
        )  # fmt: skip
        if may_answer(refusals := f"{inbox_of_actor}{REFUSALS}"):
            self._outbox.send(refusals, encode_error(ForeignReplySubject(inbox=f"{inbox_of_actor}>")))


def own_inbox(message: Msg) -> str:
    """What the reply subject of a command must start with: its actor is the fourth token."""
    return inbox(message.subject.split(".")[3])


def _sender(message: Msg, refusal: CoordError | type[CoordError]) -> dict[str, str]:
    """What a log says of a message that became no command."""
    _, project, _, actor, context, verb = message.subject.split(".")
    return {"project": project, "actor": actor, "command": f"{context}.{verb}", "code": refusal.code}


class Dispatch:
    """Hands what comes by a server that maps nothing to the shards' writers of this process.

    Every process hears of every command there. The others' shards are left to them; while nobody has a shard
    its callers hear nothing, and ask again.
    """

    def __init__(self) -> None:
        self.writers: dict[int, Taker] = {}

    def working(self) -> bool:
        """Whether any shard is decided here."""
        return bool(self.writers)

    def shards(self) -> list[int]:
        """Those that are decided here."""
        return sorted(self.writers)

    def submit(self, request: Request) -> None:
        writer = self.writers.get(shard_of(request.project))
        if writer is not None:
            writer.submit(request)


class Outbox:
    """Sends replies in order from one task, so that whoever answers never waits for the network."""

    def __init__(self, nats: Client) -> None:
        self._nats = nats
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._sender: asyncio.Task[None] | None = None

    def send(self, subject: str, payload: bytes) -> None:
        """Bounded by the requests taken: each has one answer. One that is too large is told of instead."""
        if len(payload) > (most := self._nats.max_payload):
            payload = encode_error(AnswerTooLarge(size=len(payload), limit=most))
        self._waiting.append((subject, payload))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())

    async def flush(self) -> None:
        if self._sender is not None:
            await self._sender
        await self._nats.flush()

    async def _send_all(self) -> None:
        while self._waiting:
            subject, payload = self._waiting.popleft()
            try:
                await self._nats.publish(subject, payload)
            except NatsError as error:  # there is no connection, and its buffer is full
                logger.warning("%d replies are lost (%s): callers ask again", len(self._waiting) + 1, error)
                self._waiting.clear()
