"""A project's log out of one database and into another: whole, damaged in every way, cut short, resumed."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # nor for this part
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import UnknownProject
from services.errors import BadName
from services.log import transfer
from services.log.chain import BrokenHistory
from services.log.codec import Codec
from services.log.event_log import EventLog, LogConflict
from services.log.logfile import BadLogFile, End, Format, ParquetMissing, opened, replacing, writer_of
from services.log.transfer import (
    ImportCutShort,
    Imported,
    NothingToExport,
    ProjectDiffers,
    export_log,
    header_of,
    import_log,
    verified,
)
from tests.services.sample import CODEC, Moved, Stored, append, events, stores

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
both_formats = pytest.mark.parametrize("kind", FORMATS)


def exported(
    log: EventLog,
    project: str,
    path: Path,
    kind: Format = "jsonl",
    until: int | None = None,
    codec: Codec = CODEC,
) -> End:
    header = header_of(log, project, log.head() if until is None else until, NOW)
    with replacing(path) as file:
        return export_log(log, codec, header, writer_of(kind), file, lambda _: None)


def imported(log: EventLog, path: Path, project: str, codec: Codec = CODEC) -> Imported:
    with opened(path) as file:
        return import_log(log, codec, file, project, lambda _: None, lambda _: None)


def contents(log: EventLog, project: str) -> list[tuple[int, str, bytes]]:
    return [row[2:] for row in log.read_project(project, 0)]


def hash_of(lines: list[bytes]) -> str:
    """The chain hash of an exported file, computed from nothing but what docs/time-travel.md says."""

    def field(content: bytes) -> bytes:
        return len(content).to_bytes(8, "big") + content

    digest = hashlib.sha256(b"coordctl event chain 1").digest()
    for line in lines[1:-1]:
        event, body = json.loads(line), line.split(b',"body":', 1)[1].removesuffix(b"}")
        digest = hashlib.sha256(
            digest + field(str(event["sequence"]).encode()) + field(event["topic"].encode()) + field(body)
        ).digest()
        assert event["hash"] == digest.hex()
    return digest.hex()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happened=st.lists(events, min_size=1, max_size=30), kind=st.sampled_from(FORMATS), data=st.data())
def test_what_is_exported_can_be_imported_event_for_event(
    log: EventLog, tmp_path: Path, happened: list[Any], kind: Format, data: st.DataObject
) -> None:
    project, copy = f"p{log.head()}", f"copy{log.head()}"
    positions = append(log, project, happened)
    append(log, "other", stores(1))
    count = data.draw(st.integers(1, len(happened)))
    end = exported(log, project, tmp_path / "log", kind, until=positions[count - 1])
    done = imported(log, tmp_path / "log", copy)
    assert done == Imported(project=copy, count=count, known=0, new=count, hash=end.hash)
    assert contents(log, copy) == contents(log, project)[:count]
    again = exported(log, copy, tmp_path / "again", "jsonl")
    assert again == end


def test_the_file_says_what_it_holds_and_anybody_can_compute_its_hash(log: EventLog, tmp_path: Path) -> None:
    append(log, "q", stores(3))
    append(log, "p", [Stored(item="ä", shelf="x", label={"a": 1.5e300, "b": "\u2028 \\u0041"}), *stores(40)])
    exported(log, "p", tmp_path / "log", until=20)
    lines = (tmp_path / "log").read_bytes().splitlines()
    header, end = json.loads(lines[0]), json.loads(lines[-1])
    assert (header["format"], header["version"], header["project"]) == ("coordctl.log", 1, "p")
    assert (header["first_sequence"], header["last_sequence"], header["count"]) == (1, 17, 17)
    assert (header["last_position"], header["exported_at"]) == (20, "2026-05-01T00:00:00Z")
    assert end == {"count": 17, "hash": hash_of(lines)}
    assert [json.loads(line)["position"] for line in lines[1:-1]] == [*range(4, 21)]


def test_a_parquet_file_holds_the_same_as_json_lines(log: EventLog, tmp_path: Path) -> None:
    append(log, "p", stores(30))
    end = exported(log, "p", tmp_path / "log.jsonl")
    exported(log, "p", tmp_path / "log.parquet", "parquet")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    table = pq.read_table(tmp_path / "log.parquet")
    rows = [{**row, "body": json.loads(row["body"])} for row in table.to_pylist()]
    assert rows == lines[1:-1]
    told = pq.read_metadata(tmp_path / "log.parquet").metadata
    assert json.loads(told[b"coordctl.header"]) == lines[0]
    assert json.loads(told[b"coordctl.end"]) == {"count": 30, "hash": end.hash}


@both_formats
def test_an_import_takes_a_file_of_many_batches(
    log: EventLog, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "READ_EVENTS", 7)
    monkeypatch.setattr(transfer, "APPEND_EVENTS", 5)
    append(log, "p", stores(50))
    exported(log, "p", tmp_path / "log", kind)
    assert imported(log, tmp_path / "log", "copy").new == 50
    assert contents(log, "copy") == contents(log, "p")


@both_formats
def test_a_second_import_changes_nothing_and_a_project_that_went_on_stays(
    log: EventLog, tmp_path: Path, kind: Format
) -> None:
    append(log, "p", stores(9))
    exported(log, "p", tmp_path / "log", kind)
    imported(log, tmp_path / "log", "copy")
    append(log, "copy", [Moved(item="item-1", shelf="x")])
    head = log.head()
    done = imported(log, tmp_path / "log", "copy")
    assert (done.known, done.new, log.head()) == (9, 0, head)
    assert imported(log, tmp_path / "log", "p").new == 0  # it is the very project


@both_formats
def test_an_import_that_was_cut_short_goes_on_where_it_ended(
    log: EventLog, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "APPEND_EVENTS", 4)
    append(log, "p", stores(30))
    exported(log, "p", tmp_path / "log", kind)
    real, batches = log.append, iter(range(3))

    def append_some(stored: list[StoredEvent]) -> list[int]:
        if next(batches, None) is None:
            raise LogConflict
        return real(stored)

    with monkeypatch.context() as patched:
        patched.setattr(log, "append", append_some)
        with pytest.raises(ImportCutShort, match=r"12 of 30 events; run the same command again") as cut:
            imported(log, tmp_path / "log", "copy")
    assert cut.value.retryable
    done = imported(log, tmp_path / "log", "copy")
    assert (done.known, done.new) == (12, 18)
    assert contents(log, "copy") == contents(log, "p")


def test_a_project_with_other_events_is_left_alone(log: EventLog, tmp_path: Path) -> None:
    append(log, "p", stores(9))
    exported(log, "p", tmp_path / "log")
    append(log, "mine", [*stores(4), Moved(item="item-1", shelf="x")])
    append(log, "same", stores(4))
    head = log.head()
    with pytest.raises(ProjectDiffers, match="--as") as refused:
        imported(log, tmp_path / "log", "mine")
    assert refused.value.facts["sequence"] == 1  # the command ids tell them apart
    assert log.head() == head


@pytest.mark.parametrize("name", ["", "a b", "_system", "_own", "a.b", "x" * 65])
def test_a_bad_name_is_refused(log: EventLog, tmp_path: Path, name: str) -> None:
    append(log, "p", stores(2))
    exported(log, "p", tmp_path / "log")
    with pytest.raises(BadName):
        imported(log, tmp_path / "log", name)


Damage = Callable[[list[bytes], int], int | None]
"""Changes the lines of a file at an event's; returns the line that is to be named, or None for the last."""


