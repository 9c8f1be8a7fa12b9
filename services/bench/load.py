"""Many agents over one connection, as light as a client can be: the load must not be what is measured.

Each agent has its own inbox prefix, as the writer demands; one wildcard subscription receives for all.
"""

import asyncio
from itertools import count
from types import TracebackType
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.nuid import NUID

from services.bus.connection import connect
from services.bus.wire import COMMAND_ID_HEADER


class Load:
    """`ask` sends a command and returns the encoded reply. Use as an async context manager."""

    def __init__(self, url: str, project: str, root: str = "coord") -> None:
        self._url = url
        self._project = project
        self._root = root
        self._nats: Client | None = None
        self._run = NUID().next().decode()
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    async def __aenter__(self) -> Self:
        self._nats = await connect(self._url, "coordctl-bench")
        await self._nats.subscribe(f"_INBOX.*.{self._run}.*", cb=self._receive)
        await self._nats.flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._nats is not None:
            await self._nats.close()

    async def ask(self, actor: str, verb: str, payload: bytes) -> bytes:
        assert self._nats is not None, "use `async with`"
        number = str(next(self._numbers))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._nats.publish(
            f"{self._root}.{self._project}.cmd.{actor}.{verb}",
            payload,
            reply=f"_INBOX.{actor}.{self._run}.{number}",
            headers={COMMAND_ID_HEADER: f"{self._run}-{number}"},
        )
        return await answer

    async def _receive(self, message: Msg) -> None:
        self._waiting.pop(message.subject.rpartition(".")[2]).set_result(message.data)
