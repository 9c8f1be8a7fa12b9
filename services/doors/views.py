"""The NATS door for reads: from a message on `coord.<project>.get.<view>` to rows, and back to a reply.

Answers go only to inboxes, like those of the door for commands: whoever may ask cannot have an answer
published where it would pass for something else. Reads the tables of the read models, and changes nothing.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from domain.errors import CoordError
from services.bus.wire import (
    MAX_PAYLOAD_BYTES,
    VIEW_SUBJECTS,
    check_json,
    check_name,
    encode_error,
    may_answer,
)
from services.errors import RETRY_AFTER_S, BadInput, InternalError, PayloadTooLarge, UnknownView
from services.landing.desk import LandingDesk
from services.landing.params import LANDING_VIEWS
from services.metrics import GatewayMetrics
from services.reading.reads import Reads, parse
from services.recall.asking import carry
from services.recall.params import VIEW as RECALL

QUEUE = "coordctl-gateway"
UNREADABLE = "unreadable"
READERS = 8
MAX_WAITING_READS = 1_000


class TooManyReads(CoordError):
    code = "busy"
    says = "The gateway has {waiting} reads waiting, its limit; try again in {retry_after_s} s."
    retryable = True


logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class ViewDoor:
    """Answers reads; of several gateways, one takes each."""

    def __init__(self, nats: Client, reads: Reads, metrics: GatewayMetrics, landings: LandingDesk) -> None:
        self._nats = nats
        self._reads = reads
        self._metrics = metrics
        self._landings = landings
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._running: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._nats.subscribe(VIEW_SUBJECTS, queue=QUEUE, cb=self._receive)

    async def close(self) -> None:
        """Take no more reads, and answer those taken."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        await asyncio.gather(*self._running)
        self._readers.shutdown()

    async def _receive(self, message: Msg) -> None:
        if not may_answer(message.reply):
            self._metrics.read(UNREADABLE, "foreign_reply_subject")
            logger.warning("no answer to a read: the reply subject is not an inbox")
            return
        if len(self._running) >= MAX_WAITING_READS:
            await self._refuse(
                message, TooManyReads(waiting=len(self._running), retry_after_s=RETRY_AFTER_S), UNREADABLE
            )
            return
        task = asyncio.create_task(self._answer(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, message: Msg) -> None:
        began = perf_counter()
        loop = asyncio.get_running_loop()
        label = UNREADABLE
        try:
            project, view, params = read_message(message.subject, message.data)
            label = view
            if view == RECALL:
                await self._nats.publish(message.reply, await carry(self._nats, project, message.data))
                self._metrics.read(view, "ok", perf_counter() - began)
                return
            if view in LANDING_VIEWS:
                position, rows = await self._landings.answer(project, view, params)
                await self._nats.publish(message.reply, _encode(_reply(position, rows)))
                self._metrics.read(view, "ok", perf_counter() - began)
                return
            reply = await loop.run_in_executor(self._readers, self._read, project, view, params)
        except CoordError as error:
            # The name of an unknown view must not become a label: anyone could fill memory.
            unknown = isinstance(error, UnknownView)
            await self._refuse(message, error, UNREADABLE if unknown else label)
            return
        except Exception as error:
            logger.exception("view %s could not be answered", label)
            await self._refuse(message, InternalError(verb=label, kind=type(error).__name__), label)
            return
        self._metrics.read(view, "ok", perf_counter() - began)
        await self._nats.publish(message.reply, reply)

    async def _refuse(self, message: Msg, error: CoordError, label: str) -> None:
        self._metrics.read(label, error.code)
        await self._nats.publish(message.reply, encode_error(error))

    def _read(self, project: str, view: str, params: dict[str, Any]) -> bytes:
        """The reply: the rows, and the position of the read models, which the rows include."""
        parse(view, params)  # what is wrong with it is said whether the tables are there or not
        position = self._reads.visible()
        rows = self._reads.read(project, view, params)
        if isinstance(wanted := params.get("min_position"), int):
            position = max(position, wanted)
        return _encode(_reply(position, rows))


def _reply(position: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"ok": True, "position": position, "result": rows}


def read_message(subject: str, payload: bytes) -> tuple[str, str, dict[str, Any]]:
    """The project, the view and its parameters. Raises BadName, PayloadTooLarge or BadInput."""
    _, project, _, view = subject.split(".")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(size=len(payload), limit=MAX_PAYLOAD_BYTES)
    check_name("project", project)
    check_json(view, payload)
    try:
        return project, view, msgspec.json.decode(payload or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(verb=view, why=str(error)) from error
