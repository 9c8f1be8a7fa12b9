"""Reading a beads export: what becomes of each kind of row, and that nothing in a file stops an import."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decider import execute
from domain.ledger import Ledger
from domain.messages import Context
from domain.tasks.commands import ImportedTask, ImportTasks, Link
from services.bus.wire import MAX_PAYLOAD_BYTES, parse_command
from services.imports import beads
from services.imports.beads import Plan, chunks, read_issues

EXPORTS = [
    Path(__file__).parents[3] / "shared" / "data" / f"beads-issues-{size}.jsonl"
    for size in ("small", "large")
]


def issue(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "title": f"Do {name}", "status": "open", "priority": 2, "issue_type": "task"} | fields


def edge(name: str, to: str, kind: str = "blocks") -> dict[str, str]:
    return {"issue_id": name, "depends_on_id": to, "type": kind}


def read(*rows: Any, persona: str | None = None) -> Plan:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return read_issues(lines, persona)


def only(plan: Plan) -> ImportedTask:
    (task,) = plan.tasks
    return task


def problems(plan: Plan) -> list[tuple[int, str]]:
    return [(note.line, note.action) for note in plan.report.notes]


def imported(plan: Plan) -> Ledger:
    """The ledger after the real decisions about every chunk, each through the wire's own check."""
    ledger = Ledger("novel")
    for chunk in chunks(plan.tasks, 0):
        payload = msgspec.json.encode({"tasks": chunk.tasks})
        assert len(payload) <= MAX_PAYLOAD_BYTES
        command = parse_command("task.import", payload)
        context = Context(
            project="novel", actor="op", at=datetime(2026, 1, 1, tzinfo=UTC), command_id=chunk.command_id
        )
        execute(ledger, command, context)
    return ledger


def test_an_open_issue_becomes_a_task_with_all_it_says() -> None:
    task = only(
        read(
            issue(
                "bd-1",
                description="Why",
                design="How",
                acceptance_criteria="When done",
                notes="Mind",
                priority=0,
                issue_type="bug",
                labels=["gh:1"],
                assignee="ann",
                comments=[{"id": 1, "author": "bo", "text": "hm", "created_at": "2025-01-01T00:00:00Z"}],
            )
        )
    )
    assert (task.title, task.type, task.status, task.priority) == ("Do bd-1", "bug", "open", 4)
    assert task.description == (
        "Why\n\n## Design\n\nHow\n\n## Acceptance criteria\n\nWhen done\n\n## Notes\n\nMind"
    )
    assert task.input == {
        "assignee": "ann",
        "labels": ["gh:1"],
        "comments": [{"author": "bo", "text": "hm", "created_at": "2025-01-01T00:00:00Z"}],
    }


def test_the_most_urgent_issue_becomes_the_most_urgent_task() -> None:
    plan = read(*(issue(f"p{priority}", priority=priority) for priority in range(5)))
    assert [task.priority for task in plan.tasks] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("status", ["open", "in_progress", "hooked", "blocked"])
def test_work_that_somebody_held_there_is_open_here(status: str) -> None:
    assert only(read(issue("a", status=status))).status == "open"


def test_a_closed_issue_is_completed_and_says_why_and_when() -> None:
    task = only(read(issue("a", status="closed", close_reason="done", closed_at="2025-01-01T00:00:00Z")))
    assert task.status == "completed"
    assert task.result == {"close_reason": "done", "closed_at": "2025-01-01T00:00:00Z"}


def test_edges_become_dependencies_parents_and_links() -> None:
    edges = [
        edge("c", "a"),
        edge("c", "p", "parent-child"),
        edge("c", "q", "parent-child"),
        edge("c", "r", "related"),
    ]
    plan = read(issue("c", dependencies=edges), *(issue(name) for name in "apqr"))
    task = next(task for task in plan.tasks if task.id == "c")
    assert (task.depends_on, task.parent) == (("a",), "p")
    assert task.links == (Link("related", "r"), Link("parent-child", "q"))


