"""Checkpoints, SQL at a point and differences between points, as people use them."""

import pytest

from tests.acceptance.conftest import Shell


@pytest.fixture
def busy(shell: Shell) -> Shell:
    """Agent a1 (#1) holds t1 (#2, #3) and completes it (#4); t2 is free (#5)."""
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "One", "--id", "t1")
    shell("task", "claim", "--agent", "a1")
    shell("task", "complete", "t1", "--agent", "a1")
    shell("task", "add", "Two", "--id", "t2")
    return shell


def test_checkpoints_are_cut_listed_and_given_up(busy: Shell) -> None:
    before = busy("replay", "--until", "#3")
    made = busy.json("checkpoint", "cut")
    found = busy.json("checkpoint", "list")
    assert found["checkpoints"][-1] == made
    assert found["count"] == len(found["checkpoints"])
    *_, last, summary = busy("checkpoint", "list").splitlines()
    assert last.split()[0] == str(made["position"])
    assert summary.startswith(f"{found['count']} checkpoint")
    assert summary.endswith("of the log")
    assert "--keep N, --before POINT or --all" in busy.error("checkpoint", "prune", code=2)
    assert busy.json("checkpoint", "prune", "--before", str(made["position"]))["left"] == 1
    assert busy("checkpoint", "prune", "--keep", "1").startswith("0 checkpoints given up, and 0 rows")
    assert busy.json("checkpoint", "prune", "--all")["checkpoints"] == 1
    assert busy("checkpoint", "list").startswith("There is no checkpoint.\n0 checkpoints, 0 rows,")
    assert busy("replay", "--until", "#3") == before


def test_sql_is_asked_at_any_point(busy: Shell) -> None:
    statement = "select task, status from queue order by task"
    assert busy.json("sql", statement) == [
        {"task": "t1", "status": "completed"},
        {"task": "t2", "status": "queued"},
    ]
    assert busy("sql", "--at", "#3", statement).splitlines() == ["task  status", "t1    claimed"]
    assert busy("sql", "--at", "#1", statement) == "No rows.\n"
    rows, warning, _ = busy.run("sql", "--limit", "1", statement)
    assert len(rows.splitlines()) == 2
    assert "more than these 1" in warning
    assert "begins with DELETE" in busy.error("sql", "delete from queue", code=2)
    refused = busy.json("sql", "select state from queue", code=2)
    assert (refused["error"]["code"], refused["error"]["at"]) == ("bad_sql", "8")
    assert "at most 3600 s" in busy.error("sql", statement, "--timeout", "2h", code=2)


def test_a_difference_is_told_field_by_field_with_its_events(busy: Shell) -> None:
    told = busy("diff", "#2", "now", "--view", "queue").splitlines()
    assert told[0].startswith(f"A: {busy.project} at position ")
    assert told[2] == "The same events up to #2."
    assert "Queue: 1 added, 1 changed" in told
    (status,) = [line.split() for line in told if line.split()[:1] == ["status"] and "→" in line]
    assert status == ["status", "queued", "→", "completed"]
    assert [line.split()[1] for line in told if line.split()[:1] == [">"]] == ["#3", "#4", "#5"]
    (row,) = busy.json("diff", "now", "#4", "--entity", "t2")["views"]["queue"]["rows"]
    assert (row["key"], row["what"], row["fields"]["status"]) == (
        ["t2"],
        "removed",
        {"old": "queued", "new": None},
    )
    assert [(each["side"], each["event"]) for each in row["events"]] == [("left", "task.enqueued")]
    assert busy("diff", "#3", "#3").splitlines()[-1] == "Nothing differs."


def test_a_fork_differs_from_its_origin_by_what_each_did_since(busy: Shell) -> None:
    side = f"{busy.project}-side"
    busy("fork", "--at", "#5", "--as", side)
    busy("task", "add", "Three", "--id", "t3", "--project", side)
    found = busy.json("diff", "now", "now", "--with-project", side, "--view", "queue")
    assert (found["common_sequence"], found["right"]["project"]) == (5, side)
    assert [(each["side"], each["event"]) for each in found["turns"]] == [("right", "project.forked")]
    assert [(row["key"], row["what"]) for row in found["views"]["queue"]["rows"]] == [(["t3"], "added")]
    unknown = busy.json("diff", "now", "now", "--with-project", "nowhere", code=4)
    assert unknown["error"]["code"] == "unknown_project"
