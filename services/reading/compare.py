"""Finding the runs that people name, so that they can be laid side by side.

agent:a1      what the agent did and what befell it
task:t-x      all that happened to a task; task:t-x#2 is the second attempt at it
plan:p-x      the tasks of a plan
project:main  all that happened in a project

It reads the log and the read models of the past, and changes nothing.
"""

import re
from typing import Literal, cast

from msgspec import Struct

from domain.errors import NotFound
from domain.messages import Recorded
from domain.tasks.events import TaskEnqueued
from projections.runs import Run, attempt, plan_parts, run
from projections.views import MAX_ROWS
from services.errors import BadInput
from services.log.history import History

MAX_RUN_EVENTS = MAX_ROWS
"""A longer run is refused: nobody reads it, and aligning it takes longer than waiting for it is worth."""

Kind = Literal["agent", "task", "plan", "project"]

_SUBJECT = re.compile(r"(agent|task|plan|project):([^#\s]+)(?:#([0-9]{1,6}))?")


class Subject(Struct, frozen=True):
    """What a run is of; `attempt` is the number of the attempt at a task, if it is one."""

    kind: Kind
    name: str
    attempt: int | None = None


def parse_subject(text: str) -> Subject:
    """What a person wrote, as the subject of a run. Raises BadInput."""
    found = _SUBJECT.fullmatch(text.strip())
    if found is None or (found[3] and found[1] != "task"):
        why = f"{text!r} is no run: write agent:NAME, task:ID, task:ID#ATTEMPT, plan:ID or project:NAME"
        raise BadInput(verb="compare", why=why)
    return Subject(cast(Kind, found[1]), found[2], int(found[3]) if found[3] else None)


def find_run(history: History, subject: Subject, after: int = 0) -> Run:
    """The run that a subject names in a project, from after this sequence on. Raises NotFound or BadInput."""
    parts: dict[str, str] = {}
    events = _events(history, subject, after)
    if subject.attempt is not None:
        events = attempt(events, subject.attempt)
    if not events:
        raise NotFound(kind=subject.kind, id=_written(subject))
    match subject.kind:
        case "agent" | "task":
            parts = {subject.name: f"the {subject.kind}"}
        case "plan":
            parts = plan_parts(each.event for each in events if isinstance(each.event, TaskEnqueued))
        case "project":
            pass  # nothing in it has a part that is known beforehand
    since = [each for each in events if each.sequence > after]
    return run(f"{subject.kind} {_written(subject)}", since, parts, by_part=subject.kind == "plan")


def _events(history: History, subject: Subject, after: int) -> list[Recorded]:
    """All the events of a subject that there are, or those of a project after a sequence."""
    match subject.kind:
        case "agent":
            events = history.of_agent(subject.name)
        case "task":
            events = history.of(subject.name)
        case "plan":
            events = history.of(*history.plan(subject.name))
        case "project":
            events = history.read(range(after + 1, min(history.last, after + MAX_RUN_EVENTS) + 1))
    cut_off = events and (events[0].sequence > after + 1 or subject.kind == "project")
    if cut_off and len(events) >= MAX_RUN_EVENTS:
        why = (
            f"{_written(subject)} has {MAX_RUN_EVENTS:,} events or more;"
            " compare what came after a POINT (--since)"
        )
        raise BadInput(verb="compare", why=why)
    return events


def _written(subject: Subject) -> str:
    return subject.name if subject.attempt is None else f"{subject.name}#{subject.attempt}"
