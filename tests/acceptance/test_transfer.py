"""`export`, `import log` and `verify` against a running system."""

import json
import os
import signal
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import Shell


@pytest.fixture
def working(shell: Shell) -> Shell:
    """A project with three events: an agent that holds one task of two."""
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "Outline", "--id", "t1")
    shell("task", "add", "Write", "--id", "t2")
    shell("task", "claim", "t1", "--agent", "a1")
    return shell


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_exported_project_is_imported_under_another_name(
    working: Shell, tmp_path: Path, suffix: str
) -> None:
    file, copy = str(tmp_path / f"log.{suffix}"), f"{working.project}-copy"
    told = working.json("export", file, "--until", "#3")
    assert (told["count"], told["last_sequence"], told["project"]) == (3, 3, working.project)
    assert working("import", "log", file, "--as", copy).splitlines() == [
        f"Project {copy} has the 3 events of the file.",
        f"Chain hash {told['hash']}.",
    ]
    assert [row["task"] for row in working.json("task", "list", "--project", copy)] == ["t1", "t2"]
    assert [row["agent"] for row in working.json("agent", "list", "--project", copy)] == ["a1"]
    again = working("import", "log", file, "--project", copy)
    assert again == f"Project {copy} has all 3 events already; nothing was changed.\n"
    assert working.json("import", "log", file)["new"] == 0  # under its own name it is there
    working("task", "claim", "t1", "--agent", "a1", "--project", copy)  # and the copy goes on by itself


def test_a_log_is_written_to_stdout_and_to_files(working: Shell, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in working("export").splitlines()]
    assert [line.get("sequence") for line in lines] == [None, 1, 2, 3, 4, None]
    assert working("export", "-").splitlines()[1:] == working("export", "--until", "now").splitlines()[1:]
    told = working("export", str(tmp_path / "log"), "--format", "parquet")
    assert "holds 4 events" in told
    assert lines[-1]["hash"] in told
    assert (tmp_path / "log").read_bytes()[:4] == b"PAR1"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_cannot_be_exported_or_imported_is_refused(working: Shell, tmp_path: Path) -> None:
    file = tmp_path / "log"
    assert "name a FILE" in working.error("export", "--format", "parquet", code=2)
    assert "no regular file" in working.error("export", os.devnull, code=2)
    assert "cannot be written" in working.error("export", str(tmp_path / "no" / "log"), code=2)
    assert "no project nobody" in working.error("--project", "nobody", "export", code=4)
    assert "choose a later point" in working.error("export", "--until", "0", code=3)
    assert "cannot come through a pipe" in working.error("import", "log", "-", code=2)
    working("export", str(file))
    assert "is not a name" in working.error("import", "log", str(file), "--as", "a b", code=2)
    other = f"{working.project}-other"
    working("task", "add", "Mine", "--project", other)
    assert working.json("import", "log", str(file), "--as", other, code=3)["error"]["code"] == (
        "project_differs"
    )
    file.write_bytes(file.read_bytes().replace(b'"t2"', b'"t3"'))
    told = working.json("import", "log", str(file), "--as", "never", code=1)["error"]
    assert (told["code"], told["place"]) == ("bad_log_file", "Line 4")


def test_the_whole_system_is_verified(working: Shell) -> None:
    lines = working("verify").splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert any(f"log of {working.project}: 4 events, chain hash " in line for line in lines)
    assert [line.split()[1].rstrip(":") for line in lines[-2:]] == ["stream", "read"]
    for arguments in (("verify", "--project", working.project), ("--project", working.project, "verify")):
        told = working.json(*arguments)
        assert told["ok"] is True
        assert [check["name"] for check in told["checks"]] == ["log", "stream", "read models"]
    exported = json.loads(working("export").splitlines()[-1])
    assert told["checks"][0]["hash"] == exported["hash"]
    assert working.error("verify", "--project", "nobody", code=4)


def test_a_wrong_row_is_named_and_the_exit_code_says_so(working: Shell) -> None:
    assert len(working.json("task", "list")) == 2  # a read waits until the rows are there
    with psycopg.connect(working.system.state["database_url"], autocommit=True) as connection:
        table = working.json("projection", "list")
        queue = next(row["table_name"] for row in table if row["name"] == "queue")
        change = f"UPDATE coord.{queue} SET title = %s WHERE project = %s AND task = 't2'"
        connection.execute(change, ("Planted", working.project))
        try:
            told = working.json("verify", "--project", working.project, code=1)
            assert [check["ok"] for check in told["checks"]] == [True, True, False]
            assert "title of queue" in told["checks"][2]["found"]
            assert "'Planted' in the table and 'Write' by the log" in working("verify", code=1)
        finally:
            connection.execute(change, ("Write", working.project))


def test_a_relay_that_lags_is_waited_for(working: Shell) -> None:
    relay = working.system.pid("relay")
    assert relay is not None
    os.kill(relay, signal.SIGSTOP)
    try:
        working("task", "add", "Late", "--id", "t3")
        verifying = working.system.start("--project", working.project, "verify")
        assert verifying.stdout is not None
        assert "ok " in verifying.stdout.readline()  # the log; the stream comes next
    finally:
        os.kill(relay, signal.SIGCONT)
    rest, _ = verifying.communicate(timeout=60)
    assert ("ok      stream" in rest, verifying.returncode) == (True, 0)