def _event(lines: list[bytes], at: int) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(lines[at])
    return event


def _put(lines: list[bytes], at: int, **changed: Any) -> int:
    lines[at] = json.dumps({**_event(lines, at), **changed}, separators=(",", ":")).encode()
    return at + 1


def drop(lines: list[bytes], at: int) -> int:
    del lines[at]
    return at + 1


def repeat(lines: list[bytes], at: int) -> int:
    lines.insert(at, lines[at])
    return at + 2


def swap(lines: list[bytes], at: int) -> int:
    other = at + 1 if at + 2 < len(lines) else at - 1
    lines[at], lines[other] = lines[other], lines[at]
    return min(at, other) + 1


def change_body(lines: list[bytes], at: int) -> int:
    lines[at] = lines[at].replace(b'"actor":"tester"', b'"actor":"tamper"')
    return at + 1


def space_body(lines: list[bytes], at: int) -> int:
    lines[at] = lines[at].replace(b'"actor":"', b'"actor": "')
    return at + 1


def change_hash(lines: list[bytes], at: int) -> int:
    return _put(lines, at, hash="0" * 64)


def change_topic(lines: list[bytes], at: int) -> int:
    return _put(lines, at, topic="item.burnt@1")


def change_version(lines: list[bytes], at: int) -> int:
    return _put(lines, at, topic="item.stored@2")


