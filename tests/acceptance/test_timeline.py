"""Looking back over a project's events as people do: timeline, why, step, compare."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from typing import Any

import pytest

from tests.acceptance.conftest import Shell
from tests.acceptance.system import eventually

LOCAL_FLAGS = 3


@pytest.fixture
def worked(shell: Shell) -> Shell:
    """a1 fails at t1 and then does it; t2 waited for it."""
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "One", "--id", "t1")
    shell("task", "add", "Two", "--id", "t2", "--after", "t1")
    shell("task", "claim", "t1", "--agent", "a1")
    shell("task", "fail", "t1", "--agent", "a1", "--error", "no ink")
    shell("task", "retry", "t1")
    shell("task", "claim", "t1", "--agent", "a1")
    shell("task", "complete", "t1", "--agent", "a1")
    return shell


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_timeline_tells_what_happened_the_latest_last(worked: Shell) -> None:
    told = worked("timeline").splitlines()
    assert len(told) == 9
    assert told[0].split()[0] == "#1"
    assert told[-1].endswith("t2 can be claimed: dependencies completed")

    def events(*options: str) -> list[str]:
        return [line["event"] for line in lines(worked("timeline", "--json", *options))]

    assert events("--outcome", "failed") == ["task.failed"]
    assert events("--type", "task.claimed,agent.*") == ["agent.spawned", "task.claimed", "task.claimed"]
    assert events("--entity", "t2") == ["task.enqueued", "task.queued"]
    assert events("--actor", "a1", "--since", "#6") == ["task.claimed", "task.completed", "task.queued"]
    assert events("--until", "#2") == ["agent.spawned", "task.enqueued"]
    assert worked("timeline", "--actor", "nobody") == "Nothing of the kind happened.\n"
    output, warning, _ = worked.run("timeline", "--limit", "2")
    assert [line.split()[0] for line in output.splitlines()] == ["#8", "#9"]
    assert "the last 2" in warning
    assert "No event is called task.lost" in worked.error("timeline", "--type", "task.lost", code=2)
    assert "goes with" in worked.error("timeline", "--why", "t1", "--entity", "t1", code=2)


def test_why_leads_back_to_who_asked(worked: Shell) -> None:
    told = worked("timeline", "--why", "t2").splitlines()
    assert "#9" in told[0]
    assert "because that was the last it waited for: #8" in told[1]
    assert told[-1].strip().startswith("because ")
    chain = lines(worked("timeline", "--why", "#7", "--json"))
    assert [each["event"] for each in chain] == [
        "task.claimed", "task.queued", "task.failed", "task.claimed", "task.enqueued",
    ]  # fmt: skip
    assert "asked for it" in chain[-1]["origin"]
    assert worked.json("timeline", "--why", "t9", code=4)["error"]["code"] == "not_found"


def test_steps_show_each_change(worked: Shell) -> None:
    (claimed,) = lines(worked("step", "#4", "--count", "1", "--json"))
    assert claimed["event"] == "task.claimed"
    (task,) = [change for change in claimed["changes"] if change["view"] == "queue"]
    assert (task["key"], task["fields"]["status"]) == (["t1"], {"old": "queued", "new": "claimed"})
    shown = worked("step", "--entity", "t1", "--view", "queue")
    assert "status claimed → failed" in " ".join(shown.split())
    assert "agents" not in shown
    assert worked.json("step", code=4, COORD_PROJECT="empty")["error"]["code"] == "not_found"


def test_at_a_terminal_keys_lead_through_the_steps(worked: Shell) -> None:
    keys = ("\x1b[C", "n", "p", "G", "\x1b[D", "g", "/", "#5\n", "/", "#99\n", "q")
    shown = pressed(worked, ["step"], keys)
    places = [screen.split("position")[0].split("#")[-1].strip() for screen in shown if "position" in screen]
    assert places == ["1", "2", "3", "2", "9", "8", "1", "5", "5"]
    assert "#99 is not reached yet" in shown[-1]


def test_runs_stand_side_by_side(worked: Shell) -> None:
    compared = worked.json("compare", "task:t1#1", "task:t1#2")
    assert [pair["mark"] for pair in compared["steps"]] == ["=", "!"]
    assert compared["first_difference"] == 1
    assert (compared["left"]["tasks"], compared["right"]["tasks"]) == ({"failed": 1}, {"completed": 1})
    told = worked("compare", "task:t1#1", "task:t1#2").splitlines()
    assert told[-1].startswith("!")
    assert told[-1].endswith("the first difference")
    same = worked("compare", "agent:a1", "--with-project", worked.project, "--differing")
    assert same.splitlines()[-1] == "The same steps in both."
    assert "not of one kind" in worked.error("compare", "agent:a1", "task:t1", code=2)
    assert "write agent:NAME" in worked.error("compare", "a1", "a2", code=2)
    assert worked.json("compare", "plan:p9", "plan:p9", code=4)["error"]["code"] == "not_found"


def pressed(shell: Shell, arguments: list[str], keys: tuple[str, ...]) -> list[str]:
    """What a person sees, screen by screen, who presses each key when the answer to the last is there."""
    master, slave = pty.openpty()
    environ = {**shell.system.environ, **shell.environ, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "cli.main", *arguments]
    with (
        os.fdopen(master, "r+b", buffering=0) as screen,
        subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ) as process,
    ):
        os.close(slave)
        try:
            shown = ""
            for key in keys:
                shown += _until_asked(screen)
                screen.write(key.encode())
            assert process.wait(timeout=30) == 0, shown
        finally:
            process.kill()
    return shown.split("\x1b[2J")


def _until_asked(screen: Any) -> str:
    """What is shown until a key, or a point, is waited for."""
    shown = b""
    while not (asked := re.search(rb"(q quit|point: )[^\n]*\s*$", shown)):
        shown += screen.read(65_536)
    if asked[1] == b"q quit":  # what is pressed before the terminal takes single keys is lost
        eventually(lambda: not termios.tcgetattr(screen)[LOCAL_FLAGS] & termios.ICANON, "waits for a key")
    return shown.decode()
