"""The projector against a real Postgres: tables hold what the log says, whatever happens meanwhile."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from domain.messages import Recorded
from projections.framework import FoldFailed, Projection, Row, on
from services.audit.verify import verify
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.projector.fold_code import fold_code
from services.projector.folding import Folder, RowCache
from services.projector.projector import Projector
from services.projector.tables import Table, connected
from services.projector.tracking import (
    PROJECTED,
    ProjectionChanged,
    Tracked,
    reached,
    set_up,
)
from services.reading.listing import query
from services.reading.replay import replay
from tests.services.projecting import (
    WAIT_S,
    eventually,
    positions,
    project,
    running,
    select,
    standing,
    thorough,
)
from tests.services.sample import (
    ALL,
    BEGAN,
    CODEC,
    HISTORY,
    ITEMS,
    SHELVES,
    ItemRow,
    Stored,
    append,
    events,
    rows_in,
    stored,
    stores,
)


class Inner(Struct, frozen=True):
    name: str
    at: datetime
    weight: float
    parts: tuple[int, ...] = ()


class WideRow(Row, frozen=True, kw_only=True):
    text: str
    number: int
    at: datetime
    count: int
    ratio: float
    flag: bool
    maybe_text: str | None
    maybe_number: int | None
    maybe_at: datetime | None
    maybe_ratio: float | None
    names: tuple[str, ...]
    inner: Inner | None
    inners: tuple[Inner, ...]
    weights: dict[str, float]
    free: Any
    bag: dict[str, Any] | None


WIDE = Projection(name="wide", version=1, row=WideRow, key=("text", "number", "at"), folds=())

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_numbers = st.integers(-(2**63), 2**63 - 1)
_floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)  # no -0.0
_times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0)) | st.sampled_from(
    [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | _floats | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_inners = st.builds(
    Inner, name=_texts, at=_times, weight=_floats, parts=st.lists(_numbers, max_size=3).map(tuple)
)
_wide_rows = st.builds(
    WideRow,
    project=st.sampled_from(["p", "q"]),
    text=_texts,
    number=_numbers,
    at=_times,
    count=_numbers,
    ratio=_floats,
    flag=st.booleans(),
    maybe_text=st.none() | _texts,
    maybe_number=st.none() | _numbers,
    maybe_at=st.none() | _times,
    maybe_ratio=st.none() | _floats,
    names=st.lists(_texts, max_size=3).map(tuple),
    inner=st.none() | _inners,
    inners=st.lists(_inners, max_size=2).map(tuple),
    weights=st.dictionaries(_texts, _floats, max_size=3),
    free=_json,
    bag=st.none() | st.dictionaries(_texts, _json, max_size=3),
)


def test_a_row_comes_back_from_its_table_exactly_as_it_went(database_url: str) -> None:
    with connected(database_url) as connection:
        set_up(connection, [WIDE])
        table = Table(WIDE, "wide_v1")

        @settings(thorough, max_examples=150)
        @given(st.lists(_wide_rows, min_size=1, max_size=4, unique_by=WIDE.key_of))
        def check(rows: list[WideRow]) -> None:
            keys = [WIDE.key_of(row) for row in rows]
            with connection.transaction(force_rollback=True):
                for since in (1, 2):  # inserted, then replaced
                    table.write(connection, table.pack(rows), since)
                    assert repr(sorted(table.load(connection, keys).items())) == repr(
                        sorted(zip(keys, rows, strict=True))
                    )
                assert sorted(table.scan(connection), key=WIDE.key_of) == sorted(rows, key=WIDE.key_of)

        check()


def test_tables_hold_what_a_replay_gives_at_every_position_they_passed(
    log: EventLog, database_url: str
) -> None:
    names = iter(range(1_000_000))

    @settings(thorough, max_examples=30)
    @given(st.lists(st.lists(events, max_size=12), min_size=1, max_size=5), st.integers(1, 9))
    def check(history: list[list[Any]], batch_events: int) -> None:
        name, seen = f"project-{next(names)}", {}
        for chunk in history:
            append(log, name, chunk)
            project(log, database_url, batch_events=batch_events)
            seen[log.head()] = rows_in(database_url, ALL, name)
        for position, rows in seen.items():
            assert replay(log, CODEC, ALL, name, position) == rows

    check()
    assert verify(log, CODEC, database_url, ALL) == []


@settings(thorough, max_examples=60)
@given(st.lists(events, max_size=40), st.integers(1, 10), st.integers(2, 6))
def test_forgetting_rows_changes_nothing(
    postgres_server: EmbeddedPostgres, happened: list[Any], batch_events: int, limit_rows: int
) -> None:
    history = [
        Recorded(position=n, sequence=n, project="p", actor="a", at=BEGAN, command_id="c", event=event)
        for n, event in enumerate(happened, 1)
    ]
    with (
        connected(postgres_server.url_of("postgres")) as connection,
        connection.transaction(force_rollback=True),
    ):
        table = Table(ITEMS, "items", schema="pg_temp")
        table.create(connection)
        folder = Folder(table, RowCache(limit_rows=limit_rows))
        for start in range(0, len(history), batch_events):
            batch = history[start : start + batch_events]
            folder.write(connection, folder.prepare(connection, ITEMS.touches(batch)), batch[-1].position)
        rows: dict[Any, Any] = {}
        ITEMS.fold_into(rows, ITEMS.touches(history))
        assert {ITEMS.key_of(row): row for row in table.scan(connection)} == rows


def test_a_view_serves_the_rows_and_named_queries_run_on_any_table(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(11))
    project(log, database_url)
    assert select(database_url, "SELECT count(*) FROM coord.items WHERE shelf = 'shelf-3'") == [(2,)]
    with connected(database_url) as connection:
        temporary = Table(ITEMS, "items", schema="pg_temp")
        temporary.create(connection)
        temporary.write(
            connection, temporary.pack(list(replay(log, CODEC, [ITEMS], "p", 5)["items"].values())), 5
        )
        asked = {"project": "p", "shelf": "shelf-3"}
        served = query(connection, ITEMS, "on_shelf", asked)
        assert served == [{"item": "item-10"}, {"item": "item-3"}]
        then = query(connection, ITEMS, "on_shelf", asked, temporary.identifier)
        assert then == [{"item": "item-3"}]


def test_waiting_readers_are_notified_once_the_rows_are_there(log: EventLog, database_url: str) -> None:
    project(log, database_url)
    with psycopg.connect(database_url, autocommit=True) as reader, running(log, database_url):
        reader.execute(f"LISTEN {PROJECTED}")
        (position,) = append(log, "p", [Stored(item="a", shelf="x")])
        deadline = time.monotonic() + WAIT_S
        while positions(database_url) != {position}:
            assert time.monotonic() < deadline
            assert list(reader.notifies(timeout=WAIT_S, stop_after=1))
    assert rows_in(database_url, [ITEMS], "p")["items"].keys() == {("p", "a")}


def test_a_projector_resumes_where_another_stopped(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(50))
    with running(log, database_url, batch_events=5) as projector:
        eventually(lambda: projector.standing.position > 0)
    append(log, "p", stores(50, first=30))
    project(log, database_url)
    assert positions(database_url) == {log.head()}
    assert verify(log, CODEC, database_url, ALL) == []


def test_one_of_two_projectors_has_a_group_and_the_other_takes_it_over(
    log: EventLog, database_url: str
) -> None:
    with ExitStack() as ending_second:
        with running(log, database_url) as first:
            append(log, "p", stores(10))
            eventually(lambda: first.standing.position == 10)
            second = ending_second.enter_context(running(log, database_url))
            append(log, "p", stores(30, first=10))
            eventually(lambda: first.standing.position == 40)
            assert second.standing.position == 0
        append(log, "p", stores(30, first=20))
        eventually(lambda: second.standing.position == log.head())
    assert verify(log, CODEC, database_url, ALL) == []


def test_a_projector_whose_sessions_are_ended_takes_its_groups_again(
    log: EventLog, database_url: str
) -> None:
    with running(log, database_url) as projector:
        append(log, "p", stores(10))
        eventually(lambda: projector.standing.position == 10)
        select(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND pid <> pg_backend_pid()",
        )
        append(log, "p", stores(30, first=5))
        eventually(lambda: positions(database_url) == {log.head()})
    assert verify(log, CODEC, database_url, ALL) == []


def test_projectors_of_overlapping_sets_do_each_event_once(log: EventLog, database_url: str) -> None:
    with (
        running(log, database_url),
        running(log, database_url, [SHELVES, HISTORY], batch_events=7),
        running(log, database_url, [SHELVES], batch_events=3),
    ):
        for n in range(20):
            append(log, "p", stores(40, first=n))
        eventually(lambda: positions(database_url) == {log.head()})
    assert verify(log, CODEC, database_url, ALL) == []


def test_a_projector_outlives_a_restart_of_postgres(data: Path) -> None:
    server = EmbeddedPostgres(data)
    server.start()
    try:
        url = server.url_of("postgres")
        log = EventLog(url)
        log.create_tables()
        with running(log, url) as projector:
            append(log, "p", stores(10))
            eventually(lambda: projector.standing.position == 10)
            server.stop()
            eventually(lambda: projector.standing.trouble is not None)
            server.start()
            eventually(lambda: projector.standing.trouble is None)
            append(log, "p", stores(10, first=5))
            eventually(lambda: projector.standing.position == log.head())
        assert verify(log, CODEC, url, ALL) == []
        log.close()
    finally:
        server.stop()


def test_a_batch_that_fails_changes_neither_rows_nor_position(log: EventLog, database_url: str) -> None:
    def fails_at_last(row: ItemRow | None, event: Stored, recorded: Recorded) -> ItemRow | None:
        if event.item == "item-9":
            raise ValueError("cannot")
        return ITEMS.folds[0].apply(row, recorded, ())  # type: ignore[no-any-return]  # the fold of stored

    failing = Projection(
        name="failing", version=1, row=ItemRow, key=("item",), folds=(on(Stored, fails_at_last),)
    )
    append(log, "p", stores(10))
    with pytest.raises(FoldFailed, match="event Stored at position 10: ValueError: cannot"):
        project(log, database_url, [failing, HISTORY], batch_events=4)
    assert positions(database_url) == {8}
    assert len(rows_in(database_url, [failing], "p")["failing"]) == 8
    with pytest.raises(FoldFailed):
        Projector(log, CODEC, database_url, [failing, HISTORY]).run(Flag())


def test_a_new_projection_catches_up_with_the_others(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(50))
    project(log, database_url, [ITEMS])
    append(log, "p", stores(10))
    project(log, database_url, ALL, batch_events=8)
    assert positions(database_url) == {60}
    assert verify(log, CODEC, database_url, ALL) == []


class NewItemRow(ItemRow, frozen=True, kw_only=True):
    length: int = 0


def renewed(row: NewItemRow | None, event: Stored, recorded: Recorded) -> NewItemRow:
    return NewItemRow(
        project=recorded.project,
        item=event.item,
        shelf=event.shelf,
        changed_at=recorded.at,
        length=len(event.item),
    )


NEW_ITEMS = Projection(name="items", version=2, row=NewItemRow, key=("item",), folds=(on(Stored, renewed),))


def test_a_new_version_is_built_from_the_log_and_swapped_in(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(50))
    project(log, database_url)
    append(log, "p", stores(20, first=45))
    changed = [NEW_ITEMS, SHELVES, HISTORY]
    project(log, database_url, changed)
    assert standing(database_url)["items"] == Tracked(
        name="items", version=2, table_name="items_v2", position=70, code=fold_code()
    )
    assert select(database_url, "SELECT length FROM coord.items WHERE item = 'item-9'") == [(6,)]
    assert select(database_url, "SELECT to_regclass('coord.items_v1')") == [(None,)]
    assert verify(log, CODEC, database_url, changed) == []


def test_rows_that_other_code_folded_are_not_travelled_to_and_built_anew(
    log: EventLog, database_url: str
) -> None:
    append(log, "p", stores(50))
    project(log, database_url)
    with connected(database_url) as connection:
        assert reached(connection, ITEMS) == 50
        connection.execute("UPDATE coord.projections SET code = 'other' WHERE name = 'items'")
        connection.execute("UPDATE coord.items_v1 SET shelf = 'wrong'")
        assert reached(connection, ITEMS) is None
        project(log, database_url)
        assert reached(connection, ITEMS) == 50
    assert standing(database_url)["items"].table_name == "items_v1_2"
    assert verify(log, CODEC, database_url, ALL) == []


def test_code_of_another_version_leaves_the_table_alone(log: EventLog, database_url: str) -> None:
    append(log, "p", stores(10))
    with running(log, database_url) as old:
        eventually(lambda: old.standing.position == 10)
        project(log, database_url, [NEW_ITEMS])
        append(log, "p", stores(10, first=10))
        eventually(lambda: standing(database_url)["shelves"].position == 20)
        assert standing(database_url)["items"].position == 10
        project(log, database_url, [NEW_ITEMS])
    assert verify(log, CODEC, database_url, [NEW_ITEMS, SHELVES, HISTORY]) == []


def test_a_changed_row_needs_a_new_version(log: EventLog, database_url: str) -> None:
    project(log, database_url)
    forgotten = Projection(name="items", version=1, row=NewItemRow, key=("item",), folds=())
    with pytest.raises(ProjectionChanged, match="items"):
        project(log, database_url, [forgotten])


def test_a_row_that_did_not_change_is_not_written_again(log: EventLog, database_url: str) -> None:
    def first_stored(row: ItemRow | None, event: Stored, recorded: Recorded) -> ItemRow:
        return row or stored(row, event, recorded)

    firsts = Projection(
        name="firsts", version=1, row=ItemRow, key=("item",), folds=(on(Stored, first_stored),)
    )
    append(log, "p", stores(3))
    project(log, database_url, [firsts])
    written = select(database_url, "SELECT xmin, item FROM coord.firsts_v1 ORDER BY item")
    append(log, "p", stores(4))
    project(log, database_url, [firsts])
    now = select(database_url, "SELECT xmin, item FROM coord.firsts_v1 ORDER BY item")
    assert now[:3] == written
    assert len(now) == 4


def test_rows_used_lately_are_remembered_and_older_ones_forgotten() -> None:
    rows = {("p", n): ItemRow(project="p", item=str(n), shelf="x", changed_at=BEGAN) for n in range(100)}
    cache: RowCache[ItemRow] = RowCache(limit_rows=20, limit_bytes=10_000)
    for key, row in rows.items():
        cache.keep({key: row}, 10)
    found = cache.find(rows)
    assert ("p", 99) in found
    assert 10 <= len(found) <= 22
    cache.keep({("q", 1): rows["p", 1]}, 6_000)
    cache.keep({("q", 2): rows["p", 2]}, 6_000)
    assert cache.find(rows) == {}
