"""The tasks of one ledger: only what a decision asks for, and the queues that make `claim the next` cheap.

Live tasks are kept whole; of finished ones only the id and the last fence remain. What a task says (title,
description, input) is not here: the log has it at the task's `sequence`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import merge
from itertools import islice

from msgspec import Struct
from sortedcontainers import SortedList

from domain.tasks.commands import Retry
from domain.tasks.events import Status

HELD: tuple[Status, ...] = ("claimed", "in_progress")
NO_TASKS: frozenset[str] = frozenset()
"""Most tasks wait for none, and every empty set has a size of its own."""


class Needs(Struct, frozen=True):
    """What a task asks of its agent. Tasks with equal needs share one queue."""

    persona: str | None
    capabilities: frozenset[str]

    def missing(self, persona: str, capabilities: frozenset[str]) -> str:
        """What an agent lacks, in words; empty if it fits."""
        lacks = [f"persona {self.persona}"] if self.persona not in (None, persona) else []
        lacks += [f"capability {name}" for name in sorted(self.capabilities - capabilities)]
        return " and ".join(lacks)

    def fits(self, persona: str, capabilities: frozenset[str]) -> bool:
        return self.persona in (None, persona) and self.capabilities <= capabilities


class Task(Struct, gc=False):
    """A live task."""

    id: str
    sequence: int
    priority: int
    status: Status
    needs: Needs
    retry: Retry
    lease_s: float | None = None
    run_after: datetime | None = None
    waiting_for: frozenset[str] = NO_TASKS
    failures: int = 0
    fence: int = 0
    holder: str | None = None
    since: datetime | None = None
    handoff: str | None = None


Place = tuple[int, int, str]
"""Where a task stands in its queue: priority (negated), then age, then id."""


class TaskBook:
    """All tasks of a project by id, by what they wait for, and by who may claim them."""

    def __init__(self) -> None:
        self.live: dict[str, Task] = {}
        self.completed: dict[str, int] = {}
        self.cancelled: dict[str, int] = {}
        self.dependents: defaultdict[str, list[str]] = defaultdict(list)
        self.queues: dict[Needs, SortedList[Place]] = {}
        self._interned: dict[Needs | Retry, Needs | Retry] = {}

    def knows(self, task: str) -> bool:
        return task in self.live or task in self.completed or task in self.cancelled

    def add(self, task: Task) -> None:
        """Keep a new task; equal needs and retry policies are kept once."""
        task.needs = self._interned.setdefault(task.needs, task.needs)  # type: ignore[assignment]  # own type back
        task.retry = self._interned.setdefault(task.retry, task.retry)  # type: ignore[assignment]  # own type back
        self.live[task.id] = task
        for dependency in task.waiting_for:
            self.dependents[dependency].append(task.id)

    def add_all(self, tasks: Iterable[Task]) -> None:
        """Keep new tasks as they stand, the oldest first; each queue is sorted once."""
        places: defaultdict[Needs, list[Place]] = defaultdict(list)
        for task in tasks:
            self.add(task)
            if task.status == "queued":
                places[task.needs].append(_place(task))
        for needs, found in places.items():
            self.queues.setdefault(needs, SortedList()).update(found)

    def queue(self, task: Task) -> None:
        """Make a task claimable."""
        task.status = "queued"
        queue = self.queues.get(task.needs)
        if queue is None:
            queue = self.queues[task.needs] = SortedList()
        queue.add(_place(task))

    def unqueue(self, task: Task) -> None:
        """Take a task out of its queue, if it stands in one."""
        if task.status != "queued":
            return
        queue = self.queues[task.needs]
        queue.remove(_place(task))
        if not queue:
            del self.queues[task.needs]

    def next_for(self, persona: str, capabilities: frozenset[str], count: int) -> Iterator[Task]:
        """The claimable tasks that fit, best first, `count` at most."""
        fitting = [queue for needs, queue in self.queues.items() if needs.fits(persona, capabilities)]
        best = fitting[0] if len(fitting) == 1 else merge(*(islice(queue, count) for queue in fitting))
        return (self.live[place[2]] for place in islice(best, count))

    def finish(self, task: Task, into: dict[str, int]) -> None:
        """Drop a finished task down to its id and fence."""
        self.live.pop(task.id, None)
        into[task.id] = task.fence

    def waiting_on(self, dependency: str) -> list[Task]:
        """The live tasks that wait for this one, each once, oldest first."""
        names = dict.fromkeys(self.dependents.get(dependency, ()))
        return [self.live[name] for name in names if name in self.live]

    def status_of(self, task: str) -> Status:
        if task in self.live:
            return self.live[task].status
        return "completed" if task in self.completed else "cancelled"

    def fence_of(self, task: str) -> int:
        if task in self.live:
            return self.live[task].fence
        return self.completed.get(task, self.cancelled.get(task, 0))


def _place(task: Task) -> Place:
    return (-task.priority, task.sequence, task.id)
