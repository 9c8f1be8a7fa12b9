"""The checker's own idea of a task's life, made from the events' names and fields alone. Pure data."""

from msgspec import Struct


class Task(Struct, gc=False):
    """A task as the log tells it. `fence` is the highest it ever had; `completions` should never pass 1."""

    status: str
    holder: str | None = None
    fence: int = 0
    attempt: int = 0
    failures: int = 0
    completions: int = 0


class Project(Struct):
    """A project's tasks by id, how many tasks each living agent holds, and the highest fence ever given."""

    tasks: dict[str, Task]
    agents: dict[str, int]
    fence: int = 0
    floor: int = 0

    def copy(self) -> "Project":
        tasks = {name: _copy(task) for name, task in self.tasks.items()}
        return Project(tasks, dict(self.agents), self.fence, self.floor)


def _copy(task: Task) -> Task:
    return Task(task.status, task.holder, task.fence, task.attempt, task.failures, task.completions)
