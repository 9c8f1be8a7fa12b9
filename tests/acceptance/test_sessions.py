"""`coordctl session` as a planner and a worker have it: begin, know, delegate, see what came back."""

from tests.acceptance.conftest import Shell


def test_a_planner_begins_delegates_and_audits_what_came_back(shell: Shell) -> None:
    shell("memory", "store", "The captain is called Anna", "--kind", "fact", "--importance", "0.9")
    shell(
        "failure", "record", "Act two", "--approach", "Two narrators in one chapter", "--why",
        "Readers lost track", "--lesson", "Keep one narrator for each chapter",
    )  # fmt: skip
    shell("failure", "similar", "two narrators")  # waits until it can be found
    began = shell.json(
        "session", "start", "--role", "planner", "--focus", "Two narrators in act two", "--agent", "p1"
    )
    session = began["session"]
    assert (began["agent"], began["role"]) == ("p1", "planner")
    assert "The captain is called Anna" in began["prompt"]
    assert began["failures"][0]["lesson"] == "Keep one narrator for each chapter"

    shell("bookmark", "set", "before")
    shell("task", "add", "Outline", "--id", "t1", "--description", "Ten lines", "--session", session)
    shell("task", "add", "Draft", "--id", "t2", "--after", "t1", "--session", session, "--agent", "p1")
    shell("agent", "spawn", "a1", "--persona", "plot")
    told = shell("session", "start", "--task", "t1", "--parent", session, "--agent", "a1")
    assert "You are a1 (plot), worker" in told
    assert "t1 (queued): Outline\nTen lines" in told
    shell("task", "claim", "t1", "--agent", "a1")
    shell("task", "complete", "t1", "--result", '{"lines": 10}', "--agent", "a1")

    done, open_ = shell.json("session", "audit", session)
    assert (done["asked"], done["result"], done["status"]) == ("Ten lines", {"lines": 10}, "completed")
    assert (done["agent"], open_["task"], open_["status"]) == ("a1", "t2", "queued")
    assert shell.json("session", "audit", session, "--as-of", "before") == []
    shell("memory", "store", "Ten lines are enough", "--session", session, "--agent", "p1")
    shell("session", "end", session, "--reason", "planned", "--agent", "p1")
    history = shell.json("session", "history", session)
    assert [entry["kind"] for entry in history] == [
        "session", "task", "task", "task", "task", "task", "memory", "session",
    ]  # fmt: skip
    assert history[-1]["words"] == f"session {session} of p1 ended: planned"
    listed = shell.json("session", "list", "--role", "planner")
    assert [(row["session"], row["status"], row["delegated"]) for row in listed] == [(session, "ended", 2)]
    assert "is open" in shell.error("task", "add", "Late", "--session", session, code=4)


def test_a_context_is_as_long_as_it_may_be_and_as_it_was(shell: Shell) -> None:
    for number in range(30):
        shell("memory", "store", f"Fact {number}: the tide comes {number} minutes later each day")
    shell("bookmark", "set", "then")
    shell("memory", "store", "The lighthouse is red", "--importance", "1")
    short = shell.json("session", "context", "--for", "a1", "--tokens", "400")
    assert short["tokens"] <= 400
    assert short["left_out"]["memories"] > 0
    assert "Left out for lack of room" in short["prompt"]
    assert "The lighthouse is red" in short["prompt"]
    before = shell.json("session", "context", "--for", "a1", "--as-of", "then")
    assert "lighthouse" not in before["prompt"]
    assert len(before["memories"]) == 15
