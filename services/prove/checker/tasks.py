"""The checker's own idea of tasks and who works on them, made from names and fields of events. Pure data."""

from copy import copy

from msgspec import Struct, field


class Task(Struct, gc=False):
    """A task as the log tells it. `fence` is the highest it ever had; `completions` should never pass 1."""

    status: str
    holder: str | None = None
    fence: int = 0
    attempt: int = 0
    failures: int = 0
    completions: int = 0


class Agent(Struct, gc=False):
    """An agent, alive or not, and how many tasks it holds."""

    status: str
    held: int = 0

    @property
    def alive(self) -> bool:
        return self.status != "terminated"


class Project(Struct):
    """A project's tasks, agents and the status of its handoffs, by id, and the highest fence ever given.

    `floor` is the fence that every later one has to be above, whatever its task had.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    handoffs: dict[str, str] = field(default_factory=dict)
    fence: int = 0
    floor: int = 0

    def copy(self) -> "Project":
        tasks = {name: copy(task) for name, task in self.tasks.items()}
        agents = {name: copy(agent) for name, agent in self.agents.items()}
        return Project(tasks, agents, dict(self.handoffs), self.fence, self.floor)
