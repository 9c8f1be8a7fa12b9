"""One actor on a connection of its own, that writes down all that it asks and is told.

A command is asked again under its own id until an answer stands. On the way connections are dropped in
mid-request, and answers that came are asked for again, as the script says. Speaks NATS and JSON, and knows
nothing of how commands are carried out.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from services.bus.connection import connect
from services.errors import TimedOut
from services.prove.evidence import Transcript
from services.prove.script import Mishap

ATTEMPT_TIMEOUT_S = 2.0
PATIENCE_S = 90.0
FIRST_BACKOFF_S = 0.05
MAX_BACKOFF_S = 1.0

Reply = dict[str, Any]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reply).decode


def expect_losses() -> None:
    """Keep this process from telling of each connection that is lost: a run loses them on purpose."""
    logging.getLogger("services.bus.connection").setLevel(logging.ERROR)


def never(_: str) -> Mishap:
    """The life of a client without mishaps."""
    return "none"


class Client:
    """Use as an async context manager. `name` is that of the transcript, unique in a run."""

    def __init__(
        self,
        url: str,
        project: str,
        actor: str,
        transcript: Transcript,
        mishap: Callable[[str], Mishap] = never,
        max_backoff_s: float = MAX_BACKOFF_S,
    ) -> None:
        self.actor = actor
        self._url = url
        self._project = project
        self._transcript = transcript
        self._mishap = mishap
        self._max_backoff_s = max_backoff_s
        self._nats: Nats | None = None
        self._numbers = 0
        self._waiting: dict[tuple[str, int], asyncio.Future[Reply | None]] = {}

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()
        self._transcript.close()

    async def ask(
        self, verb: str, body: dict[str, Any], *, wait_s: float = 0.0, timeout_s: float = ATTEMPT_TIMEOUT_S
    ) -> Reply:
        """The reply that stands, a refusal too; `wait_s` is how long the command itself may take.

        Raises TimedOut when there is none for longer than anybody has patience.
        """
        self._numbers += 1
        command_id = f"{self._project}-{self.actor}-{self._numbers}"
        mishap = self._mishap(command_id)
        loop = asyncio.get_running_loop()
        give_up, backoff_s, attempt = loop.time() + PATIENCE_S + wait_s, FIRST_BACKOFF_S, 1
        drop = mishap == "connection dropped"
        while True:
            reply = await self._attempt(verb, body, command_id, attempt, timeout_s + wait_s, drop=drop)
            if reply is not None and _stands(reply):
                break
            if loop.time() > give_up:
                raise TimedOut(timeout_s=PATIENCE_S)
            if not drop:
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, self._max_backoff_s)
            attempt, drop = attempt + 1, False
        if mishap == "asked again":
            await self._attempt(verb, body, command_id, attempt + 1, timeout_s)
        return reply

    async def _attempt(
        self,
        verb: str,
        body: dict[str, Any],
        command_id: str,
        attempt: int,
        timeout_s: float,
        *,
        drop: bool = False,
    ) -> Reply | None:
        """One sending of a command; None if no answer came."""
        self._transcript.ask(command_id, self._project, self.actor, verb, body, attempt)
        answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._waiting[command_id, attempt] = answer
        try:
            await self._publish(verb, body, command_id, attempt)
            if drop:
                await self._disconnect()
                await self._connect()
                self._transcript.unanswered(command_id, "the connection was dropped", attempt)
                return None
            return await asyncio.wait_for(answer, timeout_s)
        except (TimeoutError, NatsError, OSError) as error:
            why = "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            self._transcript.unanswered(command_id, why, attempt)
            return None
        finally:
            del self._waiting[command_id, attempt]

    async def _publish(self, verb: str, body: dict[str, Any], command_id: str, attempt: int) -> None:
        assert self._nats is not None, "use `async with`"
        await self._nats.publish(
            f"coord.{self._project}.cmd.{self.actor}.{verb}",
            _encode(body),
            reply=f"_INBOX.{self.actor}.{self._project}.{command_id}.{attempt}",
            headers={"Nats-Msg-Id": command_id},
        )

    async def _receive(self, message: Msg) -> None:
        """An answer, to whichever attempt; one that comes too late for its asker is written down too."""
        *_, command_id, number = message.subject.split(".")
        attempt = int(number)
        waiting = self._waiting.get((command_id, attempt))
        if not message.data:
            if waiting is not None and not waiting.done():
                waiting.set_exception(NatsError("nobody listens"))
            return
        reply = _decode(message.data)
        self._transcript.told(command_id, reply, attempt)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    async def _connect(self) -> None:
        self._nats = await connect(self._url, f"prove-{self.actor}", patient=True)
        await self._nats.subscribe(f"_INBOX.{self.actor}.{self._project}.*.*", cb=self._receive)

    async def _disconnect(self) -> None:
        if self._nats is not None:
            with suppress(NatsError, RuntimeError, OSError):  # it may be lost already
                await self._nats.close()


def _stands(reply: Reply) -> bool:
    """Whether it is the last word: a refusal that says `ask again` is none."""
    return bool(reply["ok"]) or not reply["error"]["retryable"]
