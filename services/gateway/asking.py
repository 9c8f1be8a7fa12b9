"""Commands on behalf of others: over the gateway's one NATS connection, each in its actor's name.

Replies come to an inbox of that actor's, as the writer wants it, and all of them to one subscription that no
other gateway shares. A command is repeated under its own id until an answer comes or the patience is over, so
it is done once.
"""

import asyncio
import random
import secrets
from collections.abc import Mapping
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from domain.errors import CoordError
from services.bus.caller import (
    ATTEMPT_TIMEOUT_S,
    FIRST_BACKOFF_S,
    MAX_BACKOFF_S,
    MAX_RETRY_AFTER_S,
    WAITING_ATTEMPT_TIMEOUT_S,
    Answer,
    parse_answer,
)
from services.bus.link import Link
from services.bus.wire import COMMAND_ID_HEADER, inbox, parse_subject
from services.errors import RETRY_AFTER_S, TimedOut, Unavailable
from services.gateway.denials import TooManyCommands

PATIENCE_S = 12.0
MAX_COMMANDS = 1_000
"""Under way at once; a claim may wait a minute for work."""

_NO_RESPONDERS = "503"


class Asker:
    """Sends commands for whomever the gateway let in."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._place = f"gateway-{secrets.token_hex(8)}"
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._subscribing = asyncio.Lock()
        self._subscription: Subscription | None = None
        self._under_way = 0

    @property
    def client(self) -> Client:
        """The connection, for questions in the gateway's own name. Raises Unavailable."""
        return self._link.client

    async def ask(
        self, subject: str, payload: bytes, headers: Mapping[str, str], wait_s: float = 0.0
    ) -> Answer:
        """Have a command carried out; `headers` hold its id, `wait_s` is how long it may take itself.

        Raises Refused, TimedOut, Unavailable or TooManyCommands.
        """
        if self._under_way >= MAX_COMMANDS:
            raise TooManyCommands(waiting=self._under_way, retry_after_s=RETRY_AFTER_S)
        assert COMMAND_ID_HEADER in headers, "without an id it could not be repeated"
        self._under_way += 1
        try:
            return await self._persist(subject, payload, dict(headers), wait_s)
        finally:
            self._under_way -= 1

    async def _persist(self, subject: str, payload: bytes, headers: dict[str, str], wait_s: float) -> Answer:
        timeout_s = WAITING_ATTEMPT_TIMEOUT_S if wait_s else ATTEMPT_TIMEOUT_S
        loop = asyncio.get_running_loop()
        give_up, backoff_s = loop.time() + PATIENCE_S + wait_s, FIRST_BACKOFF_S
        while True:
            try:
                return await self._once(subject, payload, headers, timeout_s)
            except CoordError as error:
                pause_s = _pause_s(error, backoff_s)
                if not error.retryable or loop.time() + pause_s > give_up:
                    raise
            await asyncio.sleep(pause_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _once(self, subject: str, payload: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        await self._subscribe()
        number = str(next(self._numbers))
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        reply = f"{inbox(parse_subject(subject).actor)}{self._place}.{number}"
        try:
            await self._link.client.publish(subject, payload, reply=reply, headers=headers)
            message = await asyncio.wait_for(answer, timeout_s)
        except (TimeoutError, NatsError) as error:
            raise TimedOut(timeout_s=timeout_s) from error
        finally:
            del self._waiting[number]
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            raise Unavailable(what="The writer", why="none is running")
        return parse_answer(message.data)

    async def _subscribe(self) -> None:
        """Once, when there is a connection; it survives the connection's loss. Raises Unavailable."""
        async with self._subscribing:
            if self._subscription is None:
                client = self._link.client
                self._subscription = await client.subscribe(f"_INBOX.*.{self._place}.*", cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        """An answer to what was given up, or a second one, is nobody's."""
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is not None and not answer.done():
            answer.set_result(message)


def _pause_s(error: CoordError, backoff_s: float) -> float:
    """How long to wait before asking again: no less than the service says, and never in step with others."""
    told_s = min(float(error.facts.get("retry_after_s", 0.0)), MAX_RETRY_AFTER_S)
    longest_s = max(backoff_s, 2 * told_s)
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
