"""`rows`: the tasks as the log tells them against the rows of the read model `queue`.

Projects that were forked or restored are left out: their rows are read through layers, not as the table has
them.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from services.prove.checker.findings import Violations
from services.prove.checker.tasks import Project, Task
from services.prove.evidence import ViewRow

FIELDS = ("status", "holder", "fence", "attempt", "failures")


def check_rows(rows: Iterable[ViewRow], projects: Mapping[str, Project], turned: Set[str]) -> Violations:
    """`turned` are the projects to leave out."""
    violations = Violations("rows")
    seen: dict[str, set[str]] = {name: set() for name in projects}
    for view in rows:
        if view.view == "queue" and view.row["project"] not in turned:
            violations.examined += 1
            _check_row(view.row, projects, seen, violations)
    for name, project in projects.items():
        if name not in turned:
            for task in project.tasks.keys() - seen[name]:
                violations.add(f"Task {task} of {name} has no row in queue.")
    return violations


def _check_row(
    row: Mapping[str, Any],
    projects: Mapping[str, Project],
    seen: dict[str, set[str]],
    violations: Violations,
) -> None:
    project, name = row["project"], row["task"]
    task = projects[project].tasks.get(name) if project in projects else None
    if task is None:
        violations.add(f"Queue has a row for task {name} of {project}, which the log does not know.")
    elif name in seen[project]:
        violations.add(f"Queue has two rows for task {name} of {project}.")
    else:
        seen[project].add(name)
        for field in FIELDS:
            _check_field(row, field, task, violations)


def _check_field(row: Mapping[str, Any], field: str, task: Task, violations: Violations) -> None:
    expected, found = getattr(task, field), row.get(field)
    if found != expected:
        violations.add(
            f"The row of task {row['task']} of {row['project']} says {field} {found}, the log {expected}."
        )
