"""Looking back makes no sound: nothing is published, and nothing is written, by a replay of whatever kind."""

import asyncio
from random import Random

from domain.settings import SetSetting
from projections.catalog import PROJECTIONS, VIEWS
from services.audit.verify import verify
from services.embedded import EmbeddedNats
from services.log.event_log import EventLog
from services.log.history import History
from services.projector.projector import Projector
from services.projector.tables import connected
from services.reading.diff import Place, diff
from services.reading.replay import replay
from services.reading.sql import ask
from services.reading.travel import Travel
from services.relay.relay import Relay
from services.relay.stream import POSITION
from tests.services.running import CODEC
from tests.services.saga import Saga, random_saga
from tests.services.test_relay import caught_up, info_of, running
from tests.services.test_relay import connected as listening

ANSWER_TIMEOUT_S = 30
WATCHING = ("$JS.", "_INBOX.")
"""A relay at rest looks now and then whether its stream is still there, and the server tells of it."""


def look_back(log: EventLog, url: str, saga: Saga) -> None:
    """In every way there is, at some points of every project."""
    head = log.head()
    with connected(url) as connection:
        travel = Travel(log, CODEC, connection)
        for project in saga.stories:
            for position in (0, head // 2, head):
                replay(log, CODEC, PROJECTIONS, project, position)
                for view in VIEWS:
                    travel.view(project, view, position)
                ask(connection, travel, project, position, "SELECT count(*) FROM queue")
                History(log, CODEC, travel, project, position).sequences()
            diff(log, CODEC, connection, Place(project, head // 2), Place(project, head), limit_rows=10)
    replay(log, CODEC, PROJECTIONS, None, head)
    assert verify(log, CODEC, url, PROJECTIONS) == []


def test_nothing_is_published_by_looking_back(
    log: EventLog, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    saga = random_saga(Random(7), 60, [1, None, "x", [2.5]], ["a", "b", "c", "d"])
    saga.append(log)
    projector = Projector(log, CODEC, database_url, PROJECTIONS, batch_events=20, checkpoint_events=30)
    projector.catch_up()

    async def scenario() -> None:
        relay = Relay(log, database_url, fresh_nats.url)
        async with running(relay), listening(fresh_nats.url) as client:
            await caught_up(log, relay)
            before = await info_of(client)
            heard = await client.subscribe(">")
            await client.flush()
            await asyncio.to_thread(look_back, log, database_url, saga)
            saga.do("main", "op", SetSetting(key="colour", value="loud"))
            saga.append(log)
            first = await heard.next_msg(ANSWER_TIMEOUT_S)
            while first.subject.startswith(WATCHING):
                first = await heard.next_msg(ANSWER_TIMEOUT_S)
            assert first.headers is not None
            assert first.headers[POSITION] == str(log.head())
            await caught_up(log, relay)
            after = await info_of(client)
            assert before is not None
            assert after is not None
            assert after.state.messages == before.state.messages + 1

    asyncio.run(scenario())
