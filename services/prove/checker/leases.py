"""`one-told-holder`: nobody is told to hold a task under a fence that another was told, or that was over.

Compares the leases and the writes that clients were told were theirs, with each other and with the log's
grants.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from services.prove.checker.commands import Run
from services.prove.checker.findings import Violations
from services.prove.checker.grants import NEVER, Grant, Grants
from services.prove.evidence import Ask

ENDS = ("task.complete", "task.fail", "task.release")
"""Carried out, these end the lease; `task.complete_many` skips what its fence completed already."""

FENCED = (*ENDS, "task.start", "task.progress", "handoff.initiate")


class Leases:
    """Sees every ok that was told, with where its events stand if it brought any about."""

    def __init__(self, grants: Grants) -> None:
        self.violations = Violations("one-told-holder")
        self._grants = grants
        self._told: dict[int, str] = {}

    def told(self, ask: Ask, reply: dict[str, Any], run: Run | None) -> None:
        for task, fence in _leases(ask.verb, reply["result"]):
            self._holds(ask, task, fence, run)
        if ask.verb in FENCED:
            self._wrote(ask, ask.body["task"], ask.body["fence"], run)
        elif ask.verb == "task.complete_many":
            for done in ask.body["tasks"]:
                self._completed(ask, done["task"], done["fence"], run)

    def _holds(self, ask: Ask, task: str, fence: int, run: Run | None) -> None:
        """The answer said that the actor holds this task under this fence."""
        self.violations.examined += 1
        other = self._told.setdefault(hash((ask.project, task, fence)), ask.actor)
        if other != ask.actor:
            self._broken(ask, task, fence, f"was told to {other} too")
        grant = self._grants.find(ask.project, task, fence)
        if grant is None:
            self._broken(ask, task, fence, "was never granted, says the log")
        elif grant.agent != ask.actor:
            self._broken(ask, task, fence, f"was granted to {grant.agent} at position {grant.start}")
        elif run is not None and not run.first <= grant.start <= run.last:
            self._broken(
                ask,
                task,
                fence,
                f"was granted at position {grant.start}, not between {run.first} and {run.last}",
            )
        elif run is None and _was_over(grant, ask):
            self._broken(ask, task, fence, _dead(grant))

    def _wrote(self, ask: Ask, task: str, fence: int, run: Run | None) -> None:
        """A write under this fence was told to be carried out, or (without a run) to change nothing."""
        self.violations.examined += 1
        grant = self._grants.find(ask.project, task, fence)
        if run is None:
            if ask.verb == "task.start":
                self._unchanged(ask, task, fence, grant)
        elif grant is None:
            self._broken(ask, task, fence, "was never granted, says the log")
        elif grant.agent != ask.actor:
            self._broken(ask, task, fence, f"was granted to {grant.agent} at position {grant.start}")
        elif NEVER != grant.end < run.first or run.last < grant.start:
            self._broken(ask, task, fence, _dead(grant))
        elif ask.verb in ENDS and not run.first <= grant.end <= run.last:
            self._broken(ask, task, fence, f"should have ended by this at position {run.first}")

    def _unchanged(self, ask: Ask, task: str, fence: int, grant: Grant | None) -> None:
        """Work that had begun already: its lease must not have ended before this was asked."""
        if grant is None or grant.agent != ask.actor:
            self._broken(ask, task, fence, f"was granted to {grant.agent if grant else 'nobody'}")
        elif _was_over(grant, ask):
            self._broken(ask, task, fence, _dead(grant))

    def _completed(self, ask: Ask, task: str, fence: int, run: Run | None) -> None:
        self.violations.examined += 1
        grant = self._grants.find(ask.project, task, fence)
        if grant is None or run is None:
            return  # completed before a fork, or before this was asked
        if grant.end == NEVER or grant.end > run.last:
            self._broken(ask, task, fence, f"should have ended by this at position {run.last}")
        elif grant.end < run.first and not grant.by_completion:
            self._broken(ask, task, fence, _dead(grant))

    def _broken(self, ask: Ask, task: str, fence: int, what: str) -> None:
        self.violations.add(
            f"{ask.actor} was told ok for {ask.verb} ({ask.id}) of task {task} in {ask.project} under fence"
            f" {fence}, which {what}."
        )


def _leases(verb: str, result: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The tasks and fences that an answer says are the actor's."""
    if verb == "task.claim":
        yield from ((lease["task"], lease["fence"]) for lease in result.get("tasks", ()))
    elif verb == "agent.heartbeat":
        yield from ((lease["task"], lease["fence"]) for lease in result.get("leases", ()))
    elif verb == "handoff.accept" and "fence" in result:
        yield result["task"], result["fence"]


def _was_over(grant: Grant, ask: Ask) -> bool:
    """It had ended before this was even asked."""
    return grant.end != NEVER and grant.ended_at < ask.at


def _dead(grant: Grant) -> str:
    ended = datetime.fromtimestamp(grant.ended_at, UTC).isoformat()
    return f"was granted at position {grant.start} and over at position {grant.end} ({ended})"
