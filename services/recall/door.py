"""The NATS door of the recall service: searches that the gateways carry to it, and back a reply.

Several services share the searches. Answers go only to inboxes.
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
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain.errors import CoordError
from services.access.permissions import SEARCHES
from services.bus.wire import check_json, check_name, encode_error, may_answer
from services.errors import RETRY_AFTER_S, BadInput, InternalError
from services.recall.indexing import Indexer
from services.recall.params import VIEW
from services.recall.searching import Search, told

QUEUE = "coordctl-recall"
SEARCHERS = 4
MAX_WAITING_SEARCHES = 200
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class TooManySearches(CoordError):
    code = "busy"
    says = "The recall service has {waiting} searches waiting, its limit; try again in {retry_after_s} s."
    retryable = True


class RecallMetrics:
    """What the service counts, and how far its index is."""

    def __init__(self, registry: CollectorRegistry, indexer: Indexer) -> None:
        self._searches = Counter(
            "coordctl_searches",
            "Searches by outcome (ok or the error's code).",
            ["outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "coordctl_search_seconds", "Time to answer a search.", buckets=_SECONDS, registry=registry
        )
        texts = Gauge(
            "coordctl_recall_position", "Position up to which texts can be found.", registry=registry
        )
        texts.set_function(lambda: indexer.standing.texts)
        vectors = Gauge(
            "coordctl_recall_vectors_position", "Position up to which texts are found by meaning.",
            registry=registry,
        )  # fmt: skip
        vectors.set_function(lambda: indexer.standing.vectors)

    def answered(self, outcome: str, seconds: float) -> None:
        self._searches.labels(outcome).inc()
        self._seconds.observe(seconds)


class RecallDoor:
    """Answers searches. `open` and `close` bracket its life."""

    def __init__(self, nats: Client, search: Search, metrics: RecallMetrics) -> None:
        self._nats = nats
        self._search = search
        self._metrics = metrics
        self._searchers = ThreadPoolExecutor(SEARCHERS, thread_name_prefix="search")
        self._running: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._nats.subscribe(SEARCHES, queue=QUEUE, cb=self._receive)

    async def close(self) -> None:
        """Take no more searches, and answer those taken."""
        if self._subscription is not None:
            await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
        await asyncio.gather(*self._running)
        self._searchers.shutdown()

    async def _receive(self, message: Msg) -> None:
        if not may_answer(message.reply):
            logger.warning("no answer to a search: the reply subject is not an inbox")
            return
        task = asyncio.create_task(self._answer(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, message: Msg) -> None:
        began = perf_counter()
        try:
            if len(self._running) > MAX_WAITING_SEARCHES:
                raise TooManySearches(waiting=len(self._running), retry_after_s=RETRY_AFTER_S)
            project, given = _read(message)
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(self._searchers, self._find, project, given)
            outcome = "ok"
        except CoordError as error:
            reply, outcome = encode_error(error), error.code
        except Exception as fault:
            logger.error("a search failed", exc_info=fault)
            fault_told = InternalError(verb="the search", kind=type(fault).__name__)
            reply, outcome = encode_error(fault_told), fault_told.code
        self._metrics.answered(outcome, perf_counter() - began)
        await self._nats.publish(message.reply, reply)

    def _find(self, project: str, given: dict[str, Any]) -> bytes:
        position, hits = self._search.find(project, given)
        return _encode({"ok": True, "position": position, "result": told(hits)})


def _read(message: Msg) -> tuple[str, dict[str, Any]]:
    """The project and the parameters. Raises BadName or BadInput."""
    project = message.subject.rpartition(".")[2]
    check_name("project", project)
    check_json(VIEW, message.data)
    try:
        return project, msgspec.json.decode(message.data or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(verb=VIEW, why=str(error)) from error
