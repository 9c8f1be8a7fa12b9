"""The NATS door for reads: from a message on `coord.<project>.get.<view>` to rows, and back to a reply.

Reads the tables of the read models, for the past the log as well, and changes nothing.
"""

from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.bus.wire import MAX_PAYLOAD_BYTES, VIEW_SUBJECTS, check_name
from services.doors.questions import QuestionDoor, Threads, encode_rows, read_params
from services.errors import PayloadTooLarge
from services.landing.desk import LandingDesk
from services.landing.params import LANDING_VIEWS
from services.metrics import GatewayMetrics
from services.reading.past import MAX_LOOKS, Past
from services.reading.reads import Reads, parse, view_names
from services.recall.asking import carry
from services.recall.params import VIEW as RECALL

QUEUE = "coordctl-gateway"
UNREADABLE = "unreadable"
READERS = 8
MAX_WAITING_READS = 1_000
PAST_READERS = MAX_LOOKS
"""Looks at the past may take long: they have threads of their own, and the present never waits for them."""

MAX_WAITING_PAST_READS = 100


class ViewDoor(QuestionDoor):
    """Answers reads, of the present and of the past."""

    def __init__(
        self, nats: Client, reads: Reads, past: Past, metrics: GatewayMetrics, landings: LandingDesk
    ) -> None:
        super().__init__(nats, VIEW_SUBJECTS, QUEUE, kind="reads", limit=MAX_WAITING_READS)
        self._reads = reads
        self._past = past
        self._metrics = metrics
        self._landings = landings
        self._views = frozenset(view_names())
        self._readers = Threads(READERS, "reads")
        self._past_readers = Threads(PAST_READERS, "reads of the past", MAX_WAITING_PAST_READS)

    async def close(self) -> None:
        await super().close()
        self._readers.close()
        self._past_readers.close()

    async def answer(self, message: Msg) -> bytes:
        project, view, params = read_message(message.subject, message.data)
        if view == RECALL:
            return await carry(self._nats, project, message.data)
        if view in LANDING_VIEWS:
            return encode_rows(*await self._landings.answer(project, view, params))
        if params.get("as_of") is not None:
            return await self._past_readers.run(self._read_past, project, view, params)
        return await self._readers.run(self._read, project, view, params)

    def count(self, message: Msg, outcome: str, seconds: float | None) -> None:
        """The name of an unknown view must not become a label: anyone could fill memory."""
        view = message.subject.rpartition(".")[2]
        label = view if view in self._views and seconds is not None else UNREADABLE
        self._metrics.read(label, outcome, seconds if outcome == "ok" else None)

    def _read(self, project: str, view: str, params: dict[str, Any]) -> bytes:
        """The reply: the rows, and the position of the read models, which the rows include."""
        parse(view, params)  # what is wrong with it is said whether the tables are there or not
        position = self._reads.visible()
        rows = self._reads.read(project, view, params)
        if isinstance(wanted := params.get("min_position"), int):
            position = max(position, wanted)
        return encode_rows(position, rows)

    def _read_past(self, project: str, view: str, params: dict[str, Any]) -> bytes:
        """The reply: the rows, and the position that the point means."""
        as_of = parse(view, params).as_of
        assert as_of is not None, "else it is a read of the present"
        moment, rows = self._past.view(project, view, as_of, params)
        return encode_rows(moment.position, rows)


def read_message(subject: str, payload: bytes) -> tuple[str, str, dict[str, Any]]:
    """The project, the view and its parameters. Raises BadName, PayloadTooLarge or BadInput."""
    _, project, _, view = subject.split(".")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(size=len(payload), limit=MAX_PAYLOAD_BYTES)
    check_name("project", project)
    return project, view, read_params(view, payload)
