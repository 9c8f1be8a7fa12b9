"""`finished`: no task is completed twice, and if the plan is done, each of its tasks was completed once."""

from collections.abc import Mapping

from services.prove.checker.findings import Violations
from services.prove.checker.tasks import Project
from services.prove.evidence import Plan


def check_finished(plan: Plan, projects: Mapping[str, Project]) -> Violations:
    violations = Violations("finished")
    for name, project in projects.items():
        for task_name, task in project.tasks.items():
            violations.examined += 1
            if task.completions > 1:
                violations.add(f"Task {task_name} of {name} was completed {task.completions} times.")
    if plan.finished:
        for name, tasks in plan.tasks.items():
            _check_plan(name, tasks, projects.get(name), violations)
    return violations


def _check_plan(name: str, tasks: list[str], project: Project | None, violations: Violations) -> None:
    for task_name in tasks:
        task = project.tasks.get(task_name) if project is not None else None
        if task is None:
            violations.add(f"Task {task_name} of {name} is in the plan, but was never enqueued.")
        elif task.status != "completed":
            violations.add(
                f"Task {task_name} of {name} is in the finished plan, but is {task.status}"
                f" (holder {task.holder}, fence {task.fence})."
            )
        elif task.completions == 0:
            violations.add(f"Task {task_name} of {name} is in the finished plan, but nobody completed it.")
