"""SQL at a point answers what a replay would, and leads nowhere else."""

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from projections.catalog import PROJECTIONS
from projections.queue import QUEUE
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import Connection, connected
from services.reading.replay import replay
from services.reading.sql import Answer, BadSql, NoReader, SqlTimedOut, ask
from services.reading.travel import Travel
from tests.services.branches import branched
from tests.services.running import CODEC


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database with two projects, main and side; nothing here changes it."""
    with connected(postgres_server.url_of("postgres")) as connection:
        connection.execute("CREATE DATABASE asked")
    url = postgres_server.url_of("asked")
    log = EventLog(url)
    log.create_tables()
    branched(log)
    Projector(log, CODEC, url, PROJECTIONS, batch_events=9, checkpoint_events=15).catch_up()
    log.close()
    yield url
    with connected(postgres_server.url_of("postgres")) as connection:
        connection.execute("DROP DATABASE asked WITH (FORCE)")


@pytest.fixture
def log(url: str) -> Iterator[EventLog]:
    log = EventLog(url)
    yield log
    log.close()


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connected(url) as connection:
        yield connection


class Desk:
    """Asks as people do, at the end of the log unless another position is named."""

    def __init__(self, log: EventLog, connection: Connection) -> None:
        self.log = log
        self.connection = connection

    def __call__(self, statement: str, position: int | None = None, **bounds: Any) -> Answer:
        at = self.log.head() if position is None else position
        travel = Travel(self.log, CODEC, self.connection)
        return ask(self.connection, travel, "main", at, statement, **bounds)

    def refused(self, statement: str) -> str:
        with pytest.raises(BadSql) as refusal:
            self(statement)
        return str(refusal.value)


@pytest.fixture
def desk(log: EventLog, connection: Connection) -> Desk:
    return Desk(log, connection)


def test_every_read_model_is_what_it_was(desk: Desk, log: EventLog) -> None:
    for position in (0, 1, 14, 15, 16, 30, 49, log.head()):
        held = replay(log, CODEC, PROJECTIONS, "main", position)
        for each in PROJECTIONS:
            columns = ", ".join(f'"{name}"' for name in each.row.__struct_fields__)
            answer = desk(f"SELECT {columns} FROM {each.name}", position)
            assert answer.columns == [*each.row.__struct_fields__] or not held[each.name]
            found = [
                msgspec.convert(dict(zip(answer.columns, row, strict=True)), each.row) for row in answer.rows
            ]
            assert {each.key_of(row): row for row in found} == held[each.name], (each.name, position)


def test_statements_of_all_kinds_are_answered(desk: Desk) -> None:
    (count,) = desk("select count(*) from queue").rows
    assert desk("WITH q AS (SELECT * FROM Queue) SELECT count(*) FROM q;").rows == [count]
    assert len(desk("TABLE queue").rows) == count[0]
    assert desk("-- some\n/* of */ (values (1, null), (2, 'x'))").rows == [[1, None], [2, "x"]]
    assert desk("EXPLAIN SELECT 1").columns == ["QUERY PLAN"]
    joined = desk(
        "select q.task, a.agent, a.project, q.project from queue q join agents a on a.agent = q.holder"
    )
    assert joined.columns == ["task", "agent", "project", "project_2"]
    assert desk("select * from queue where task = 'none'") == Answer(columns=(), rows=[], more=False)


def test_an_answer_has_bounds(desk: Desk) -> None:
    answer = desk("select n from generate_series(1, 1000000) n", limit_rows=3)
    assert (answer.rows, answer.more) == ([[1], [2], [3]], True)
    assert not desk("select n from generate_series(1, 3) n", limit_rows=3).more
    with pytest.raises(SqlTimedOut):
        desk("select pg_sleep(60)", timeout_s=0.05)
    with pytest.raises(SqlTimedOut):
        desk("select set_config('statement_timeout', '0', true), pg_sleep(60)", timeout_s=0.05)
    assert "too large" in desk.refused("select repeat('x', 1000000) from generate_series(1, 1000)")


def test_what_is_wrong_is_said_with_its_hint(desk: Desk) -> None:
    assert 'column "titel" does not exist' in desk.refused("select titel from queue")
    assert "queue.title" in desk.refused("select titel from queue")
    assert "the read models are agents, queue" in desk.refused("select * from tasks")
    assert "syntax error" in desk.refused("select from where")
    assert "begins with no word" in desk.refused(" ")
    with pytest.raises(BadSql) as refusal:
        desk("select 1 +")
    assert refusal.value.facts["at"]


WRITES = (
    "delete from queue",
    "with gone as (delete from queue returning *) select * from gone",
    "with new as (insert into queue_changed select * from queue returning *) select * from new",
    "explain analyze delete from queue",
    "select * into mine from queue",
    "create table mine (x int)",
    "select 1; drop table coord.events",
    "select 1; commit; select 1",
    "copy (select 1) to program 'touch /tmp/x'",
    "do $$ begin end $$",
    "begin",
    "set role none",
    "set transaction read write",
    "reset role",
    "commit",
)

LEAVES = (
    "select set_config('role', 'none', false)",
    "select set_config('role', 'postgres', true)",
    "select set_config('session_authorization', 'postgres', false)",
    "select set_config('transaction_read_only', 'off', true)",
    "select set_config('session_replication_role', 'replica', true)",
)

ELSEWHERE = (
    "select * from coord.queue",
    "select * from coord.queue_v1",
    "select * from coord.events",
    "select * from coord.projections",
    "select * from pg_temp.queue_changed",
    "select coord.append_events('{}', '{}', '{}', '{}')",
    "select pg_read_file('/etc/passwd')",
    "select * from pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "select * from pg_authid",
    "select * from pg_stat_file('/etc/passwd')",
    "select pg_reload_conf()",
    "select query_to_xml('select * from coord.events', true, true, '')",
    "select query_to_xml('delete from queue', true, true, '')",
    "select pg_temp.coord_answer('select state::text from coord.events', 9, 999999)",
    "select * from dblink('', 'select 1') as t (x int)",
)


@pytest.mark.parametrize("statement", [*WRITES, *LEAVES, *ELSEWHERE])
def test_there_is_no_way_out(desk: Desk, statement: str) -> None:
    desk.refused(f"{statement} -- queue")


def test_a_role_gained_on_the_way_would_open_no_door(desk: Desk) -> None:
    secret = "query_to_xml('select project from coord.activity', true, true, '')"
    assert "role" in desk.refused(f"select set_config('role', 'postgres', true), {secret}")
    assert "role" in desk.refused(
        f"with gained as materialized (select set_config('role', 'none', false)) select {secret} from gained"
    )


def test_rows_of_other_projects_cannot_be_guessed_from_errors(desk: Desk) -> None:
    told = "select count(*) from queue where 1 / (case when project = 'main' then 1 else 0 end) = 1"
    assert desk(told).rows[0][0] > 0


def test_nothing_stays(desk: Desk, connection: Connection) -> None:
    state = (
        "select (select array_agg(rolname order by 1) from pg_roles), (select count(*) from pg_class),"
        " (select count(*) from pg_proc), current_user, current_setting('transaction_read_only'),"
        " (select count(*) from pg_largeobject_metadata)"
    )
    before = connection.execute(state).fetchone()
    desk("select task from queue limit 1")
    desk("explain analyze create table mine as select * from queue")
    desk.refused("select lo_from_bytea(0, 'x')")
    desk.refused("select nothing from agents")
    assert connection.execute(state).fetchone() == before


def test_an_account_that_may_make_no_role_uses_one_that_is_there(log: EventLog, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE plain LOGIN")
        owner.execute("GRANT USAGE ON SCHEMA coord TO plain")
        owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA coord TO plain")
        try:
            with connected(psycopg.conninfo.make_conninfo(url, user="plain")) as connection:
                desk = Desk(log, connection)
                with pytest.raises(NoReader, match="CREATE ROLE coord_reader NOLOGIN"):
                    desk("select 1")
                owner.execute("CREATE ROLE coord_reader NOLOGIN")
                owner.execute("GRANT coord_reader TO plain")
                assert len(desk("select task from queue").rows) == len(
                    replay(log, CODEC, [QUEUE], "main", log.head())["queue"]
                )
                desk.refused("select * from coord.queue")
        finally:
            owner.execute("DROP ROLE IF EXISTS coord_reader")
            owner.execute("DROP OWNED BY plain")
            owner.execute("DROP ROLE plain")