def test_tombstones_are_left_out_with_the_edges_to_them() -> None:
    edges = [edge("a", "gone"), edge("a", "gone", "parent-child"), edge("a", "gone", "related")]
    plan = read(issue("gone", status="tombstone"), issue("a", dependencies=edges))
    task = only(plan)
    assert (task.depends_on, task.parent, task.links) == ((), None, ())
    assert (plan.report.tombstones, plan.report.edges_to_tombstones, plan.report.mended) == (1, 3, 0)


def test_a_task_stands_after_all_it_depends_on() -> None:
    plan = read(
        issue("c", dependencies=[edge("c", "b"), edge("c", "a")]),
        issue("b", dependencies=[edge("b", "a")]),
        issue("a"),
    )
    assert [task.id for task in plan.tasks] == ["a", "b", "c"]


def test_a_chain_longer_than_the_stack_is_imported() -> None:
    length = 5_000
    rows = [issue(f"t{i}", dependencies=[edge(f"t{i}", f"t{i + 1}")]) for i in range(length)]
    plan = read(*rows, issue(f"t{length}"))
    assert [task.id for task in plan.tasks] == [f"t{i}" for i in range(length, -1, -1)]


def test_the_edge_that_closes_a_cycle_is_cut_and_the_rest_stays() -> None:
    plan = read(
        issue("a", dependencies=[edge("a", "b")]),
        issue("b", dependencies=[edge("b", "c"), edge("b", "d")]),
        issue("c", dependencies=[edge("c", "a")]),
        issue("d"),
    )
    assert {task.id: task.depends_on for task in plan.tasks} == {
        "a": ("b",),
        "b": ("c", "d"),
        "c": (),
        "d": (),
    }
    assert problems(plan) == [(3, "mended")]
    imported(plan)


def test_parents_never_form_a_cycle() -> None:
    plan = read(
        issue("a", dependencies=[edge("a", "b", "parent-child")]),
        issue("b", dependencies=[edge("b", "a", "parent-child")]),
    )
    assert {task.id: task.parent for task in plan.tasks} == {"a": "b", "b": None}
    assert problems(plan) == [(2, "mended")]


@pytest.mark.parametrize(
    "row",
    [
        b"{not json",
        b"[]",
        b"\xff\xfe",
        b"[" * 5_000,
        {"title": "no id"},
        {"id": "", "title": "empty id"},
        {"id": 7, "title": "number"},
        issue("two words"),
        issue("a..b"),
        issue("a\n"),
        issue("x" * 129),
        {"id": "untitled"},
        issue("blank", title="  "),
        issue("wrong", title=["list"]),
    ],
    ids=lambda row: repr(row)[:40],
)
def test_a_row_that_cannot_be_used_is_skipped_and_the_others_are_read(row: Any) -> None:
    plan = read(row, issue("good"))
    assert only(plan).id == "good"
    assert plan.report.skipped == 1
    assert (1, "skipped") in problems(plan)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "pondering"},
        {"status": ["open"]},
        {"priority": 9},
        {"priority": True},
        {"priority": "high"},
        {"issue_type": "two words"},
        {"description": {"not": "text"}},
        {"description": "nul \0 inside"},
        {"title": "x" * 501},
        {"description": "x" * 100_001},
        {"labels": "one"},
        {"labels": [1]},
        {"comments": [{"text": 5}]},
        {"dependencies": "b"},
        {"dependencies": [7]},
        {"dependencies": [{"type": "blocks"}]},
        {"dependencies": [edge("a", "a")]},
        {"dependencies": [edge("a", "nowhere")]},
        {"dependencies": [edge("a", "nowhere", "parent-child")]},
        {"dependencies": [edge("other", "good")]},
        {"dependencies": [edge("a", "two words")]},
        {"dependencies": [edge("a", f"l{i}", "related") for i in range(501)]},
        {"description": "\x01" * 60_000},
        {"comments": [{"text": "x" * 300_000}]},
        {
            "dependencies": [edge("a", f"{i:0128}", "k" * 128) for i in range(500)],
            "description": "ö" * 99_000,
        },
    ],
    ids=lambda fields: repr(fields)[:60],
)
def test_an_issue_with_something_wrong_is_mended_noted_and_importable(fields: dict[str, Any]) -> None:
    plan = read(issue("good"), issue("a", **fields))
    assert set(problems(plan)) == {(2, "mended")}
    assert imported(plan).tasks.live.keys() == {"good", "a"}


