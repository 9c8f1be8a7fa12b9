"""The NATS door for service discovery: answers `$SRV.PING`, `INFO` and `STATS` as NATS micro services do.

So `nats micro ls`, `info` and `stats` know coordctl. Nothing that is served passes here: the figures are
those that the services count anyway. Replies go only to inboxes.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.nuid import NUID

from services.bus.wire import may_answer
from services.doors.reports import instance

PREFIX = "$SRV"
SERVICE_PREFIX = "coordctl-"
_TYPE = "io.nats.micro.v1.{}_response"
_NANOSECONDS = 1_000_000_000

logger = logging.getLogger(__name__)


class Endpoint(Struct, frozen=True, kw_only=True):
    """Something that can be asked, and how it was used since the service started.

    `seconds` is the time spent on its requests; `outcomes` are requests by `ok` or the code of their error.
    """

    name: str
    subject: str
    queue_group: str
    about: str
    outcomes: dict[str, int]
    seconds: float


Endpoints = Callable[[], Sequence[Endpoint]]
"""What a service offers, as it was used until now."""


class MicroDoor:
    """Answers for one service."""

    def __init__(self, nats: Client, service: str, endpoints: Endpoints = tuple) -> None:
        self._nats = nats
        self._service = service
        self._name = SERVICE_PREFIX + service
        self._endpoints = endpoints
        self._started = datetime.now(UTC)
        self._id = NUID().next().decode()
        self._identity = {
            "name": self._name,
            "id": self._id,
            "version": version("coordctl"),
            "metadata": {"instance": instance()},
        }
        self._answers: dict[str, Callable[[], dict[str, Any]]] = {
            "PING": dict,
            "INFO": self._info,
            "STATS": self._stats,
        }

    async def open(self) -> None:
        """Listen where all services are asked, those of this name, and this one alone."""
        everybody = f"{PREFIX}.*"
        namesakes = f"{everybody}.{self._name}"
        for subject in (everybody, namesakes, f"{namesakes}.{self._id}"):
            await self._nats.subscribe(subject, cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        verb = message.subject.split(".")[1]
        if verb not in self._answers:
            return
        if not may_answer(message.reply):
            logger.warning("not discovered: the reply subject is not an inbox")
            return
        answer = {"type": _TYPE.format(verb.lower()), **self._identity, **self._answers[verb]()}
        await self._nats.publish(message.reply, msgspec.json.encode(answer))

    def _info(self) -> dict[str, Any]:
        return {
            "description": f"The {self._service} of coordctl",
            "endpoints": [
                {**_named(endpoint), "metadata": {"about": endpoint.about}} for endpoint in self._endpoints()
            ],
        }

    def _stats(self) -> dict[str, Any]:
        started = self._started.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"started": started, "endpoints": [_used(endpoint) for endpoint in self._endpoints()]}


def _named(endpoint: Endpoint) -> dict[str, Any]:
    return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": endpoint.queue_group}


def _used(endpoint: Endpoint) -> dict[str, Any]:
    """Codes are counted and not kept in order, so the last error is not known: `data` has them all."""
    requests = sum(endpoint.outcomes.values())
    spent_ns = round(endpoint.seconds * _NANOSECONDS)
    return {
        **_named(endpoint),
        "num_requests": requests,
        "num_errors": requests - endpoint.outcomes.get("ok", 0),
        "last_error": "",
        "processing_time": spent_ns,
        "average_processing_time": spent_ns // requests if requests else 0,
        "data": {"outcomes": endpoint.outcomes},
    }
