"""`coordctl fork` and `coordctl restore`, against the running system."""

import os
import pty
import re
import subprocess

import pytest

from cli.context import program
from tests.acceptance.conftest import Shell


@pytest.fixture
def busy(shell: Shell) -> Shell:
    """Agent a1 (#1) holds t1 (#2, #3); t2 is free (#4)."""
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "One", "--id", "t1")
    shell("task", "claim", "--agent", "a1")
    shell("task", "add", "Two", "--id", "t2")
    return shell


def test_a_fork_is_told_in_words_and_has_the_work(busy: Shell) -> None:
    side = f"{busy.project}-side"
    told = busy("fork", "--at", "#3", "--as", side, "--reason", "try another way")
    assert re.fullmatch(
        rf"{side} begins as {busy.project} was right after event #3 of \S+:\n  a1 claimed t1 .*\n", told
    )
    refusal = busy.error("task", "claim", "--agent", "a1", "--project", side, code=3)
    assert f"forked from {busy.project} at #3" in refusal
    busy("agent", "spawn", "b1", "--persona", "plot", "--project", side)
    (lease,) = busy.json("task", "claim", "--agent", "b1", "--project", side)
    assert (lease["task"], lease["title"], lease["fence"]) == ("t1", "One", 2)
    assert busy.json("agent", "heartbeat", "a1")["leases"][0]["fence"] == 1


def test_a_restore_says_how_to_undo_it(busy: Shell) -> None:
    told = busy("restore", "--to", "#3", "--reason", "wrong way")
    assert told.endswith("`coordctl restore --to '#4'` takes this back.\n")
    assert "restored to #3: wrong way" in busy.error("task", "claim", "--agent", "a1", code=3)
    answer = busy.json("restore", "--to", "#4", "--reason", "it was right")
    assert (answer["project"], answer["sequence"]) == (busy.project, 4)
    busy("agent", "spawn", "a1", "--persona", "plot")
    assert [lease["task"] for lease in busy.json("task", "claim", "--agent", "a1", "--count", "5")] == [
        "t1",
        "t2",
    ]


def test_a_restore_asks_at_a_terminal(busy: Shell) -> None:
    before = busy("events")
    leader, follower = pty.openpty()
    command = [*program(), "restore", "--to", "#3", "--reason", "x"]
    os.write(leader, b"n\n")
    done = subprocess.run(
        command,
        env={**os.environ, **busy.environ},
        stdin=follower,
        capture_output=True,
        timeout=60,
        check=False,
    )
    os.close(leader)
    os.close(follower)
    assert b"Make" in done.stderr
    assert done.returncode == 130
    assert busy("events") == before


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["fork", "--at", "#9", "--as", "x"], 4, "point_not_reached"),
        (["fork", "--at", "0", "--as", "x"], 4, "unknown_sequence"),
        (["restore", "--to", "1999-01-01", "--reason", "x"], 4, "unknown_sequence"),
        (["restore", "--to", "now", "--reason", "x", "--project", "never-used"], 4, "unknown_project"),
        (["restore", "--to", "#1", "--reason", "x", "--agent", "ended"], 3, "agent_terminated"),
    ],
)
def test_refusals_tell_scripts_why(busy: Shell, arguments: list[str], code: int, error: str) -> None:
    busy("agent", "spawn", "ended", "--persona", "plot")
    busy("agent", "terminate", "ended")
    assert busy.json(*arguments, code=code)["error"]["code"] == error


def test_a_fork_needs_a_new_name(busy: Shell) -> None:
    assert "never used" in busy.error("fork", "--at", "now", "--as", busy.project, code=3)
