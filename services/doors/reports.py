"""The NATS door for reports: every service tells who it is, whether it works or stands by, and its metrics.

Whoever wants to know asks all services at once and takes what answers come in time.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, generate_latest

from services.bus.wire import may_answer

SUBJECT = "coordctl.report"
WAIT_S = 1.0
QUIET_S = 0.15
MAX_REPORTS = 100

logger = logging.getLogger(__name__)


class Report(Struct, frozen=True, kw_only=True):
    """What a service says of itself.

    `metrics` as Prometheus reads them, `shards` those a writer decides, `trouble` why it cannot work.
    """

    service: str
    instance: str
    working: bool
    metrics: str
    shards: tuple[int, ...] = ()
    trouble: str = ""


class ReportDoor:
    """Answers for one service. Replies go only to inboxes."""

    def __init__(
        self,
        nats: Client,
        service: str,
        registry: CollectorRegistry,
        working: Callable[[], bool],
        shards: Callable[[], Sequence[int]] = tuple,
        trouble: Callable[[], str] = str,
    ) -> None:
        self._nats = nats
        self._service = service
        self._registry = registry
        self._working = working
        self._shards = shards
        self._trouble = trouble

    async def open(self) -> None:
        await self._nats.subscribe(SUBJECT, cb=self._answer)

    async def _answer(self, message: Msg) -> None:
        if not may_answer(message.reply):
            logger.warning("no report: the reply subject is not an inbox")
            return
        report = Report(
            service=self._service,
            instance=instance(),
            working=self._working(),
            metrics=generate_latest(self._registry).decode(),
            shards=tuple(self._shards()),
            trouble=self._trouble(),
        )
        await self._nats.publish(message.reply, msgspec.json.encode(report))


def instance() -> str:
    """What tells this process from the other instances of its service."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_here(report: Report) -> bool:
    """Whether it comes from a process on this host."""
    return report.instance.rpartition(":")[0] == socket.gethostname()


async def gather(nats: Client, *, wait_s: float = WAIT_S, quiet_s: float = QUIET_S) -> list[Report]:
    """The reports of all services that answer: until a while after the last one, or the time is over."""
    loop = asyncio.get_running_loop()
    inbox = nats.new_inbox()
    answers = await nats.subscribe(inbox)
    reports: list[Report] = []
    deadline = loop.time() + wait_s
    try:
        await nats.publish(SUBJECT, b"", reply=inbox)
        while len(reports) < MAX_REPORTS and (left_s := deadline - loop.time()) > 0:
            message = await asyncio.wait_for(answers.next_msg(left_s), left_s + quiet_s)
            if message.data:
                reports.append(msgspec.json.decode(message.data, type=Report))
                deadline = min(deadline, loop.time() + quiet_s)
            else:
                break  # the server says that nobody listens
    except TimeoutError:
        pass
    finally:
        await answers.unsubscribe()
    return sorted(reports, key=lambda report: (report.service, report.instance))
