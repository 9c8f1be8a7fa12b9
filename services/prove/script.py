"""The script of a run: tasks, deeds, mishaps and faults, all of it from the seed. Pure.

Which agent gets which task is decided by the race between them and is no part of it; what an agent does with
a task that it has got under a fence is.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Literal

from msgspec import Struct

PERSONAS = ("writing", "editing")
MAX_ATTEMPTS = 4
LAST_FENCE = 6
"""From this fence on a task is only completed, so that every task comes to its end."""

FAULT_SHARE = (0.08, 0.92)
"""The part of the completions in which faults happen."""

Deed = Literal["complete", "start", "report", "fail", "fail for good", "release", "offer", "hold in silence"]
Mishap = Literal["none", "connection dropped", "asked again"]

_DEEDS: tuple[tuple[float, Deed], ...] = (
    (0.62, "complete"),
    (0.10, "start"),
    (0.10, "report"),
    (0.06, "fail"),
    (0.01, "fail for good"),
    (0.04, "release"),
    (0.05, "offer"),
    (0.02, "hold in silence"),
)
_DROPPED, _REPEATED = 0.004, 0.02


class Moment(Struct, frozen=True):
    """A fault, and after how many completions it happens; `choice` (0 to 1) picks among its victims."""

    completions: int
    fault: str
    choice: float


class Script(Struct, frozen=True, kw_only=True):
    """What the fleet is to do. The same fields always say the same."""

    seed: int
    agents: int
    tasks: int
    projects: int

    def project_names(self) -> list[str]:
        return [f"p{number}" for number in range(1, self.projects + 1)]

    def agents_of(self, project: str) -> dict[str, str]:
        """The agents of a project, and their personas."""
        place = self.project_names().index(project)
        numbers = range(place, self.agents, self.projects)
        return {f"agent-{n + 1}": PERSONAS[turn % len(PERSONAS)] for turn, n in enumerate(numbers)}

    def tasks_of(self, project: str) -> int:
        place = self.project_names().index(project)
        return len(range(place, self.tasks, self.projects))

    def task_ids(self, project: str) -> Iterator[str]:
        return (task_id(project, number) for number in range(self.tasks_of(project)))

    def task(self, project: str, number: int) -> dict[str, Any]:
        """The fields of a task. One that only a persona can do is for one that the project has."""
        dice = self.chance("task", project, number)
        personas = sorted(set(self.agents_of(project).values()))
        fields: dict[str, Any] = {
            "id": task_id(project, number),
            "title": f"Task {number} of {project}",
            "priority": int(dice * 1_000) % 3,
            "retry": {
                "attempts": 2 + int(dice * 10_000) % (MAX_ATTEMPTS - 1),
                "backoff_s": 0.2,
                "factor": 1.5,
            },
        }
        if dice < 0.2:
            fields["persona"] = personas[number % len(personas)]
        return fields

    def depends(self, project: str, number: int) -> bool:
        """Whether a task waits for the one before it in its plan."""
        return self.chance("depends", project, number) < 0.08

    def deed(self, agent: str, task: str, fence: int) -> Deed:
        """What an agent does with a task that it holds."""
        dice = self.chance("deed", agent, task, fence)
        for share, deed in _DEEDS if fence < LAST_FENCE else ():
            if dice < share:
                return deed
            dice -= share
        return "complete"

    def mishap(self, actor: str, command_id: str) -> Mishap:
        """What happens to a client while it asks."""
        dice = self.chance("mishap", actor, command_id)
        if dice < _DROPPED:
            return "connection dropped"
        return "asked again" if dice < _DROPPED + _REPEATED else "none"

    def moments(self, faults: Sequence[str], rounds: int) -> list[Moment]:
        """Every fault once a round, in an order and at moments of the seed's choice."""
        order = [
            fault
            for turn in range(rounds)
            for fault in sorted(faults, key=lambda name: self.chance("order", turn, name))
        ]
        first, last = FAULT_SHARE
        width = (last - first) / max(1, len(order))
        return [
            Moment(
                int(self.tasks * (first + width * (place + self.chance("moment", place)))),
                fault,
                self.chance("victim", place),
            )
            for place, fault in enumerate(order)
        ]

    def chance(self, *parts: object) -> float:
        """A number from 0 to 1 that belongs to these words under this seed."""
        text = "/".join(map(str, (self.seed, *parts)))
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def task_id(project: str, number: int) -> str:
    return f"{project}-t{number}"
