"""What the log says about a performance, read without coordctl's own code: SQL, JSON and plain rules."""

import json
from typing import Any

import psycopg
from msgspec import Struct

_EVENTS = """
SELECT topic, state FROM coord.events WHERE originator_id = %s ORDER BY originator_version
"""


class Proof(Struct):
    """Counts of what happened, and of what must never happen."""

    events: int = 0
    tasks: int = 0
    done: int = 0
    claims: int = 0
    handoffs: int = 0
    expired_leases: int = 0
    retries: int = 0
    done_twice: int = 0
    double_claims: int = 0
    lost_claims: int = 0
    early_claims: int = 0
    fences_back: int = 0

    @property
    def holds(self) -> bool:
        """Everything was done once, in order, by one agent at a time."""
        wrong = (self.done_twice, self.double_claims, self.lost_claims, self.early_claims, self.fences_back)
        return self.tasks > 0 and self.done == self.tasks and not any(wrong)


def prove(database_url: str, project: str, told: set[tuple[str, int]]) -> Proof:
    """Count over the events of a project. `told` are the tasks and fences that agents were told they hold."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_EVENTS, (project,)).fetchall()
    count = _Count()
    for topic, state in rows:
        count.add(topic.partition("@")[0], json.loads(state)["data"])
    return count.finish(told)


class _Count:
    """Who holds what under which fence, event by event."""

    def __init__(self) -> None:
        self._proof = Proof()
        self._needs: dict[str, list[str]] = {}
        self._fences: dict[str, int] = {}
        self._held: dict[str, tuple[str, int]] = {}
        self._finished: set[str] = set()
        self._claimed: set[tuple[str, int]] = set()

    def add(self, name: str, data: dict[str, Any]) -> None:
        self._proof.events += 1
        task = data.get("task", "")
        match name:
            case "task.enqueued":
                self._needs[task] = data.get("depends_on", [])
            case "task.imported":
                self._finished.add(task)
            case "task.claimed":
                self._proof.double_claims += task in self._held
                self._proof.early_claims += not self._finished.issuperset(self._needs[task])
                self._take(task, data["agent"], data["fence"])
            case "handoff.accepted":
                self._proof.handoffs += 1
                self._proof.double_claims += self._held.get(task, ("", 0))[0] != data["from_agent"]
                self._take(task, data["to_agent"], data["fence"])
            case "task.completed":
                self._proof.done += 1
                self._proof.done_twice += task in self._finished
                self._finished.add(task)
                self._end(task, data)
            case "task.failed" | "task.lease_expired" | "task.released":
                self._proof.expired_leases += name == "task.lease_expired"
                self._proof.retries += name == "task.failed"
                self._end(task, data)

    def finish(self, told: set[tuple[str, int]]) -> Proof:
        """A claim is lost if the log does not know it, or nothing ever came of it."""
        self._proof.tasks = len(self._needs)
        self._proof.claims = len(self._claimed)
        self._proof.lost_claims += len(told - self._claimed) + len(self._held)
        return self._proof

    def _take(self, task: str, agent: str, fence: int) -> None:
        self._proof.fences_back += fence <= self._fences.get(task, 0)
        self._fences[task] = fence
        self._held[task] = (agent, fence)
        self._claimed.add((task, fence))

    def _end(self, task: str, data: dict[str, Any]) -> None:
        """A claim ends; it is lost if it is not the one that stood."""
        ended = self._held.pop(task, None)
        self._proof.lost_claims += ended != (data["agent"], data["fence"])
