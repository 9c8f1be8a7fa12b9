"""What the agents of a project and their planner know of each other, in the memory of one process."""

import asyncio
from collections import deque

from services.prove.script import Script, task_id

MAX_LETTERS = 100
CONTESTED_TASKS = 4


class Board:
    """How far the project is, and the letters that tell agents of offers."""

    def __init__(self, script: Script, project: str) -> None:
        self.script = script
        self.project = project
        self.agents = script.agents_of(project)
        self.total = script.tasks_of(project)
        self.enqueued = 0
        self.completed = 0
        self.allowed = 0
        self.news = asyncio.Event()
        self._letters: dict[str, deque[str]] = {name: deque(maxlen=MAX_LETTERS) for name in self.agents}

    def allow(self, tasks: int) -> None:
        """Let the planner enqueue so many of all projects' tasks."""
        self.allowed = min(self.total, -(-tasks * self.total // self.script.tasks))
        self.news.set()

    def add_completed(self, tasks: int) -> None:
        self.completed += tasks
        self.news.set()

    def post(self, agent: str, handoff: str) -> None:
        """Tell an agent of an offer."""
        self._letters[agent].append(handoff)

    def letters(self, agent: str) -> deque[str]:
        return self._letters[agent]

    def contested(self, pick: float) -> str | None:
        """One of the few tasks that everybody wants by name at the moment: the newest ones."""
        if self.enqueued == 0:
            return None
        return task_id(self.project, max(0, self.enqueued - 1 - int(pick * CONTESTED_TASKS)))

    def others(self, agent: str, persona: str | None = None) -> list[str]:
        """The other agents; with a persona those who are it."""
        return [
            name for name, its in self.agents.items() if name != agent and (persona is None or its == persona)
        ]
