"""Runs: what an agent did, how a task or an attempt at it went, how a plan was carried out. Compared. Pure.

A run is a sequence of steps. A step is an event, labelled by what happened to which part in it ("task 2
claimed", "outline completed"), so that the same step of two runs has the same label whatever the things are
called. Where a label comes again, its k-th step answers to the k-th of the other run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Literal

from msgspec import Struct

from domain.handoffs import HandoffAccepted, HandoffEvent
from domain.messages import Event, Recorded
from domain.personas import PersonaDefined
from domain.settings import SettingChanged
from domain.tasks.events import (
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskDied,
    TaskEnqueued,
    TaskEvent,
    TaskFailed,
    TaskImported,
    TaskLeaseExpired,
    TaskProgressed,
    TaskQueued,
    TaskReleased,
    TaskReprioritized,
    TaskRevived,
    TaskStarted,
)
from projections.words import words

Mark = Literal["=", "<", ">", "!"]
"""The same step in both; only in the left; only in the right; another step in each."""


class Step(Struct, frozen=True):
    """An event of a run.

    `place` counts from 0 in the order of time; `offset_s` is the time since the run began, `took_s` that
    since the step before about the same part, if there was one.
    """

    place: int
    label: str
    sequence: int
    position: int
    offset_s: float
    took_s: float | None
    words: str


class Run(Struct, frozen=True):
    """`tasks` counts the tasks in it by the status in which the run left them."""

    name: str
    steps: tuple[Step, ...]
    duration_s: float
    tasks: dict[str, int]


class Pair(Struct, frozen=True):
    """A line of a comparison."""

    mark: Mark
    left: Step | None
    right: Step | None


class Comparison(Struct, frozen=True):
    """`first` is the place among `pairs` of the first difference; None if the runs are the same."""

    left: Run
    right: Run
    pairs: tuple[Pair, ...]
    first: int | None


def run(name: str, events: Sequence[Recorded], parts: Mapping[str, str], *, by_part: bool = False) -> Run:
    """The run that these events make, oldest first.

    `parts` names things by the part they have in it; the others are numbered as they come in ("task 2"). With
    `by_part` the steps stand task by task, in the order of `parts`, so that it does not matter in which order
    those that work side by side came to act.
    """
    steps = _steps(events, parts)
    if by_part:
        order = {name: place for place, name in enumerate(parts)}
        about = [order.get(_task_of(each.event) or "", len(order)) for each in events]
        steps = sorted(steps, key=lambda step: (about[step.place], step.place))
    duration_s = (events[-1].at - events[0].at).total_seconds() if events else 0.0
    return Run(name, tuple(steps), duration_s, dict(Counter(_statuses(events).values())))


def attempt(events: Iterable[Recorded], number: int) -> list[Recorded]:
    """The events of the n-th attempt at a task, 1 being the first; none if it came to no such attempt.

    An attempt lasts from the claim that begins it over releases and handoffs to the event that spends it.
    """
    attempts: list[list[Recorded]] = []
    spent = True
    for each in events:
        if isinstance(each.event, TaskClaimed) and spent:
            attempts.append([])
            spent = False
        if attempts and not isinstance(each.event, TaskQueued | TaskRevived | TaskReprioritized):
            attempts[-1].append(each)
        spent = spent or isinstance(each.event, TaskFailed | TaskLeaseExpired)
    return attempts[number - 1] if 0 < number <= len(attempts) else []


def plan_parts(enqueued: Iterable[TaskEnqueued]) -> dict[str, str]:
    """The tasks of a plan by id, each with its local name, or its place in the plan if it has none."""
    return {event.task: event.local or f"task {place}" for place, event in enumerate(enqueued, 1)}


def compare(left: Run, right: Run) -> Comparison:
    """The runs side by side, the same steps on the same line."""
    ours, theirs = (_numbered(step.label for step in each.steps) for each in (left, right))
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    pairs: list[Pair] = []
    for code, begin, end, other, until in matcher.get_opcodes():
        pairs += _paired(code == "equal", left.steps[begin:end], right.steps[other:until])
    return Comparison(left, right, tuple(pairs), _first(pairs))


def _paired(same: bool, left: Sequence[Step], right: Sequence[Step]) -> list[Pair]:
    both = min(len(left), len(right))
    mark: Mark = "=" if same else "!"
    return [
        *(Pair(mark, one, other) for one, other in zip(left[:both], right[:both], strict=True)),
        *(Pair("<", one, None) for one in left[both:]),
        *(Pair(">", None, other) for other in right[both:]),
    ]


def _first(pairs: Sequence[Pair]) -> int | None:
    """The difference that came first in either run."""
    differing = [place for place, pair in enumerate(pairs) if pair.mark != "="]
    return min(differing, key=lambda place: _earliest(pairs[place]), default=None)


def _earliest(pair: Pair) -> int:
    return min(step.place for step in (pair.left, pair.right) if step is not None)


def _numbered(labels: Iterable[str]) -> list[tuple[str, int]]:
    """Each label with how often it has come: what comes again and again is aligned in its order."""
    times: Counter[str] = Counter()
    numbered = []
    for label in labels:
        times[label] += 1
        numbered.append((label, times[label]))
    return numbered


def _steps(events: Sequence[Recorded], parts: Mapping[str, str]) -> list[Step]:
    part_of = _namer(parts)
    last: dict[str, datetime] = {}
    steps = []
    for place, each in enumerate(events):
        part = part_of(each.event)
        before = last.get(part)
        last[part] = each.at
        steps.append(
            Step(
                place=place,
                label=f"{part} {_verb(each.event)}",
                sequence=each.sequence,
                position=each.position,
                offset_s=(each.at - events[0].at).total_seconds(),
                took_s=None if before is None else (each.at - before).total_seconds(),
                words=words(each),
            )
        )
    return steps


def _namer(parts: Mapping[str, str]) -> Callable[[Event], str]:
    """Names things by their part, or by their kind and a number; a handoff is one of its task."""
    named = dict(parts)
    kinds: Counter[str] = Counter()

    def part_of(event: Event) -> str:
        if isinstance(event, SettingChanged | PersonaDefined):
            return event.entity  # these are called the same everywhere
        thing = event.task if isinstance(event, HandoffEvent) else event.entity
        if thing not in named:
            kind = "task" if isinstance(event, HandoffEvent) else event.name.partition(".")[0]
            kinds[kind] += 1
            named[thing] = f"{kind} {kinds[kind]}"
        return named[thing]

    return part_of


def _verb(event: Event) -> str:
    """What happened, without to what."""
    what = event.name if isinstance(event, HandoffEvent) else event.name.partition(".")[2]
    return what.replace(".", " ").replace("_", " ")


def _task_of(event: Event) -> str | None:
    task: str | None = getattr(event, "task", None)
    return task


def _statuses(events: Iterable[Recorded]) -> dict[str, str]:
    """The status in which these events leave each task."""
    statuses: dict[str, str] = {}
    for each in events:
        event = each.event
        if isinstance(event, TaskEvent):
            statuses[event.task] = _status_after(event) or statuses.get(event.task, "queued")
        elif isinstance(event, HandoffAccepted):
            statuses[event.task] = "claimed"
    return statuses


def _status_after(event: TaskEvent) -> str | None:
    match event:
        case TaskEnqueued() | TaskImported() | TaskRevived():
            return event.status
        case TaskQueued() | TaskReleased() | TaskLeaseExpired():
            return "queued"
        case TaskClaimed():
            return "claimed"
        case TaskStarted() | TaskProgressed():
            return "in_progress"
        case TaskCompleted():
            return "completed"
        case TaskFailed():
            return "failed"
        case TaskDied():
            return "dead"
        case TaskCancelled():
            return "cancelled"
        case _:
            return None
