"""`coordctl import beads` into a running system, and a fleet that works such an import to the end."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.bus.caller import Caller
from tests.acceptance.system import ROOT, System, running
from tests.conftest import temporary_data

EXPORT = ROOT.parent / "shared" / "data" / "beads-issues-small.jsonl"
AGENTS = 8
CLAIM_TASKS = 5
WORK_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """One system for all tests here; each has a project of its own."""
    with temporary_data() as folder, running(folder) as system:
        yield system


def row(name: str, status: str = "open", blocked_by: str | None = None) -> dict[str, Any]:
    edges = [{"issue_id": name, "depends_on_id": blocked_by, "type": "blocks"}] if blocked_by else []
    return {"id": name, "title": f"Do {name}", "status": status, "priority": 1, "dependencies": edges}


def write(folder: Path, *rows: Any) -> str:
    path = folder / "issues.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


def imported(system: System, project: str, file: str, *options: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(
        system.run("--project", project, "import", "beads", file, "--json", *options)
    )
    return report


def events(system: System, project: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event of the project, straight from the log."""
    query = "SELECT topic, state FROM coord.events WHERE originator_id = %s ORDER BY originator_version"
    with psycopg.connect(system.state["database_url"]) as connection:
        rows = connection.execute(query, (project,)).fetchall()
    return [(topic.partition("@")[0], json.loads(state)["data"]) for topic, state in rows]


def test_importing_twice_changes_nothing(system: System, tmp_path: Path) -> None:
    file = write(tmp_path, row("b", blocked_by="a"), row("a"), row("c", "closed"), row("d", "tombstone"))
    first = imported(system, "twice", file)
    assert (first["new"], first["known"], first["tombstones"]) == (3, 0, 1)
    before = events(system, "twice")
    second = imported(system, "twice", file)
    assert (second["new"], second["known"]) == (0, 3)
    assert events(system, "twice") == before


def test_a_later_export_adds_only_what_is_new(system: System, tmp_path: Path) -> None:
    imported(system, "later", write(tmp_path, row("a")))
    report = imported(system, "later", write(tmp_path, row("a", "closed"), row("b", blocked_by="a")))
    assert (report["new"], report["known"]) == (1, 1)
    assert [(name, data["task"], data["status"]) for name, data in events(system, "later")] == [
        ("task.enqueued", "a", "queued"),
        ("task.enqueued", "b", "blocked"),
    ]


def test_odd_rows_are_told_with_their_line_and_the_others_are_imported(
    system: System, tmp_path: Path
) -> None:
    file = write(tmp_path, "{not json", row("a", blocked_by="nowhere"), row("b"), {"id": "c"})
    told = system.run("--project", "odd", "import", "beads", file)
    assert "line 1 skipped: it is not JSON" in told
    assert "line 2 (a) mended: its dependency nowhere is not in the file" in told
    assert "line 4 (c) skipped: it has no title" in told
    assert "2 new tasks, 0 known before" in told


def test_what_was_refused_can_be_imported_once_it_is_allowed(system: System, tmp_path: Path) -> None:
    file = write(tmp_path, row("a"))
    command = ("--project", "refused", "import", "beads", file, "--persona", "bard")
    system.run(*command, code=4)
    system.run("--project", "refused", "persona", "define", "bard", "Sings.")
    assert "1 new tasks" in system.run(*command)


def test_a_dry_run_reports_and_imports_nothing(system: System, tmp_path: Path) -> None:
    report = imported(system, "dry", write(tmp_path, row("a")), "--dry-run")
    assert (report["dry_run"], report["tasks"]) == (True, 1)
    assert events(system, "dry") == []


def test_a_file_that_cannot_be_read_is_bad_usage(system: System, tmp_path: Path) -> None:
    system.run("import", "beads", str(tmp_path / "nowhere.jsonl"), code=2)


@pytest.mark.beside(EXPORT)
def test_a_fleet_works_a_real_export_to_the_end_once_and_in_order(system: System) -> None:
    issues = {issue["id"]: issue for issue in map(json.loads, EXPORT.read_text().splitlines())}
    open_ones = {name for name, issue in issues.items() if issue["status"] != "closed"}
    report = imported(system, "real", str(EXPORT))
    assert (report["new"], report["open"], report["notes"]) == (len(issues), len(open_ones), [])

    asyncio.run(work_to_the_end(system.nats_url, "real", len(open_ones)))

    claimed_at, completed_at = {}, {}
    for place, (name, data) in enumerate(events(system, "real")):
        if name == "task.claimed":
            assert claimed_at.setdefault(data["task"], place) == place, f"{data['task']} was claimed twice"
        elif name == "task.completed":
            assert completed_at.setdefault(data["task"], place) == place, f"{data['task']} was done twice"
    assert claimed_at.keys() == completed_at.keys() == open_ones
    for name in open_ones:
        for edge in issues[name].get("dependencies", []):
            if edge["type"] == "blocks" and edge["depends_on_id"] in open_ones:
                assert completed_at[edge["depends_on_id"]] < claimed_at[name]
    assert imported(system, "real", str(EXPORT))["new"] == 0


async def work_to_the_end(url: str, project: str, tasks: int) -> None:
    """Agents claim and complete until all these tasks are done."""
    done: list[str] = []

    async def work(name: str) -> None:
        async with Caller(url, project, name) as caller:
            await caller.ask("agent.spawn", {"persona": "planner"})
            while len(done) < tasks:
                claim = {"count": CLAIM_TASKS, "wait_s": 0.2}
                for lease in (await caller.ask("task.claim", claim, wait_s=0.2)).result["tasks"]:
                    held = {"task": lease["task"], "fence": lease["fence"]}
                    await caller.ask("task.start", held)
                    await caller.ask("task.complete", held)
                    done.append(lease["task"])

    async with asyncio.timeout(WORK_TIMEOUT_S), asyncio.TaskGroup() as group:
        for number in range(AGENTS):
            group.create_task(work(f"a{number}"))
