"""Rows that are in a table already: only what changed of them is sent, and nothing of it is lost."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from domain.messages import Data, Event, Recorded
from projections.framework import Projection, Row, on
from services.embedded import EmbeddedPostgres
from services.projector.tables import Connection, RowsMissing, Table, connected


class NoteRow(Row, frozen=True, kw_only=True):
    note: str
    text: str = ""
    value: Data = None
    percent: int | None = None
    tags: tuple[str, ...] = ()


def _unused(row: NoteRow | None, _: Event, __: Recorded) -> NoteRow | None:
    return row


NOTES = Projection(
    name="notes",
    version=1,
    row=NoteRow,
    key=("note",),
    folds=(on(Event, _unused, key=lambda _, recorded: recorded.command_id),),
)
FIRST = NoteRow(project="p", note="a", text='it\'s "one"', value=1, percent=5, tags=("x", "y"))
SECOND = NoteRow(project="p", note="b", text="two", value={"z": 1, "a": 2.0})


@pytest.fixture
def connection(postgres_server: EmbeddedPostgres) -> Iterator[Connection]:
    with (
        connected(postgres_server.url_of("postgres")) as opened,
        opened.transaction(force_rollback=True),
    ):
        yield opened


@pytest.fixture
def table(connection: Connection) -> Table[NoteRow]:
    made = Table(NOTES, "notes", schema="pg_temp")
    made.create(connection)
    made.write(connection, made.pack([FIRST, SECOND]), 1)
    return made


def rows(connection: Connection, table: Table[NoteRow]) -> list[NoteRow]:
    return sorted(table.scan(connection), key=NOTES.key_of)


def test_what_changed_is_written_and_the_rest_stays(connection: Connection, table: Table[NoteRow]) -> None:
    first = replace(FIRST, value=True, percent=None)
    second = replace(SECOND, text="zwei", tags=("ä",))
    packed = table.pack([], [(FIRST, first), (SECOND, second)])
    assert packed.update.columns == ("text", "value", "percent", "tags")
    table.write(connection, packed, 2)
    assert repr(rows(connection, table)) == repr([first, second])  # 1 is not True


def test_a_row_that_lost_what_it_says_is_not_passed_over(
    connection: Connection, table: Table[NoteRow]
) -> None:
    missing = replace(FIRST, note="c")
    with pytest.raises(RowsMissing):
        table.write(connection, table.pack([], [(missing, replace(missing, text="three"))]), 2)


def test_rows_kept_are_found_at_the_marks_in_their_spans(
    connection: Connection, table: Table[NoteRow]
) -> None:
    key = NOTES.key_of(FIRST)
    spans = ((1, 2), (2, 3), (3, 7), (7, 8), (8, 1_000_000))
    for since, until in spans:
        table.keep(connection, [key], mark=since, until=until)
        table.write(connection, table.pack([replace(FIRST, percent=until)], replacing=True), until)
    for at in (0, 1, 2, 3, 6, 7, 8, 511, 512, 999_999, 1_000_000):
        found = connection.execute(f"SELECT _since FROM {table.kept_at('p', at).as_string()} kept").fetchall()
        assert found == [(since,) for since, until in spans if since <= at < until]
