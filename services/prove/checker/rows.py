"""`rows`: tasks, agents and handoffs as the log tells them against the rows of their read models.

Projects that were forked or restored are left out: their rows are read through layers, not as the table has
them.
"""

from collections.abc import Callable, Mapping, Set
from typing import Any

from services.prove.checker.findings import Violations
from services.prove.checker.tasks import Project
from services.prove.evidence import ViewRow

Fields = dict[str, Any]


def _task(project: Project, name: str) -> Fields | None:
    task = project.tasks.get(name)
    if task is None:
        return None
    return {
        "status": task.status,
        "holder": task.holder,
        "fence": task.fence,
        "attempt": task.attempt,
        "failures": task.failures,
    }


def _agent(project: Project, name: str) -> Fields | None:
    agent = project.agents.get(name)
    return None if agent is None else {"status": agent.status, "tasks": agent.held}


def _handoff(project: Project, name: str) -> Fields | None:
    status = project.handoffs.get(name)
    return None if status is None else {"status": status}


VIEWS: Mapping[str, tuple[str, str, Callable[[Project, str], Fields | None]]] = {
    "queue": ("task", "tasks", _task),
    "agents": ("agent", "agents", _agent),
    "handoffs": ("handoff", "handoffs", _handoff),
}
"""Of each view: what its rows are about, where the checker has these, and what the log says of one."""


class Rows:
    """Sees every row there is. `turned` are the projects to leave out."""

    def __init__(self, projects: Mapping[str, Project], turned: Set[str]) -> None:
        self.violations = Violations("rows")
        self._projects = {name: project for name, project in projects.items() if name not in turned}
        self._turned = turned
        self._seen: dict[tuple[str, str], set[str]] = {}

    def see(self, view_row: ViewRow) -> None:
        view, row = view_row.view, view_row.row
        project = row["project"]
        if view not in VIEWS or project in self._turned:
            return
        self.violations.examined += 1
        kind, _, says = VIEWS[view]
        name = row[kind]
        expected = says(self._projects[project], name) if project in self._projects else None
        seen = self._seen.setdefault((view, project), set())
        if expected is None:
            self._wrong(view, project, name, f"but the log does not know this {kind}")
        elif name in seen:
            self._wrong(view, project, name, "twice")
        else:
            self._compare(view, row, name, expected)
        seen.add(name)

    def end(self) -> None:
        """All rows were seen: what has none is missing, in every view that has any row at all."""
        shown = {view for view, _ in self._seen} | {"queue"}
        for view in shown:
            kind, where, _ = VIEWS[view]
            for name, project in self._projects.items():
                for missing in getattr(project, where).keys() - self._seen.get((view, name), set()):
                    self.violations.add(f"There is no row for {kind} {missing} of {name} in {view}.")

    def _compare(self, view: str, row: Mapping[str, Any], name: str, expected: Fields) -> None:
        for field, value in expected.items():
            found = row.get(field)
            if isinstance(found, list):
                found = len(found)
            if found != value:
                self._wrong(view, row["project"], name, f"with {field} {found}, but the log says {value}")

    def _wrong(self, view: str, project: str, name: str, what: str) -> None:
        self.violations.add(f"There is a row for {VIEWS[view][0]} {name} of {project} in {view}, {what}.")
