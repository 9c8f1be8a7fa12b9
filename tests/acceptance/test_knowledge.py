"""What a fleet knows beside its work, from the command line."""

from tests.acceptance.conftest import Shell


def test_a_spike_is_tried_and_kept(shell: Shell) -> None:
    spike = shell.json("spike", "initiate", "By turns?", "--approach", "Two narrators")["id"]
    assert shell.json("spike", "list")[0]["viable"] is None
    conclude = (
        "spike",
        "conclude",
        spike,
        "--result",
        "Readers lost track",
        "--not-viable",
        "--minutes",
        "40",
    )
    assert shell(*conclude) == f"Spike {spike} is concluded.\n"
    (row,) = shell.json("spike", "list", "--not-viable")
    assert (row["result"], row["minutes"], row["question"]) == (
        "Readers lost track",
        40,
        "By turns?",
    )
    assert shell.json("spike", "list", "--viable") == []
    assert "no open spike" in shell.error("spike", "conclude", spike, "--result", "x", "--viable", code=4)


def test_a_spike_that_begins_hears_of_one_that_is_like_it(shell: Shell) -> None:
    first = shell.json("spike", "initiate", "Can two narrators take turns?")["id"]
    shell(
        "spike", "conclude", first, "--result", "Readers lost track", "--not-viable", "--lessons", "One voice"
    )
    shell("decision", "record", "Narrators", "--choice", "One narrator for each act", "--agent", "a1")
    found = shell(
        "recall", "search", "two narrators taking turns", "--source", "spike", "--source", "decision"
    )
    assert first in found
    assert "Can two narrators take turns?: Readers lost track" in found
    assert "Narrators: One narrator for each act" in shell("recall", "search", "narrators", "--from", "a1")
    _, advice, _ = shell.run("spike", "initiate", "May two narrators take turns?")
    assert f"tried before ({first}, no way to go): Readers lost track. Lessons: One voice" in advice


def test_the_decision_that_holds_is_listed(shell: Shell) -> None:
    first = shell.json("decision", "record", "Voice", "--choice", "third", "--alternative", "letters")["id"]
    second = shell.json("decision", "record", "Voice", "--choice", "first", "--supersedes", first)["id"]
    assert [row["decision"] for row in shell.json("decision", "list")] == [second]
    (old,) = [row for row in shell.json("decision", "list", "--all") if row["decision"] == first]
    assert (old["status"], old["superseded_by"], old["alternatives"]) == ("superseded", second, ["letters"])


def test_patterns_and_how_they_are_kept(shell: Shell) -> None:
    shell("pattern", "define", "short", "Ten pages at most")
    shell("pattern", "use", "short", "act1/ch1.md", "--compliance", "60")
    shell("pattern", "use", "short", "act1/ch2.md", "--compliance", "100")
    assert shell.json("pattern", "list")[0]["average_compliance"] == 80
    assert [row["file"] for row in shell.json("pattern", "uses")] == ["act1/ch1.md", "act1/ch2.md"]


def test_a_file_that_grows_too_fast_is_warned_of(shell: Shell) -> None:
    for score in ("10", "12", "16"):
        shell("complexity", "snapshot", "plot.py", "--score", score, "--lines", "100")
    shell("complexity", "import", '[{"file": "calm.py", "score": 3}]')
    assert [row["file"] for row in shell.json("complexity", "list", "--warning")] == ["plot.py"]
    assert {row["file"] for row in shell.json("complexity", "list")} == {"plot.py", "calm.py"}


def test_documentation_is_looked_up_here_first(shell: Shell) -> None:
    assert "no documentation click" in shell.error("docs", "lookup", "click", code=4)
    shell("docs", "cache", "click", "--release", "8", "--content", "Groups nest", "--days", "3")
    shell("docs", "cache", "msgspec", "--content", "Structs")
    assert "Groups nest" in shell("docs", "lookup", "click")
    assert [row["library"] for row in shell.json("docs", "list")] == ["click", "msgspec"]
    shell("docs", "cache", "click", "--release", "8", "--content", "Groups nest", "--days", "1e-9")
    assert [row["library"] for row in shell.json("docs", "stale")] == ["click"]
    assert [row["stale"] for row in shell.json("docs", "lookup", "click")] == [True]


def test_actions_tell_who_is_slow_and_what_fails(shell: Shell) -> None:
    shell("action", "record", "make test", "--phase", "verify", "--seconds", "40", "--agent", "a1")
    shell(
        "action",
        "record",
        "make test",
        "--phase",
        "verify",
        "--failed",
        "--error",
        "2 failed",
        "--agent",
        "a1",
    )
    shell(
        "action",
        "import",
        '[{"action": "edit", "seconds": 1}, {"action": "edit", "seconds": 3}]',
        "--agent",
        "a2",
    )
    slow = shell.json("action", "stats")
    assert [(row["agent"], row["actions"], row["errors"], row["average_s"]) for row in slow] == [
        ("a1", 2, 1, 40),
        ("a2", 2, 0, 2),
    ]
    failing = shell.json("action", "stats", "--by", "action")[0]
    assert (failing["action"], failing["phase"], failing["error_rate"]) == ("make test", "verify", 0.5)
    assert [row["error"] for row in shell.json("action", "list", "--failed")] == ["2 failed"]


def test_a_new_estimate_comes_back_corrected(shell: Shell) -> None:
    of = ("--complexity", "5", "--persona", "map")
    for _ in range(3):
        name = shell.json("estimate", "record", "x", "--sessions", "2", *of)["id"]
        shell("estimate", "close", name, "--sessions", "3")
    said = shell("estimate", "record", "y", "--sessions", "10", *of)
    assert "By the factor 1.50 of this persona it will take 15.0 sessions." in said
    factors = {(row["basis"], row["of"]): row for row in shell.json("estimate", "factors")}
    assert factors["persona", "map"]["estimates"] == 3
    assert factors["all", ""]["spread"] == 0


def test_a_plan_that_grew_by_half_is_reported(shell: Shell) -> None:
    steps = '[{"local": "a", "title": "A"}, {"local": "b", "title": "B"}]'
    plan = shell.json("task", "plan", "-", stdin=steps)
    parent = plan["tasks"]["a"]
    for number in range(2):
        shell("task", "add", f"More {number}", "--parent", parent)
    (row,) = shell.json("plan", "list")
    assert (row["planned"], row["added"], row["completed"], row["scope_creep"]) == (2, 2, 0, False)
    shell("agent", "spawn", "a1", "--persona", "plot")
    for creeps in (False, False, True):
        claimed = shell.json("task", "claim", "--agent", "a1")[0]
        shell("task", "complete", claimed["task"], "--agent", "a1")
        (row,) = shell.json("plan", "list")
        assert row["scope_creep"] == creeps
    assert row["completed"] == 3
    assert f"{plan['plan']} grew: 3 steps completed, 2 planned." in shell.run("plan", "list")[1]
