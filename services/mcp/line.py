"""One actor's line to the system: commands, reads of the views, and events as they happen.

`OwnLine` has connections of its own, as `coordctl mcp` does. The gateway, which is connected anyway, has
`GatewayLine` in `services/mcp/hosted.py`. What a line has seen, its reads include.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from domain.errors import CoordError
from services.bus.caller import Caller, parse_answer
from services.bus.connection import connect
from services.bus.link import disconnect
from services.bus.wire import TRACE_HEADER
from services.errors import TimedOut, Unavailable
from services.tracing.current import current_trace

Item = dict[str, Any]
Heard = Callable[[str, bytes], Awaitable[None]]
"""Takes an event: what its subject says after `evt.`, and its body."""

Unsubscribe = Callable[[], Awaitable[None]]

READ_TIMEOUT_S = 5.0
READ_ATTEMPTS = 4
READ_PAUSE_S = 0.5
HEARD_EVENTS = 10_000
"""How many events may wait for a listener; beyond that the oldest are dropped, as a hint may be."""


class Line(Protocol):
    """What a desk needs of the system."""

    @property
    def project(self) -> str: ...

    @property
    def actor(self) -> str: ...

    async def ask(self, verb: str, fields: Mapping[str, Any], *, wait_s: float = 0.0) -> Item:
        """The result of a command. Raises Refused, TimedOut or Unavailable."""

    async def read(self, view: str, **params: Any) -> list[Item]:
        """The rows of a view, with all that this line did before. Raises Refused, TimedOut or Unavailable."""

    async def listen(self, heard: Heard) -> Unsubscribe:
        """Tell of every event of the project from now on."""


class OwnLine:
    """A line with connections of its own. Use as an async context manager."""

    def __init__(self, url: str, project: str, actor: str) -> None:
        self.project = project
        self.actor = actor
        self._url = url
        self._caller = Caller(url, project, actor)
        self._nats: Client | None = None
        self._seen = 0

    async def __aenter__(self) -> Self:
        await self._caller.__aenter__()
        self._nats = await connect(self._url, f"coordctl-mcp-{self.actor}", actor=self.actor)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._caller.__aexit__(kind, error, trace)
        if self._nats is not None:
            await disconnect(self._nats)

    async def ask(self, verb: str, fields: Mapping[str, Any], *, wait_s: float = 0.0) -> Item:
        trace = current_trace(verb).get(TRACE_HEADER)
        answer = await self._caller.ask(verb, dict(fields), wait_s=wait_s, traceparent=trace)
        self._seen = max(self._seen, answer.position)
        return answer.result

    async def read(self, view: str, **params: Any) -> list[Item]:
        for _ in range(READ_ATTEMPTS - 1):
            try:
                return await self._read(view, params)
            except CoordError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(READ_PAUSE_S)
        return await self._read(view, params)

    async def _read(self, view: str, params: Item) -> list[Item]:
        assert self._nats is not None, "use `async with`"
        payload = msgspec.json.encode({**params, "min_position": self._seen})
        try:
            message = await self._nats.request(
                f"coord.{self.project}.get.{view}", payload, timeout=READ_TIMEOUT_S
            )
        except CoordError:
            raise  # NotPermitted, NotAuthorized: the server's word
        except NoRespondersError as error:
            raise Unavailable(what="The gateway", why="none is running") from error
        except (TimeoutError, NatsError) as error:
            raise TimedOut(timeout_s=READ_TIMEOUT_S) from error
        rows: Any = parse_answer(message.data).result
        return list(rows)

    async def listen(self, heard: Heard) -> Unsubscribe:
        assert self._nats is not None, "use `async with`"
        return await listening(self._nats, self.project, heard)


async def listening(nats: Client, project: str, heard: Heard) -> Unsubscribe:
    """Subscribe to a project's events; gives what ends it."""

    async def receive(message: Msg) -> None:
        await heard(message.subject.split(".", 3)[3], message.data)

    subjects = f"coord.{project}.evt.>"
    subscription = await nats.subscribe(subjects, cb=receive, pending_msgs_limit=HEARD_EVENTS)

    async def end() -> None:
        if not nats.is_closed:
            await subscription.unsubscribe()

    return end
