"""Asking the writer over NATS: what the command line, the importer and the demo use.

A command is repeated under its own id until an answer comes or the patience is over, so it is done once.
"""

import asyncio
import random
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from domain.errors import CoordError
from services.bus.connection import connect
from services.bus.link import disconnect
from services.bus.wire import COMMAND_ID_HEADER, TRACE_HEADER, command_subject
from services.errors import TimedOut, Unavailable

ATTEMPT_TIMEOUT_S = 2.0
WAITING_ATTEMPT_TIMEOUT_S = 5.0
"""For claims that wait: whoever answers may be another by now, so they are asked again while they wait."""

PATIENCE_S = 15.0
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0
MAX_RETRY_AFTER_S = 10.0


class Refused(CoordError):
    """The service's refusal, as it was told over the wire."""

    def __init__(self, code: str, message: str, *, retryable: bool, facts: dict[str, Any]) -> None:
        Exception.__init__(self, message)
        self.code = code  # type: ignore[misc]  # a class's constant elsewhere, here as it came
        self.retryable = retryable  # type: ignore[misc]  # likewise
        self.facts = facts


class Answer(Struct):
    """A command that was carried out."""

    position: int
    result: dict[str, Any]
    sequence: int | None = None


class Caller:
    """One actor's way to ask. Use as an async context manager."""

    def __init__(self, url: str, project: str, actor: str, *, patience_s: float = PATIENCE_S) -> None:
        self._url = url
        self._project = project
        self._actor = actor
        self._patience_s = patience_s
        self._nats: Client | None = None

    async def __aenter__(self) -> Self:
        self._nats = await connect(self._url, f"coordctl-{self._actor}", actor=self._actor)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._nats is not None:
            await disconnect(self._nats)

    async def ask(
        self,
        verb: str,
        fields: dict[str, Any] | None = None,
        *,
        command_id: str | None = None,
        wait_s: float = 0.0,
        traceparent: str | None = None,
    ) -> Answer:
        """Send a command and wait for its answer; `wait_s` is how long the command itself may take.

        Raises Refused with the service's code, NotPermitted, NotAuthorized, TimedOut or Unavailable.
        """
        headers = {COMMAND_ID_HEADER: command_id or uuid4().hex}
        if traceparent:
            headers[TRACE_HEADER] = traceparent
        payload = msgspec.json.encode(fields or {})
        subject = command_subject(self._project, self._actor, verb)
        return await self._persist(subject, payload, headers, wait_s)

    async def _persist(self, subject: str, payload: bytes, headers: dict[str, str], wait_s: float) -> Answer:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience_s + wait_s
        timeout_s = WAITING_ATTEMPT_TIMEOUT_S if wait_s else ATTEMPT_TIMEOUT_S
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                return await self._once(subject, payload, headers, timeout_s)
            except CoordError as error:
                pause_s = _pause(error, backoff_s)
                if not error.retryable or loop.time() + pause_s > give_up:
                    raise
            await asyncio.sleep(pause_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _once(self, subject: str, payload: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        assert self._nats is not None, "use `async with`"
        try:
            message = await self._nats.request(subject, payload, timeout=timeout_s, headers=headers)
        except CoordError:
            raise  # NotPermitted, NotAuthorized: the server's word
        except NoRespondersError as error:
            raise Unavailable(what="The writer", why="none is running") from error
        except (TimeoutError, NatsError) as error:
            raise TimedOut(timeout_s=timeout_s) from error
        return parse_answer(message.data)


def _pause(error: CoordError, backoff_s: float) -> float:
    """How long to wait before asking again: no less than the service says, and never in step with others."""
    told_s = error.facts.get("retry_after_s", 0.0) if isinstance(error, Refused) else 0.0
    longest_s = max(backoff_s, 2 * min(told_s, MAX_RETRY_AFTER_S))
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret


def parse_answer(data: bytes) -> Answer:
    """Raises Refused if the service said no."""
    reply = msgspec.json.decode(data)
    if reply["ok"]:
        return Answer(reply["position"], reply["result"], reply.get("sequence"))
    error = reply["error"]
    facts = {key: value for key, value in error.items() if key not in ("code", "message", "retryable")}
    raise Refused(error["code"], error["message"], retryable=error["retryable"], facts=facts)
