"""Every lease that the log ever granted, and when it ended; about 200 bytes each, in columns.

Names are kept as their hashes: two of ten million agree with a chance of less than one in 100,000.
"""

from array import array
from datetime import datetime

from msgspec import Struct

NEVER = -1


class Grant(Struct, frozen=True):
    """Who got a task under a fence, at which position, and where and when (unix seconds) that was over."""

    agent: str
    start: int
    end: int
    ended_at: float
    by_completion: bool


class Grants:
    """Grants by project, task and fence; of two for the same fence the first is kept."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}
        self._agents: dict[str, int] = {}
        self._names: list[str] = []
        self._agent = array("l")
        self._start = array("q")
        self._end = array("q")
        self._ended_at = array("d")
        self._by_completion = array("b")

    def begin(self, project: str, task: str, fence: int, agent: str, position: int) -> bool:
        """False if this fence of the task was granted before."""
        index = len(self._start)
        if self._index.setdefault(hash((project, task, fence)), index) != index:
            return False
        self._agent.append(self._number(agent))
        self._start.append(position)
        self._end.append(NEVER)
        self._ended_at.append(0.0)
        self._by_completion.append(0)
        return True

    def end(
        self, project: str, task: str, fence: int, position: int, at: str, *, by_completion: bool
    ) -> None:
        """The first end counts; a lease that a fork took over from its origin is not known here."""
        index = self._index.get(hash((project, task, fence)))
        if index is None or self._end[index] != NEVER:
            return
        self._end[index] = position
        self._ended_at[index] = datetime.fromisoformat(at).timestamp()
        self._by_completion[index] = by_completion

    def find(self, project: str, task: str, fence: int) -> Grant | None:
        index = self._index.get(hash((project, task, fence)))
        if index is None:
            return None
        return Grant(
            self._names[self._agent[index]],
            self._start[index],
            self._end[index],
            self._ended_at[index],
            bool(self._by_completion[index]),
        )

    def _number(self, agent: str) -> int:
        number = self._agents.setdefault(agent, len(self._names))
        if number == len(self._names):
            self._names.append(agent)
        return number