def test_an_id_that_comes_twice_is_taken_once() -> None:
    plan = read(issue("a", title="first"), issue("a", title="second"))
    assert only(plan).title == "first"
    assert problems(plan) == [(2, "skipped")]


def test_notes_name_the_issue_and_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beads, "MAX_NOTES", 3)
    plan = read(*(issue(f"t{i}", priority=9) for i in range(10)))
    assert [note.issue for note in plan.report.notes] == ["t0", "t1", "t2"]
    assert plan.report.mended == 10


def test_blank_lines_are_no_rows() -> None:
    assert read(b"\n", issue("a"), b"  \n").report.rows == 1


def test_open_tasks_may_be_given_to_a_persona() -> None:
    plan = read(issue("a"), issue("b", status="closed"), persona="plot")
    assert [task.persona for task in plan.tasks] == ["plot", None]


def test_chunks_keep_the_order_and_the_limits_of_a_request() -> None:
    plan = read(*(issue(f"t{i}", description="x" * (i % 7) * 10_000) for i in range(2_500)))
    parts = list(chunks(plan.tasks, 0))
    assert [task for part in parts for task in part.tasks] == plan.tasks
    assert len(imported(plan).tasks.live) == 2_500


def test_a_chunk_of_small_tasks_has_a_thousand() -> None:
    plan = read(*(issue(f"t{i}") for i in range(2_001)))
    assert [len(part.tasks) for part in chunks(plan.tasks, 0)] == [1_000, 1_000, 1]


def test_the_same_tasks_on_the_same_log_have_the_same_command_ids() -> None:
    def ids(title: str, head: int) -> list[str]:
        return [chunk.command_id for chunk in chunks(read(issue("a", title=title)).tasks, head)]

    assert ids("x", 7) == ids("x", 7)
    assert ids("x", 7) != ids("y", 7)
    assert ids("x", 7) != ids("x", 8)


_names = st.sampled_from(["a", "b", "c", "d", "e", "f", "bad id", ""])
_scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.text("ab \0é", max_size=5))
_edges = st.fixed_dictionaries(
    {"depends_on_id": _names, "type": st.sampled_from(["blocks", "parent-child", "related", ""])}
)
_rows = st.fixed_dictionaries(
    {"id": _names},
    optional={
        "title": st.one_of(_scalars, st.just("T")),
        "status": st.sampled_from(["open", "closed", "tombstone", "hooked", "?", 3]),
        "priority": _scalars,
        "issue_type": _scalars,
        "description": _scalars,
        "labels": st.lists(_scalars, max_size=2),
        "dependencies": st.one_of(_scalars, st.lists(st.one_of(_edges, _scalars), max_size=5)),
    },
)
_lines = st.one_of(_rows.map(lambda row: json.dumps(row).encode()), st.binary(max_size=30))


@given(st.lists(_lines, max_size=12))
def test_whatever_a_file_holds_its_import_is_accepted_and_repeating_it_changes_nothing(
    lines: Iterable[bytes],
) -> None:
    plan = read_issues(lines)
    ledger = imported(plan)
    assert plan.report.rows == len(plan.tasks) + plan.report.tombstones + plan.report.skipped
    before = ledger.sequence
    for chunk in chunks(plan.tasks, 0):
        again = Context(project="novel", actor="op", at=datetime(2026, 1, 2, tzinfo=UTC), command_id="again")
        assert execute(ledger, ImportTasks(tasks=tuple(chunk.tasks)), again) == ()
    assert ledger.sequence == before


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=pytest.mark.beside(path), id=path.stem) for path in EXPORTS]
)
def test_a_real_export_is_taken_over_without_a_remark(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    with path.open("rb") as lines:
        plan = read_issues(lines)
    assert plan.report.notes == []
    assert plan.report.tombstones == sum(row["status"] == "tombstone" for row in rows)
    ledger = imported(plan)
    assert len(ledger.tasks.completed) == sum(row["status"] == "closed" for row in rows)
    assert len(ledger.tasks.live) == len(rows) - len(ledger.tasks.completed) - plan.report.tombstones
