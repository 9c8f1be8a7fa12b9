"""`coordctl memory` and `failure similar` as agents have them, and the advice that nobody has to ask for."""

from tests.acceptance.conftest import Shell


def test_a_memory_is_stored_recalled_superseded_used_and_archived(shell: Shell) -> None:
    anna = shell.json(
        "memory", "store", "The captain is called Anna", "--kind", "fact", "--tag", "crew",
        "--importance", "0.8", "--agent", "a1",
    )["id"]  # fmt: skip
    shell("memory", "store", "The harbour floods at high tide")
    shell("bookmark", "set", "before")
    berta = shell.json("memory", "supersede", anna, "The captain is called Berta")["id"]
    (hit,) = shell.json("memory", "recall", "captain", "--by", "text")
    assert (hit["id"], hit["row"]["kind"], hit["row"]["tags"]) == (berta, "fact", ["crew"])
    assert hit["row"]["importance"] == 0.8
    (then,) = shell.json("memory", "recall", "captain", "--by", "text", "--as-of", "before")
    assert (then["id"], then["row"]["status"]) == (anna, "current")
    assert "meaning" in shell("memory", "recall", "the harbour is flooded by the tide")
    tide = ("recall", "search", "tide", "--by", "text", "--kind", "note")
    assert len(shell.json(*tide, "--since", "1h")) == 1
    assert shell.json(*tide, "--until", "1h") == shell.json(*tide, "--tag", "crew") == []

    shell("memory", "use", berta)
    assert shell.json("memory", "list", "--kind", "fact")[0]["uses"] == 1
    shell("memory", "archive", berta, "--reason", "she left")
    assert shell.json("memory", "list", "--tag", "crew") == []
    listed = shell.json("memory", "list", "--tag", "crew", "--all")
    assert {row["memory"]: row["status"] for row in listed} == {anna: "superseded", berta: "archived"}
    assert "no current memory" in shell.error("memory", "use", berta, code=4)


def test_a_private_memory_is_recalled_by_those_it_is_shared_with(shell: Shell) -> None:
    own = shell.json("memory", "store", "I doubt the ending", "--visibility", "private", "--agent", "a1")[
        "id"
    ]
    asked = ("memory", "recall", "ending", "--by", "text")
    assert shell.json(*asked, "--for", "a2") == []
    shell("memory", "share", own, "--to-agent", "a2", "--agent", "a1")
    assert [hit["id"] for hit in shell.json(*asked, "--for", "a2")] == [own]


def test_whoever_takes_a_task_hears_what_failed_before(shell: Shell) -> None:
    shell(
        "failure", "record", "Act two", "--approach", "Two narrators in one chapter", "--why",
        "Readers lost track", "--lesson", "Keep one narrator for each chapter",
    )  # fmt: skip
    (hit,) = shell.json("failure", "similar", "two narrators in a chapter")
    assert (hit["by"], hit["row"]["lesson"]) == ("meaning", "Keep one narrator for each chapter")
    assert "Keep one narrator" in shell("failure", "similar", "two narrators in a chapter")
    added, advice, _ = shell.run("task", "add", "Write a chapter with two narrators", "--id", "t1")
    assert added == "t1 is queued.\n"
    assert "Keep one narrator" in advice
    shell("task", "add", "Buy bananas", "--id", "t2")
    shell("agent", "spawn", "a1", "--persona", "plot")
    (lease,) = shell.json("task", "claim", "t1", "--agent", "a1")
    assert [row["failure"] for row in lease["failed_before"]] == [hit["id"]]
    (other,) = shell.json("task", "claim", "t2", "--agent", "a1")
    assert "failed_before" not in other
    _, advice, _ = shell.run("task", "start", "t1", "--agent", "a1")
    assert "Keep one narrator" in advice


def test_the_index_tells_how_far_it_is_and_is_made_anew(shell: Shell) -> None:
    shell("memory", "store", "The lighthouse is red and white")
    asked = ("memory", "recall", "lighthouse", "--by", "text")
    assert len(shell.json(*asked)) == 1
    assert {row["what"] for row in shell.json("recall", "status")} >= {"texts"}
    shell("recall", "rebuild", "--texts")
    assert len(shell.json(*asked)) == 1
