"""Backups: everything in one file and back at its place, and no damage that is not noticed."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.messages import Context
from projections.catalog import PROJECTIONS
from services.audit.audit import audit_log
from services.audit.verify import verify
from services.backup.blocks import BadBackup, BlockWriter, read_blocks
from services.backup.contents import EVENTS, HEADER, PROJECTS, BrokenLog, Header
from services.backup.reading import BackupReader, check_backup
from services.backup.restoring import NotEmpty, restore_backup
from services.backup.writing import Backup, write_backup
from services.embedded import EmbeddedPostgres
from services.log.codec import Codec
from services.log.database import LogMissing
from services.log.event_log import EventLog, LogConflict
from services.log.migrations import DataNewer
from services.log.transfer import Advance
from services.projector.projector import Projector
from services.sharing.leadership import Leadership
from tests.conftest import temporary_database
from tests.services import running
from tests.services.conftest import opened_log
from tests.services.sample import ALL, CODEC, Moved, Stored, append, rows_in, stores
from tests.services.stage import Stage, everything

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def empty_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """Another empty database."""
    with temporary_database(postgres_server) as url:
        yield url


def written(log: EventLog, codec: Codec = CODEC) -> tuple[bytes, Backup]:
    file = io.BytesIO()
    made = write_backup(log.url, codec, file, NOW, lambda _: lambda _: None)
    return file.getvalue(), made


def checked(content: bytes, codec: Codec = CODEC) -> Backup:
    return check_backup(io.BytesIO(content), "file", codec, lambda _: lambda _: None)


def restored(content: bytes, url: str, codec: Codec = CODEC) -> Backup:
    reader = BackupReader(io.BytesIO(content), "file", codec)
    return restore_backup(url, reader, lambda _: lambda _: None)


def all_rows(log: EventLog) -> list[Any]:
    return log.read(0, 1_000_000)


def small_backup(log: EventLog) -> bytes:
    append(log, "p", stores(20))
    append(log, "q", [Stored(item="ä", shelf="x", label={"a": 1.5e300, "b": "\u2028"}), *stores(5)])
    append(log, "p", [Moved(item="item-3", shelf="y")])
    return written(log)[0]


def remade(content: bytes, change: Callable[[bytes, list[bytes]], list[bytes]]) -> bytes:
    """The file with other lines, sealed as if it had been written so."""
    file = io.BytesIO()
    writer = BlockWriter(file)
    for block in read_blocks(io.BytesIO(content), "file"):
        for line in change(block.kind, block.lines.split(b"\n")):
            writer.add(block.kind, line)
    writer._close()
    return file.getvalue()


def test_a_restored_log_is_the_log_and_its_read_models_are_the_same(
    log: EventLog, database_url: str, empty_url: str
) -> None:
    stage = Stage(log, database_url)
    everything(stage)
    stage.project()
    content, made = written(log, running.CODEC)
    assert checked(content, running.CODEC) == made
    assert restored(content, empty_url, running.CODEC) == made
    with opened_log(empty_url) as there:
        assert all_rows(there) == all_rows(log)
        assert {each.project for each in made.projects} == {"main", "side", "plain", "deep"}
        for each in made.projects:
            for either in (log, there):
                found = audit_log(either, running.CODEC, each.project, lambda _: None)
                assert (found.events, found.hash) == (each.sequence, each.hash)
        Projector(there, running.CODEC, empty_url, PROJECTIONS).catch_up()
        assert verify(there, running.CODEC, empty_url, PROJECTIONS) == []
        for each in made.projects:
            before = rows_in(database_url, PROJECTIONS, each.project)
            assert rows_in(empty_url, PROJECTIONS, each.project) == before
    forks = {each.project: each.events for each in made.projects}
    assert sum(forks.values()) == made.events == len(all_rows(log))
    assert forks["deep"] < next(each.sequence for each in made.projects if each.project == "deep")


def test_positions_keep_their_holes_and_go_on_after_the_last(log: EventLog, empty_url: str) -> None:
    append(log, "p", stores(3))
    for _ in range(2):
        with pytest.raises(LogConflict):
            log.append([CODEC.encode(Moved(item="a", shelf="b"), _context(), 1)])
    append(log, "p", stores(2))
    content, made = written(log)
    restored(content, empty_url)
    with opened_log(empty_url) as there:
        assert [row[0] for row in all_rows(there)] == [1, 2, 3, 6, 7]
        assert made.header.head == 7
        assert append(there, "p", stores(1)) == [8]


def test_an_empty_log_can_be_kept_too(log: EventLog, empty_url: str) -> None:
    content, made = written(log)
    assert (made.events, made.projects, made.header.head) == (0, [], 0)
    assert restored(content, empty_url) == checked(content) == made
    with opened_log(empty_url) as there:
        assert append(there, "p", stores(1)) == [1]


def test_a_backup_is_of_one_moment_while_the_log_grows(log: EventLog) -> None:
    append(log, "p", stores(9_000))
    file = io.BytesIO()
    told: list[int] = []

    def advance(positions: int) -> None:
        told.append(positions)
        append(log, "p", stores(1))
        append(log, f"new-{len(told)}", stores(1))

    def begun(header: Header) -> Advance:
        append(log, "p", stores(1))
        return advance

    made = write_backup(log.url, CODEC, file, NOW, begun)
    assert (made.events, made.header.head, sum(told)) == (9_000, 9_000, 9_000)
    assert len(told) == 3
    assert log.head() == 9_007
    assert checked(file.getvalue()) == made
    assert [*json.loads(_lines(file.getvalue(), EVENTS)[0])] == [
        "position", "project", "sequence", "topic", "body",
    ]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_byte_is_changed_or_lost_the_file_is_refused(small: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(small) - 1))
    changed = bytearray(small)
    match data.draw(st.sampled_from(["flip", "cut", "lose", "add"])):
        case "flip":
            changed[place] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del changed[place:]
        case "lose":
            del changed[place : place + data.draw(st.integers(1, 200))]
        case _:
            changed[place:place] = b"\0"
    with pytest.raises(BadBackup) as refused:
        checked(bytes(changed))
    assert str(refused.value).startswith("file is no whole backup: ")


@pytest.fixture
def small(log: EventLog) -> bytes:
    return small_backup(log)


def test_damage_is_told_with_its_place(small: bytes) -> None:
    for content, why in {
        b"": "does not begin as a backup",
        b"coordctl backup 7\n": "of the format '7', and this coordctl reads the format '1'",
        small[:-1]: "was cut off: it ends within block 4",
        small[:60]: "was cut off: it ends within block 1",
        small + b"\n": "something follows its end, which is at byte",
        small[:30] + b"?" + small[31:]: "block 1, which begins at byte 18, is not as it was written",
    }.items():
        with pytest.raises(BadBackup, match=why):
            checked(content)


def _without(number: int) -> Callable[[bytes, list[bytes]], list[bytes]]:
    return lambda kind, lines: lines[:number] + lines[number + 1 :] if kind == EVENTS else lines


def _swapped(kind: bytes, lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]] if kind == EVENTS else lines


def _said(kind: bytes, before: bytes, after: bytes) -> Callable[[bytes, list[bytes]], list[bytes]]:
    return lambda found, lines: [line.replace(before, after) for line in lines] if found == kind else lines


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without(4), "in project p, #5 is missing: after #4 comes #6"),
        (_without(26), "what it says of project p is not what it holds of it"),
        (_swapped, "in project p, #1 is missing: the first event is #2"),
        (_said(EVENTS, b'"position":3,', b'"position":9,'), "position 4 comes after position 9"),
        (_said(EVENTS, b"item-3", b"item-x"), "what it says of project p is not what it holds"),
        (_said(EVENTS, b"item.moved@1", b"item.flew@1"), "an event that this coordctl does not know"),
        (_said(EVENTS, b"item.moved@1", b"item.moved@2"), "an event that this coordctl does not know"),
        (_said(EVENTS, b'{"position":5,', b'{"position":,'), "does not say what it should"),
        (_said(PROJECTS, b'"events":6', b'"events":7'), "what it says of project q"),
        (_said(HEADER, b'"head":27', b'"head":28'), "it ends at position 27, and not at 28"),
        (_said(b"z", b'"events":27', b'"events":28'), "counts otherwise"),
        (lambda kind, lines: [] if kind == HEADER else lines, "is not its header"),
        (lambda kind, lines: [] if kind == b"z" else lines, "was cut off"),
    ],
)
def test_what_no_log_could_hold_is_refused_though_its_hashes_are_right(
    small: bytes, change: Callable[[bytes, list[bytes]], list[bytes]], why: str
) -> None:
    with pytest.raises(BadBackup, match=why):
        checked(remade(small, change))


def test_a_block_of_an_endless_size_takes_no_memory() -> None:
    file = io.BytesIO()
    writer = BlockWriter(file)
    writer.add(HEADER, b"\0" * (65 * 2**20))
    writer._close()
    assert file.tell() < 2**20
    with pytest.raises(BadBackup, match="unpacks to too much"):
        checked(file.getvalue())


def test_a_backup_of_a_newer_schema_is_refused(small: bytes) -> None:
    newer = remade(small, _said(HEADER, b'"schema":', b'"schema":9'))
    with pytest.raises(DataNewer, match="have schema 9"):
        checked(newer)


def test_a_damaged_file_restores_nothing(small: bytes, empty_url: str) -> None:
    changed = bytearray(small)
    changed[-100] ^= 1  # the events are read by then
    with pytest.raises(BadBackup):
        restored(bytes(changed), empty_url)
    with opened_log(empty_url) as there:
        assert all_rows(there) == []
        restored(small, empty_url)
        assert len(all_rows(there)) == 27


def test_only_an_empty_place_is_filled(log: EventLog, small: bytes, empty_url: str) -> None:
    before = all_rows(log)
    with pytest.raises(NotEmpty, match="a log with events"):
        restored(small, log.url)
    assert all_rows(log) == before
    with opened_log(empty_url) as there:
        append(there, "p", stores(1))
        Projector(there, CODEC, empty_url, ALL).catch_up()
        with psycopg.connect(empty_url) as connection:
            connection.execute("TRUNCATE coord.events")
        with pytest.raises(NotEmpty, match="of another log"):
            restored(small, empty_url)


def test_who_leads_begins_anew_with_the_restored_log(small: bytes, empty_url: str) -> None:
    leader, other = Leadership(empty_url, "coord.leader"), Leadership(empty_url, "coord.leader")
    assert leader.acquire(1.0)
    restored(small, empty_url)
    assert not leader.is_held()
    assert other.acquire(5.0)
    other.release()


def test_a_damaged_log_is_told_and_makes_no_backup(log: EventLog, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP SCHEMA coord CASCADE")
    with pytest.raises(LogMissing):
        written(log)
    log.create_tables()
    append(log, "p", stores(9))
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM coord.events WHERE originator_version = 4")
    with pytest.raises(BrokenLog, match=r"in project p, #4 is missing: after #3 comes #5, at position 5\."):
        written(log)


def _lines(content: bytes, kind: bytes) -> list[bytes]:
    blocks = [block for block in read_blocks(io.BytesIO(content), "file") if block.kind == kind]
    return [line for block in blocks for line in block.lines.split(b"\n")]


def _context() -> Context:
    return Context(project="p", actor="tester", at=NOW, command_id="again")
