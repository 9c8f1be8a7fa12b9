"""Every verb of `coordctl` as its users have it: operators, agents, scripts."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.acceptance.conftest import Shell

FOLLOW_TIMEOUT_S = 30


@pytest.fixture
def working(shell: Shell) -> Shell:
    """A project in which agent a1 holds task t1, fence 1; a2 is of the same persona; t2 waits for t1."""
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("agent", "spawn", "a2", "--persona", "plot")
    shell("task", "add", "Outline act one", "--id", "t1", "--persona", "plot", "--input", '{"acts": 3}')
    shell("task", "add", "Outline act two", "--id", "t2", "--after", "t1", "--priority", "5")
    shell("task", "claim", "t1", "--agent", "a1")
    return shell


def test_agents_are_spawned_shown_kept_alive_and_ended(shell: Shell) -> None:
    spawn = ("agent", "spawn", "a1", "--persona", "plot", "--capability", "maps", "--metadata", '{"m": 1}')
    assert shell(*spawn) == "a1 is spawned as plot.\n"
    assert shell(*spawn) == "a1 is active already.\n"
    shell("agent", "spawn", "--persona", "editing", COORD_AGENT="a2")
    assert [row["agent"] for row in shell.json("agent", "list")] == ["a1", "a2"]
    assert [row["agent"] for row in shell.json("agent", "list", "--persona", "editing")] == ["a2"]

    shown = shell.json("agent", "show", "a1")
    assert (shown["capabilities"], shown["metadata"], shown["held"]) == (["maps"], {"m": 1}, [])
    assert shown["activity"][0]["event"] == "agent.spawned"
    assert shell("agent", "heartbeat", "a1") == "a1 is alive and holds no task.\n"
    shell("task", "add", "Draw", "--id", "t1")
    shell("task", "claim", "--agent", "a1")
    assert shell.json("agent", "heartbeat", COORD_AGENT="a1")["leases"][0]["task"] == "t1"

    assert shell("agent", "terminate", "a1", "--reason", "done") == "a1 is terminated.\n"
    assert shell("agent", "terminate", "a1") == "a1 was terminated already.\n"
    assert [row["agent"] for row in shell.json("agent", "list")] == ["a2"]
    assert {row["agent"]: row["status"] for row in shell.json("agent", "list", "--all")}["a1"] == "terminated"
    assert shell.json("task", "show", "t1")["status"] == "queued"


def test_personas_are_listed_shown_and_defined(shell: Shell) -> None:
    assert len(shell.json("persona", "list")) == 19
    shell("persona", "define", "illustrator", "Draws what the text describes.", "--capability", "ink")
    assert shell.json("persona", "show", "illustrator")["capabilities"] == ["ink"]
    assert [row["persona"] for row in shell.json("persona", "list", "--search", "draws what")] == [
        "illustrator"
    ]
    assert "Turns outlines into prose." in shell("persona", "show", "writing")


def test_a_task_goes_from_the_queue_to_its_result(shell: Shell) -> None:
    shell("agent", "spawn", "a1", "--persona", "plot")
    added = shell.json(
        "task", "add", "Outline", "-d", "All of it", "--type", "chore", "--persona", "plot", "-p", "-3",
        "--link", "doc:https://example.org/a?b=c", "--run-after", "2020-01-01T00:00", "--lease", "2m",
        "--attempts", "5", "--backoff", "1m", "--backoff-factor", "3", "--max-backoff", "1h",
        "--input", "some text",
    )  # fmt: skip
    task = added["task"]
    assert added["status"] == "queued"
    (lease,) = shell.json("task", "claim", "--agent", "a1")
    assert (lease["task"], lease["fence"], lease["lease_s"], lease["input"]) == (task, 1, 120, "some text")

    assert shell("task", "start", task, "--agent", "a1", "--fence", "1") == f"{task} is in progress.\n"
    shell("task", "progress", task, "--agent", "a1", "--percent", "40", "--note", "half way")
    shell("task", "complete", task, "--agent", "a1", "--result", "-", stdin='{"scenes": [1, 2]}')
    again = shell("task", "complete", task, "--agent", "a1", "--fence", "1")
    assert again == f"{task} was completed already.\n"

    shown = shell.json("task", "show", task)
    assert (shown["status"], shown["percent"], shown["note"]) == ("completed", 40, "half way")
    assert (shown["result"], shown["priority"], shown["type"]) == ({"scenes": [1, 2]}, -3, "chore")
    assert shown["links"] == [{"kind": "doc", "to": "https://example.org/a?b=c"}]
    assert shown["retry"] == {"attempts": 5, "backoff_s": 60, "factor": 3, "max_backoff_s": 3600}
    assert [event["event"] for event in shown["activity"]][-1] == "task.enqueued"


def test_the_list_shows_what_is_open_in_the_order_of_claims(working: Shell) -> None:
    rows = working.json("task", "list")
    assert [(row["task"], row["status"], row["blocked_by"]) for row in rows] == [
        ("t2", "blocked", ["t1"]),
        ("t1", "claimed", []),
    ]
    assert [row["task"] for row in working.json("task", "list", "--agent", "a1")] == ["t1"]
    assert "t2 can be claimed" in working("task", "complete", "t1", "--agent", "a1")
    assert [row["task"] for row in working.json("task", "list")] == ["t2"]
    assert [row["task"] for row in working.json("task", "list", "--all", "--search", "ACT ONE")] == ["t1"]
    output, warning, _ = working.run("task", "list", "--all", "--limit", "1")
    assert len(output.splitlines()) == 2
    assert "--offset 1" in warning


def test_what_was_just_added_is_always_listed(shell: Shell) -> None:
    for count in range(1, 9):
        shell("task", "add", f"Task {count}")
        assert len(shell.json("task", "list")) == count


def test_a_read_waits_for_a_projector_that_is_behind_and_says_if_it_stays_so(shell: Shell) -> None:
    projector = shell.system.pid("projector")
    assert projector is not None
    os.kill(projector, signal.SIGSTOP)
    try:
        shell("task", "add", "One")
        output, warning, code = shell.run("task", "list", "--json")
        assert (json.loads(output), code) == ([], 0)
        assert "Warning: The read models stand at position" in warning
        going_on = threading.Timer(0.3, os.kill, [projector, signal.SIGCONT])
        going_on.start()
        assert [row["title"] for row in shell.json("task", "list")] == ["One"]
        going_on.join()
    finally:
        os.kill(projector, signal.SIGCONT)


def test_a_failed_task_is_retried_dies_and_is_revived(working: Shell) -> None:
    failed = working("task", "fail", "t1", "--agent", "a1", "--error", "no ink")
    assert failed.startswith("t1 is failed. It is tried again from ")
    assert working("task", "retry", "t1") == "t1 is back in the queue.\n"
    working("task", "claim", "t1", "--agent", "a1")
    assert "t1 is dead." in working("task", "fail", "t1", "--agent", "a1", "--error", "no paper", "--final")
    working("task", "retry", "t1")
    assert working.json("task", "show", "t1")["status"] == "queued"


def test_tasks_are_released_reprioritized_and_cancelled(working: Shell) -> None:
    working("task", "release", "t1", "--agent", "a1", "--reason", "too hard")
    assert working("task", "reprioritize", "t1", "-7") == "t1 has priority -7.\n"
    assert working("task", "reprioritize", "t1", "-7") == "t1 had priority -7 already.\n"
    assert working("task", "cancel", "t1", "--reason", "not wanted") == "t1 is cancelled.\n"
    shown = working.json("task", "show", "t1")
    assert (shown["status"], shown["priority"], shown["reason"]) == ("cancelled", -7, "not wanted")


@pytest.mark.parametrize("way", ["file", "stdin", "list"])
def test_a_plan_is_added_whole(shell: Shell, tmp_path: Path, way: str) -> None:
    tasks = [
        {"local": "draft", "title": "Draft"},
        {"local": "edit", "title": "Edit", "persona": "editing", "depends_on": ["draft"]},
    ]
    text = json.dumps(tasks if way == "list" else {"tasks": tasks})
    file = tmp_path / "plan.json"
    file.write_text(text)
    planned = shell.json("task", "plan", "-" if way == "stdin" else str(file), stdin=text)
    ids = planned["tasks"]
    assert shell.json("task", "show", ids["edit"])["blocked_by"] == [ids["draft"]]
    assert len(shell.json("task", "list", "--plan", planned["plan"])) == 2


def test_a_claim_takes_many_or_none_or_waits_for_one(shell: Shell) -> None:
    shell("agent", "spawn", "a1", "--persona", "plot")
    assert shell("task", "claim", "--agent", "a1") == "nothing to claim\n"
    assert shell.json("task", "claim", "--agent", "a1") == []
    for number in range(3):
        shell("task", "add", f"Task {number}")
    assert len(shell.json("task", "claim", "--count", "10", COORD_AGENT="a1")) == 3

    adding = threading.Timer(0.3, shell.system.run, ["--project", shell.project, "task", "add", "Late"])
    adding.start()
    (lease,) = shell.json("task", "claim", "--agent", "a1", "--wait", "30s")
    adding.join()
    assert lease["title"] == "Late"


def test_a_claim_prints_what_the_agent_needs(working: Shell) -> None:
    working("task", "release", "t1", "--agent", "a1")
    printed = working("task", "claim", "t1", "--agent", "a2")
    assert printed.startswith("t1  Outline act one\n")
    facts = dict(line.strip().split("  ", 1) for line in printed.splitlines()[1:])
    assert facts["fence"].strip() == "2"
    assert json.loads(facts["input"]) == {"acts": 3}
    assert "lease until" in facts


def test_a_handoff_moves_the_task_with_its_context(working: Shell) -> None:
    offered = working.json(
        "handoff", "initiate", "t1", "--agent", "a1", "--to-agent", "a2", "--reason", "off shift",
        "--goal", "An outline", "--done", "scene 1", "--done", "scene 2", "--ruled-out", "two narrators",
        "--decision", "first person", "--artifact", "outline.md", "--next-step", "scene 3",
        "--data", '{"words": 900}', "--expires", "10m",
    )  # fmt: skip
    handoff = offered["handoff"]
    assert [row["status"] for row in working.json("handoff", "list", "--agent", "a2")] == ["initiated"]
    context = working.json("handoff", "show", handoff)["context"]
    assert context == {
        "goal": "An outline", "done": ["scene 1", "scene 2"], "ruled_out": ["two narrators"],
        "decisions": ["first person"], "artifacts": ["outline.md"], "next_step": "scene 3",
        "data": {"words": 900},
    }  # fmt: skip
    assert "  scene 2\n" in working("handoff", "show", handoff)

    taken = working.json("handoff", "accept", handoff, "--agent", "a2")
    assert (taken["task"], taken["fence"], taken["context"]["goal"]) == ("t1", 2, "An outline")
    assert "already" in working("handoff", "accept", handoff, "--agent", "a2")
    stale = working.json("task", "complete", "t1", "--agent", "a1", "--fence", "1", code=3)
    assert stale["error"]["code"] == "stale_fence"
    assert working("handoff", "complete", handoff, "--agent", "a2") == f"Handoff {handoff} is completed.\n"
    working("task", "complete", "t1", "--agent", "a2")


def test_a_handoff_to_a_persona_can_be_rejected(working: Shell) -> None:
    offer = ("handoff", "initiate", "t1", "--agent", "a1", "--to-persona", "plot")
    handoff = working.json(*offer)["handoff"]
    assert f"t1 already has an open handoff, {handoff}" in working.error(*offer, code=3)
    working("handoff", "reject", handoff, "--agent", "a2", "--reason", "busy")
    (row,) = working.json("handoff", "list", "--status", "rejected", "--task", "t1")
    assert (row["note"], row["answered_by"]) == ("busy", "a2")
    assert working.json("task", "show", "t1")["holder"] == "a1"


def test_settings_are_read_changed_and_traced(shell: Shell) -> None:
    assert shell("setting", "get", "max_agents") == "19\n"
    assert shell("setting", "set", "max_agents", "3") == "max_agents is 3.\n"
    assert shell("setting", "set", "max_agents", "3") == "max_agents was 3 already.\n"
    assert "must be a whole number" in shell.error("setting", "set", "max_agents", "-3", code=3)
    assert shell.json("setting", "get", "max_agents")["source"] == "project"
    assert shell("setting", "unset", "max_agents") == "max_agents has its default again.\n"
    changes = shell.json("setting", "history", "max_agents")
    assert [(row["old"], row["new"], row["unset"]) for row in changes] == [(3, None, True), (None, 3, False)]

    shell("setting", "set", "theme", "dark", "--user", "ann")
    shell("setting", "set", "language", "de", "--scope", "user", "--as", "ann")
    assert shell("setting", "get", "theme", "--user", "ann") == "dark\n"
    known = {
        row["key"]: row["value"] for row in shell.json("setting", "list", "--scope", "user", "--user", "ann")
    }
    assert (known["language"], known["onboarding_complete"]) == ("de", False)
    shell("setting", "set", "house.style", '{"quotes": "double"}')
    assert shell.json("setting", "get", "house.style")["value"] == {"quotes": "double"}


def test_a_system_setting_is_the_default_of_every_project(shell: Shell) -> None:
    shell("setting", "set", "handoff_expiry_s", "1234", "--scope", "system")
    assert shell("setting", "get", "handoff_expiry_s") == "1234\n"
    shell("setting", "unset", "handoff_expiry_s", "--scope", "system")
    assert shell("setting", "get", "handoff_expiry_s", "--scope", "system") == "3600\n"
    history = shell.json("setting", "history", "handoff_expiry_s", "--scope", "system")
    assert [row["new"] for row in history] == [None, 1234]


def test_failures_estimates_and_retrospectives_are_kept(shell: Shell) -> None:
    shell(
        "failure", "record", "Act two", "--approach", "Two narrators", "--why", "Confusing", "--lesson", "One"
    )
    assert [row["lesson"] for row in shell.json("failure", "list", "--search", "narrators")] == ["One"]
    shell("retro", "record", "Act two", "--surprises", "The villain", "--spike-accuracy", "60")
    assert [row["spike_accuracy"] for row in shell.json("retro", "list", "--feature", "Act two")] == [60]

    assert "no correction factor" in shell("estimate", "list")
    for sessions in ("4", "8"):
        record = ("estimate", "record", "Act two", "--sessions", "4", "--complexity", "7")
        estimate = shell.json(*record, "--persona", "plot")["id"]
        files = ("--files-created", "2", "--files-modified", "3", "--notes", "so it went")
        shell("estimate", "close", estimate, "--sessions", sessions, *files)
    listed = shell.json("estimate", "list")
    assert (listed["factor"], listed["closed"], len(listed["estimates"])) == (1.5, 2, 2)
    assert "Correction factor 1.50" in shell("estimate", "list")


def test_events_are_printed_from_the_log(working: Shell) -> None:
    lines = [json.loads(line) for line in working("events", "--json").splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2, 3, 4, 5]
    assert (lines[-1]["event"], lines[-1]["entity"], lines[-1]["actor"]) == ("task.claimed", "t1", "a1")
    assert lines[-1]["data"]["fence"] == 1

    def chosen(*options: str) -> list[int]:
        return [json.loads(line)["sequence"] for line in working("events", "--json", *options).splitlines()]

    assert chosen("--since", "#2", "--until", "#4") == [3, 4]
    assert chosen("--since", str(lines[2]["position"])) == [4, 5]
    assert chosen("--entity", "t1") == [3, 5]
    assert chosen("--actor", "a1") == [5]
    assert chosen("--type", "task.*", "--type", "agent.went_stale") == [3, 4, 5]
    assert chosen("--until", "1 hour ago") == []
    assert "a1 claimed t1 under fence 1" in working("events")


def test_events_are_followed_until_interrupted(working: Shell) -> None:
    following = working.system.start("--project", working.project, "events", "--follow", "--json")
    assert following.stdout is not None
    watchdog = threading.Timer(FOLLOW_TIMEOUT_S, following.kill)
    watchdog.start()
    told = [json.loads(following.stdout.readline())["sequence"] for _ in range(5)]
    working("task", "complete", "t1", "--agent", "a1")
    told += [json.loads(following.stdout.readline())["sequence"] for _ in range(2)]
    following.send_signal(signal.SIGINT)
    rest, _ = following.communicate()
    watchdog.cancel()
    assert (told, rest, following.returncode) == ([1, 2, 3, 4, 5, 6, 7], "", 0)


def test_a_replay_shows_the_project_as_it_was(working: Shell) -> None:
    working("task", "complete", "t1", "--agent", "a1")
    then = working.json("replay", "--until", "#5")
    assert then["point"]["sequence"] == 5
    assert {row["task"]: row["status"] for row in then["queue"]} == {"t1": "claimed", "t2": "blocked"}
    assert {row["agent"]: row["doing"] for row in then["agents"]} == {"a1": "t1", "a2": None}
    assert then["handoffs"] == []
    by_time = working.json("replay", "--until", then["point"]["at"], "--view", "queue")
    assert by_time["queue"] == then["queue"]
    assert working.json("replay", "--until", str(then["point"]["position"]), "--view", "agents")["agents"]

    printed = working("replay", "--until", "#5")
    assert "right after event #5" in printed
    assert "a1 claimed t1 under fence 1" in printed
    assert "before its first event" in working("replay", "--until", "5 minutes ago")


def test_bookmarks_name_points_for_every_command_that_takes_one(working: Shell) -> None:
    assert working("bookmark", "list") == "There is no such bookmark.\n"
    assert working("bookmark", "set", "claimed") == "claimed stands at #5.\n"
    told = working.json("bookmark", "set", "spawned", "#2", "--note", "nobody works yet", "--as", "ann")
    assert (told["bookmark"], told["sequence"]) == ("spawned", 2)
    working("bookmark", "set", "begin", "-52w")
    assert working("bookmark", "set", "begin", "0") == "begin stood at #0 already.\n"
    assert [(row["bookmark"], row["sequence"]) for row in working.json("bookmark", "list")] == [
        ("begin", 0), ("spawned", 2), ("claimed", 5),
    ]  # fmt: skip
    assert "nobody works yet" in working("bookmark", "list", "--search", "nobody")

    then = working.json("replay", "--until", "spawned")
    assert (then["point"]["sequence"], then["queue"]) == (2, [])
    assert working.json("replay", "--until", "bookmark:claimed")["point"]["sequence"] == 5
    lines = working("events", "--json", "--since", "spawned", "--until", "claimed").splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [3, 4, 5]

    assert working("bookmark", "set", "spawned", "claimed") == "spawned stands at #5.\n"
    assert working("bookmark", "remove", "spawned") == "Bookmark spawned is removed.\n"
    refusal = working.error("replay", "--until", "spawnd", code=4)
    assert "There is no bookmark spawnd in this project; the closest are" in refusal
    assert "claimed" in refusal
    (removed,) = working.json("bookmark", "list", "--all", "--search", "spawned")
    assert (removed["status"], removed["removed_by"] is not None) == ("removed", True)


def test_a_replay_to_now_shows_what_the_read_models_show(working: Shell) -> None:
    working("setting", "set", "stale_after_s", "77", "--scope", "system")
    working("setting", "set", "max_agents", "7")
    now = working.json("replay", "--until", "now", "--view", "all")
    assert now["agents"] == working.json("agent", "list")
    assert now["queue"] == working.json("task", "list")
    assert now["settings"] == working.json("setting", "list")
    assert now["personas"] == working.json("persona", "list")
    working("setting", "unset", "stale_after_s", "--scope", "system")


def test_a_replay_finds_one_thing_wherever_it_occurs(working: Shell) -> None:
    found = working.json("replay", "--until", "now", "--entity", "t1")
    assert [row["holder"] for row in found["queue"]] == ["a1"]
    assert [row["event"] for row in found["activity"]] == ["task.claimed", "task.enqueued"]
    printed = working("replay", "--until", "now", "--entity", "t1")
    assert "Agents" not in printed
    assert "Outline act one" in printed
    assert "no trace of t9" in working.error("replay", "--until", "now", "--entity", "t9", code=4)


def test_read_models_are_listed_verified_and_rebuilt(working: Shell) -> None:
    assert {row["name"] for row in working.json("projection", "list")} >= {"agents", "queue", "handoffs"}
    assert working.json("projection", "rebuild", "retros", "agents")[1]["name"] == "agents"
    assert working.json("projection", "verify", "agents", "retros") == {"equal": True, "differences": []}
    assert "row for row" in working("projection", "verify")
    assert working.json("agent", "show", "a1")["doing"] == "t1"
    assert "no projection nope" in working.error("projection", "rebuild", "nope", code=4)
    assert "--all" in working.error("projection", "rebuild", code=2)
