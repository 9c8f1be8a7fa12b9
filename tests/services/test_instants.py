"""The benchmark of time travel times only answers that are right."""

from collections.abc import Iterator
from random import Random

import pytest
from msgspec.structs import replace

from projections.catalog import PROJECTIONS, VIEWS
from services.bench.history import make_history
from services.bench.instants import THINGS, AnswersDiffer, Traveller
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import Connection, connected
from tests.services.running import CODEC

EVENTS = 6_000


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connected(database_url) as connection:
        yield connection


@pytest.fixture
def traveller(database_url: str, connection: Connection) -> Iterator[Traveller]:
    log = EventLog(database_url)
    log.create_tables()
    make_history(log, CODEC, "long", EVENTS)
    Projector(log, CODEC, database_url, PROJECTIONS).catch_up()
    yield Traveller(log, CODEC, connection, "long", Random(1))
    log.close()


def test_what_is_asked_for_was_there(traveller: Traveller) -> None:
    asks = traveller.entities(3)
    assert [ask.view for ask in asks] == [view for view in THINGS for _ in range(3)]
    for ask in asks:
        items = traveller.travel(ask).items
        assert len(items) == 1
        assert ask.entity in items[0].values()
        traveller.check(ask, items, traveller.replay(ask).items)


def test_every_view_is_asked_for_and_another_answer_than_a_replays_is_not_accepted(
    traveller: Traveller, connection: Connection
) -> None:
    asks = traveller.views(5)
    assert [ask.view for ask in asks] == [*VIEWS] * 5
    latest = max(ask.moment for ask in asks)
    ask = replace(next(ask for ask in asks if ask.view == "personas"), moment=latest)
    right = traveller.replay(ask).items
    traveller.check(ask, traveller.travel(ask).items, right)
    connection.execute("UPDATE coord.personas SET definition = 'never said'")
    with pytest.raises(AnswersDiffer):
        traveller.check(ask, traveller.travel(ask).items, right)
