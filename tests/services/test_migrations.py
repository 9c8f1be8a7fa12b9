"""Schemas of the log: brought up in order and once, whoever starts first, and never by an older program."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from services.log.codec import Row
from services.log.database import connect
from services.log.event_log import EventLog
from services.log.migrations import MIGRATIONS, DataNewer, Migration, applied, migrate, missing
from services.log.migrations.runner import Connection
from tests.services.conftest import opened_log
from tests.services.sample import append, stores

RELEASED = Path(__file__).parent.parent / "data" / "migrations.json"
SECOND = Migration(
    number=2,
    name="notes",
    statements=(
        "CREATE TABLE coord.notes (note text)",  # it would fail the second time
        "INSERT INTO coord.notes VALUES ('made')",
    ),
)
THIRD = Migration(
    number=3,
    name="answers",
    statements=(
        "INSERT INTO coord.notes VALUES ('third')",
        "CREATE OR REPLACE FUNCTION coord.answer() RETURNS int LANGUAGE sql AS 'SELECT 3'",
    ),
)
BROKEN = Migration(
    number=4,
    name="broken",
    statements=("INSERT INTO coord.notes VALUES ('fourth')", "SELECT nonsense"),
)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as connection:
        yield connection


def numbers(connection: Connection) -> list[int]:
    return [each.number for each in applied(connection)]


def notes(connection: Connection) -> list[str]:
    return [note for (note,) in connection.execute("SELECT note FROM coord.notes")]


def rows(log: EventLog) -> Sequence[Row]:
    return log.read(0, 1_000)


def test_an_empty_database_gets_everything_and_the_next_start_nothing(connection: Connection) -> None:
    assert (applied(connection), missing(connection, MIGRATIONS)) == ([], [*MIGRATIONS])
    assert migrate(connection, MIGRATIONS) == [*MIGRATIONS]
    assert numbers(connection) == [each.number for each in MIGRATIONS]
    assert migrate(connection, MIGRATIONS) == []


def test_a_database_of_before_there_were_migrations_is_adopted_as_it_is(
    connection: Connection, database_url: str
) -> None:
    for statement in MIGRATIONS[0].statements:
        connection.execute(statement)
    with opened_log(database_url) as log:
        before = append(log, "p", stores(5)), rows(log)
        connection.execute("DROP TABLE coord.migrations")
        log.create_tables()
        assert numbers(connection)[:1] == [1]
        assert ([row[0] for row in before[1]], rows(log)) == (before[0], before[1])
        assert append(log, "p", stores(1)) == [6]


def test_what_is_missing_is_applied_in_order_and_once_by_many_that_start_at_once(
    connection: Connection, database_url: str
) -> None:
    migrate(connection, MIGRATIONS[:1])

    def start(_: int) -> list[Migration]:
        with connect(database_url) as own:
            return migrate(own, (MIGRATIONS[0], SECOND, THIRD))

    with ThreadPoolExecutor(4) as threads:
        done = [each for found in threads.map(start, range(4)) for each in found]
    assert sorted(each.number for each in done) == [2, 3]
    assert (numbers(connection), notes(connection)) == ([1, 2, 3], ["made", "third"])


def test_a_migration_that_fails_leaves_nothing_and_those_before_it_stay(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn):
        migrate(connection, (MIGRATIONS[0], SECOND, THIRD, BROKEN))
    assert (numbers(connection), notes(connection)) == ([1, 2, 3], ["made", "third"])


def test_data_that_are_newer_than_the_program_are_refused_and_left_alone(
    connection: Connection, database_url: str
) -> None:
    with opened_log(database_url) as log:
        append(log, "p", stores(2))
        migrate(connection, (MIGRATIONS[0], SECOND))
        connection.execute("UPDATE coord.migrations SET number = 99, coordctl = '9.9' WHERE number = 2")
        with pytest.raises(DataNewer, match=r"schema 99.* run coordctl 9\.9 or a later one") as refused:
            log.create_tables()
        assert not refused.value.retryable
        assert numbers(connection) == [1, 99]
        assert len(rows(log)) == 2


def test_migrations_are_numbered_from_one_and_stay_as_they_were_released() -> None:
    """A new one is added to the file; one that is in it already must not change."""
    found = {
        str(each.number): hashlib.sha256("\0".join((each.name, *each.statements)).encode()).hexdigest()
        for each in MIGRATIONS
    }
    assert [*found] == [str(number) for number in range(1, len(MIGRATIONS) + 1)]
    assert found == json.loads(RELEASED.read_text())
