"""Looking back at a performance: the fleet at any of its events, and whether the tables agree. Reads only."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from projections.agents import AGENTS
from projections.catalog import PROJECTIONS
from projections.handoffs import HANDOFFS
from projections.queue import QUEUE
from services.audit.verify import Difference, verify
from services.demo.novel import PROJECT
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.reading.reads import Reads, shape
from services.reading.replay import replay

PROJECTOR_TIMEOUT_S = 15.0

Rows = list[dict[str, Any]]


class Moment(Struct, frozen=True):
    """The fleet right after one event."""

    position: int
    sequence: int
    at: datetime
    agents: Rows
    queue: Rows
    handoffs: Rows


class Agreement(Struct, frozen=True):
    """The read models against a replay of the whole log."""

    rows: int
    tables: int
    differences: list[Difference]


def middle(log: EventLog, codec: Codec) -> Moment:
    """The fleet when half of the project's events had happened."""
    last, _ = log.project_head(PROJECT)
    position = log.at_sequence(PROJECT, last // 2)
    (row,) = log.read(position - 1, 1, until=position)
    states = replay(log, codec, (AGENTS, QUEUE, HANDOFFS), PROJECT, position)
    shown = {name: shape(name, list(rows.values()), {"limit": 1000}) for name, rows in states.items()}
    at = codec.decode(row).at
    return Moment(position, last // 2, at, shown[AGENTS.name], shown[QUEUE.name], shown[HANDOFFS.name])


def agreement(log: EventLog, codec: Codec, database_url: str) -> Agreement:
    """Whether every read model, once it has caught up, is what a replay to the end gives, row for row."""
    head = log.head()
    with Reads(database_url) as reads:
        reads.wait_for(head, PROJECTOR_TIMEOUT_S)
    differences = verify(log, codec, database_url, PROJECTIONS)
    states = replay(log, codec, PROJECTIONS, None, head)
    return Agreement(sum(map(len, states.values())), len(PROJECTIONS), differences)