def change_sequence(lines: list[bytes], at: int) -> int:
    return _put(lines, at, sequence=_event(lines, at)["sequence"] + 7)


def change_position(lines: list[bytes], at: int) -> int:
    return _put(lines, at, position=0)


def break_line(lines: list[bytes], at: int) -> int:
    lines[at] = lines[at][: len(lines[at]) // 2]
    return at + 1


def add_field(lines: list[bytes], at: int) -> int:
    return _put(lines, at, note="mine")


def cut_off(lines: list[bytes], at: int) -> None:
    del lines[at:]


def cut_within(lines: list[bytes], at: int) -> None:
    lines[at:] = [lines[at][:-1]]


def lose_the_end(lines: list[bytes], at: int) -> None:
    lines.pop()


def another_end(lines: list[bytes], at: int) -> None:
    lines[-1] = json.dumps({"count": len(lines) - 2, "hash": "f" * 64}).encode()


def another_count(lines: list[bytes], at: int) -> None:
    lines[-1] = lines[-1].replace(b'"count":', b'"count":1')


DAMAGES = (
    drop, repeat, swap, change_body, space_body, change_hash, change_topic, change_version, change_sequence,
    change_position, break_line, add_field, cut_off, cut_within, lose_the_end, another_end, another_count,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.sampled_from(DAMAGES), count=st.integers(2, 12), data=st.data())
def test_any_damage_to_a_file_is_found_and_named_and_nothing_is_written(
    log: EventLog, tmp_path: Path, damage: Damage, count: int, data: st.DataObject
) -> None:
    project, path = f"p{log.head()}", tmp_path / "log"
    append(log, project, stores(count))
    exported(log, project, path)
    lines, head = path.read_bytes().splitlines(), log.head()
    wrong = damage(lines, data.draw(st.integers(1, count)))
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(BadLogFile) as refused:
        imported(log, path, "copy")
    place = refused.value.facts["place"]
    assert place == f"Line {wrong}" if wrong else place in ("The last line", "The end")
    assert (log.head(), log.project_head("copy")) == (head, (0, 0))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False))
def test_no_single_changed_byte_of_an_event_goes_unnoticed(
    log: EventLog, tmp_path: Path, random: Random
) -> None:
    path = tmp_path / "log"
    if log.head() == 0:
        append(log, "p", stores(5))
        exported(log, "p", tmp_path / "whole")
    content = bytearray((tmp_path / "whole").read_bytes())
    start, end = content.index(b"\n") + 1, content.rindex(b"\n", 0, -1)
    place = random.randrange(start, end)
    content[place] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    with pytest.raises(BadLogFile):
        imported(log, path, "copy")
    assert log.project_head("copy") == (0, 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(FORMATS))
def test_a_truncated_file_is_noticed_wherever_it_ends(
    log: EventLog, tmp_path: Path, share: float, kind: Format
) -> None:
    if log.head() == 0:
        append(log, "p", stores(5))
        exported(log, "p", tmp_path / "jsonl")
        exported(log, "p", tmp_path / "parquet", "parquet")
    content = (tmp_path / kind).read_bytes()
    (tmp_path / "log").write_bytes(content[: int(share * (len(content) - 1))])
    with pytest.raises(BadLogFile):
        imported(log, tmp_path / "log", "copy")


@pytest.mark.parametrize("column", ["sequence", "position", "topic", "hash", "body"])
def test_a_changed_row_of_a_parquet_file_is_found_and_named(
    log: EventLog, tmp_path: Path, column: str
) -> None:
    append(log, "p", stores(9))
    exported(log, "p", tmp_path / "log", "parquet")
    table = pq.read_table(tmp_path / "log")
    whole = pq.read_metadata(tmp_path / "log").metadata
    rows = table.to_pylist()
    rows[4][column] = {"sequence": 6, "position": 2, "topic": "item.taken@1"}.get(column, rows[3][column])
    damaged = pa.Table.from_pylist(rows, schema=table.schema.with_metadata(whole))
    pq.write_table(damaged, tmp_path / "log")
    with pytest.raises(BadLogFile, match="Row 5 of log"):
        imported(log, tmp_path / "log", "copy")


