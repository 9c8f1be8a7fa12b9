"""The NATS door of the recall service: searches that the gateways carry to it, and back a reply.

Several services share the searches.
"""

from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.access.permissions import SEARCHES
from services.bus.wire import check_name
from services.doors.questions import QuestionDoor, Threads, encode_rows, read_params
from services.recall.indexing import Indexer
from services.recall.params import VIEW
from services.recall.searching import Search, told

QUEUE = "coordctl-recall"
SEARCHERS = 4
MAX_WAITING_SEARCHES = 200
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


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

    def answered(self, outcome: str, seconds: float | None) -> None:
        self._searches.labels(outcome).inc()
        if seconds is not None:
            self._seconds.observe(seconds)


class RecallDoor(QuestionDoor):
    """Answers searches."""

    def __init__(self, nats: Client, search: Search, metrics: RecallMetrics) -> None:
        super().__init__(nats, SEARCHES, QUEUE, kind="searches", limit=MAX_WAITING_SEARCHES)
        self._search = search
        self._metrics = metrics
        self._searchers = Threads(SEARCHERS, "searches")

    async def close(self) -> None:
        await super().close()
        self._searchers.close()

    async def answer(self, message: Msg) -> bytes:
        project = message.subject.rpartition(".")[2]
        check_name("project", project)
        return await self._searchers.run(self._find, project, message.data)

    def count(self, _: Msg, outcome: str, seconds: float | None) -> None:
        self._metrics.answered(outcome, seconds)

    def _find(self, project: str, payload: bytes) -> bytes:
        position, hits = self._search.find(project, read_params(VIEW, payload))
        return encode_rows(position, told(hits))
