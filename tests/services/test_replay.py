"""Replaying to a point, and telling tables that differ from the log."""

import pytest

from services.audit.verify import Difference, verify
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import connected
from services.projector.tracking import NoReadModels
from services.reading.replay import replay
from tests.services.sample import (
    ALL,
    CODEC,
    HISTORY,
    ITEMS,
    ItemRow,
    Moved,
    Stored,
    append,
    rows_in,
    stores,
)


def test_a_replay_shows_one_project_as_it_was(log: EventLog) -> None:
    append(log, "p", [Stored(item="a", shelf="x")])
    append(log, "q", [Stored(item="a", shelf="z")])
    append(log, "p", [Moved(item="a", shelf="y")])
    shelves = [
        {key: row.shelf for key, row in replay(log, CODEC, [ITEMS], "p", position)["items"].items()}
        for position in range(4)
    ]
    assert shelves == [{}, {("p", "a"): "x"}, {("p", "a"): "x"}, {("p", "a"): "y"}]


def test_a_replay_of_all_projects_holds_each(log: EventLog) -> None:
    append(log, "p", stores(3))
    append(log, "q", stores(2))
    everything = replay(log, CODEC, ALL, None, 5)
    assert {key[0] for key in everything["items"]} == {"p", "q"}
    assert len(everything["history"]) == 5


def test_a_replay_longer_than_a_batch_is_whole(log: EventLog) -> None:
    append(log, "p", stores(12_000))
    assert len(replay(log, CODEC, [HISTORY], "p", 11_000)["history"]) == 11_000


def test_verification_names_the_rows_and_fields_that_differ(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(4))
    Projector(log, CODEC, database_url, ALL).catch_up()
    assert verify(log, CODEC, database_url, ALL) == []
    before = rows_in(database_url, [ITEMS], "p")["items"]
    with connected(database_url) as connection:
        connection.execute("UPDATE coord.items_v1 SET shelf = 'wrong' WHERE item = 'item-0'")
        connection.execute("DELETE FROM coord.items_v1 WHERE item = 'item-1'")
        connection.execute("UPDATE coord.items_v1 SET item = 'ghost' WHERE item = 'item-2'")
    ghost = rows_in(database_url, [ITEMS], "p")["items"]["p", "ghost"]
    assert isinstance(ghost, ItemRow)
    found = sorted(verify(log, CODEC, database_url, ALL), key=lambda each: each.key or ())
    assert found == [
        Difference(projection="items", key=("p", "ghost"), table=ghost),
        Difference(projection="items", key=("p", "item-0"), field="shelf", table="wrong", replayed="shelf-0"),
        Difference(projection="items", key=("p", "item-1"), replayed=before["p", "item-1"]),
        Difference(projection="items", key=("p", "item-2"), replayed=before["p", "item-2"]),
    ]
    assert len(verify(log, CODEC, database_url, ALL, limit=2)) == 2


def test_verification_without_read_models_says_what_to_do(log: EventLog, database_url: str) -> None:
    with pytest.raises(NoReadModels, match="projector"):
        verify(log, CODEC, database_url, ALL)