def test_a_file_of_something_else_is_refused(log: EventLog, tmp_path: Path) -> None:
    pq.write_table(pa.table({"sequence": [1]}), tmp_path / "other.parquet")
    (tmp_path / "beads.jsonl").write_text('{"id": "bd-1", "title": "Do it"}\n')
    (tmp_path / "empty").write_text("")
    (tmp_path / "half.parquet").write_bytes(b"PAR1")
    for name in ("other.parquet", "beads.jsonl", "empty", "half.parquet"):
        with pytest.raises(BadLogFile, match=name):
            imported(log, tmp_path / name, "copy")
    append(log, "p", stores(1))
    exported(log, "p", tmp_path / "log")
    newer = (tmp_path / "log").read_text().replace('"version":1', '"version":2', 1)
    (tmp_path / "log").write_text(newer)
    with pytest.raises(BadLogFile, match=r"format coordctl\.log 2, and not coordctl\.log 1"):
        imported(log, tmp_path / "log", "copy")


def test_text_that_the_tables_cannot_hold_is_refused(log: EventLog, tmp_path: Path) -> None:
    append(log, "p", [Stored(item="a", shelf="x", label="nul \0")])
    exported(log, "p", tmp_path / "log")
    with pytest.raises(BadLogFile, match="Line 2 of log: a text of #1 holds a NUL"):
        imported(log, tmp_path / "log", "copy")


def test_a_log_that_could_not_be_imported_is_not_exported(log: EventLog, tmp_path: Path) -> None:
    append(log, "p", stores(3))
    (_, third) = log.read_project("p", 1)
    deep = third[4].replace(b'"data":{', b'"data":{"label":%b,' % (b"[" * 9_999 + b"]" * 9_999))
    log.append([StoredEvent("gap", n, *third[3:]) for n in (1, 3)])
    log.append([StoredEvent("newer", 1, "item.flew@1", third[4])])
    log.append([StoredEvent("spoilt", 1, third[3], b'{"at":\n 1}')])
    log.append([StoredEvent("deep", 1, third[3], deep)])
    late, early = log.read_project("p", 0)[2], log.read_project("p", 0)[0]
    log.append([StoredEvent("back", 1, *late[3:]), StoredEvent("back", 2, *early[3:])])
    for project, says in {
        "gap": "#2 is missing: after #1 comes #3",
        "newer": r"#1 is item\.flew@1, an event that this coordctl does not know",
        "spoilt": "the body of #1 is not one line of JSON",
        "deep": "the body of #1 is not that of item.stored@1: .*recursion",
        "back": "#2 happened at .* before #1 at",
    }.items():
        (tmp_path / "log").write_text("what was there before")
        with pytest.raises(BrokenHistory, match=says):
            exported(log, project, tmp_path / "log")
        assert (tmp_path / "log").read_text() == "what was there before"
        assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_is_not_there_is_not_exported(log: EventLog) -> None:
    append(log, "q", stores(2))
    append(log, "p", stores(2))
    with pytest.raises(UnknownProject):
        header_of(log, "nobody", 4, NOW)
    with pytest.raises(NothingToExport, match="position 2"):
        header_of(log, "p", 2, NOW)


def test_without_pyarrow_it_says_what_to_install(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, "p", stores(2))
    exported(log, "p", tmp_path / "log", "parquet")
    monkeypatch.setattr("services.log.logfile.find_spec", lambda _: None)
    with pytest.raises(ParquetMissing, match=r"pip install 'coordctl\[parquet\]'"):
        writer_of("parquet")
    with pytest.raises(ParquetMissing):
        imported(log, tmp_path / "log", "copy")


def test_a_file_that_changes_between_the_checks_is_not_imported_further(
    log: EventLog, tmp_path: Path
) -> None:
    append(log, "p", stores(3))
    exported(log, "p", tmp_path / "log")
    with opened(tmp_path / "log") as file:
        assert len([*verified(file, CODEC)]) == 3
        lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
        with (tmp_path / "log").open("r+b") as same:
            same.write(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
        with pytest.raises(BadLogFile, match="Line 2"):
            next(verified(file, CODEC))


def test_a_file_is_replaced_in_one_step_with_the_usual_mode(tmp_path: Path) -> None:
    usual, path = tmp_path / "usual", tmp_path / "log"
    usual.write_text("")
    link = tmp_path / "link"
    link.symlink_to(path)
    with replacing(link) as file:
        file.write(b"new")
        assert not path.exists()
    assert (path.read_bytes(), link.is_symlink()) == (b"new", True)
    assert path.stat().st_mode == usual.stat().st_mode
