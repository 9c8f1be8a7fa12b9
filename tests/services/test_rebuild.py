"""Rebuilds against a real Postgres: beside readers and busy projectors, and exact in the end."""

from threading import Event as Flag
from threading import Thread
from typing import Any

import psycopg
import pytest

from services.audit.verify import verify
from services.log.event_log import EventLog
from services.projector.checkpoints import cut
from services.projector.folding import Folder
from services.projector.rebuild import Progress, RebuildBlocked, RebuildRunning, rebuild
from services.projector.tables import Table, connected
from services.projector.tracking import (
    advance,
    tracked,
)
from services.reading.replay import replay
from services.reading.travel import Travel
from tests.services.projecting import WAIT_S, eventually, project, running, select, standing, writing
from tests.services.sample import (
    ALL,
    CODEC,
    ITEMS,
    SHELVES,
    append,
    stores,
)


def test_a_rebuild_beside_a_busy_projector_ends_with_exact_rows(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(300))
    project(log, database_url)
    seen: list[Progress] = []
    with running(log, database_url, batch_events=10), writing(log):
        for _ in range(3):
            for projection in ALL:
                assert rebuild(log, CODEC, database_url, [projection], progress=seen.append, batch_events=40)
    project(log, database_url)
    assert verify(log, CODEC, database_url, ALL) == []
    assert standing(database_url)["items"].table_name == "items_v1_2"
    assert all(progress.position <= progress.target for progress in seen)
    tables = select(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'coord'")
    assert tables == [(2 * len(ALL) + 5,)]  # the log, its migrations, the tracking table, checkpoints, layers


def test_a_rebuild_that_is_stopped_leaves_the_old_table_in_place(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(50))
    project(log, database_url)
    before, stop = standing(database_url), Flag()

    def stop_now(_: Progress) -> None:
        stop.set()

    assert not rebuild(log, CODEC, database_url, [ITEMS], progress=stop_now, stop=stop, batch_events=10)
    assert standing(database_url) == before
    assert select(database_url, "SELECT to_regclass('coord.items_v1_2')") == [(None,)]
    assert verify(log, CODEC, database_url, ALL) == []


def test_only_one_rebuild_of_a_projection_runs(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(5))
    project(log, database_url)

    def rebuild_again(_: Progress) -> None:
        with pytest.raises(RebuildRunning, match="items"):
            rebuild(log, CODEC, database_url, [ITEMS])

    assert rebuild(log, CODEC, database_url, [ITEMS], progress=rebuild_again)


def test_a_rebuild_gives_way_to_readers_that_hold_on_to_the_old_table(
    log: EventLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.projector.rebuild._SWAP_ATTEMPTS", 1)
    append(log, "p", stores(5))
    project(log, database_url)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT * FROM coord.items")
        append(log, "p", stores(5))
        with pytest.raises(RebuildBlocked, match="items"):
            rebuild(log, CODEC, database_url, [ITEMS])
        project(log, database_url)
    assert verify(log, CODEC, database_url, ALL) == []
    assert rebuild(log, CODEC, database_url, [ITEMS])


def test_a_rebuild_that_had_to_try_again_for_readers_ends_with_exact_rows(
    log: EventLog, database_url: str
) -> None:
    def waits(mode: str) -> list[Any]:
        return select(
            database_url, f"SELECT waitstart FROM pg_locks WHERE mode = '{mode}' AND waitstart IS NOT NULL"
        )

    append(log, "p", stores(5))
    project(log, database_url)
    with connected(database_url) as connection:
        cut(connection, ALL)
    rebuilding = Thread(target=rebuild, args=(log, CODEC, database_url, [SHELVES]))
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT * FROM coord.shelves")
        with connected(database_url) as projector, projector.transaction():
            tracked(projector, ["shelves"], lock=True)
            rebuilding.start()
            eventually(lambda: waits("ShareLock") != [])  # for the tracking row
            append(log, "p", stores(5, first=3))
            batch = [CODEC.decode(row) for row in log.read(5, 10)]
            folder = Folder(Table(SHELVES, "shelves_v1"))
            folder.write(projector, folder.prepare(projector, SHELVES.touches(batch)), 10)
            advance(projector, ["shelves"], 10)
        eventually(lambda: waits("AccessExclusiveLock") != [])
        first_wait = waits("AccessExclusiveLock")
        eventually(lambda: waits("AccessExclusiveLock") not in ([], first_wait))
    rebuilding.join(WAIT_S)
    assert standing(database_url)["shelves"].table_name == "shelves_v1_2"
    project(log, database_url)
    assert verify(log, CODEC, database_url, ALL) == []
    with connected(database_url) as connection:
        past = Travel(log, CODEC, connection).rows(SHELVES, "p", 5)
    assert past == replay(log, CODEC, [SHELVES], "p", 5)["shelves"]
