"""What the benchmark's made-up fleet asks for: a plausible mixture, at random among what the ledger allows.

So nothing is refused. Looks into the ledger and changes nothing.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice
from random import Random

from domain.agents import SpawnAgent, TerminateAgent
from domain.bookmarks import SetBookmark
from domain.handoffs import AcceptHandoff, Baggage, HandoffInitiated, InitiateHandoff, RejectHandoff
from domain.knowledge.actions import Action, RecordActions
from domain.knowledge.complexity import Measured, SnapshotComplexity
from domain.knowledge.decisions import RecordDecision
from domain.knowledge.documentation import CacheDocumentation
from domain.knowledge.patterns import DefinePattern, UsePattern
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike
from domain.learning import CloseEstimate, RecordEstimate, RecordFailure, RecordRetrospective
from domain.ledger import Ledger
from domain.memory import StoreMemory
from domain.messages import Command, Event
from domain.personas import BUILT_IN, DefinePersona
from domain.sessions import StartSession
from domain.settings import SetSetting
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    Retry,
    RetryTask,
    StartTask,
)
from domain.tasks.events import TaskCompleted, TaskDied, TaskFailed
from domain.tasks.state import Task

OPERATOR = "operator"
LEASE_S = 900
STALE_AFTER_S = 1_200
RETRY = Retry(attempts=3, backoff_s=600.0)
MAX_LETTERS = 10

FAILING, RELEASING, OFFERING = 0.01, 0.004, 0.008
"""How likely it is that a turn of work ends so; it takes five or six turns to complete a task."""

KNOWING = 0.08
"""Below this chance, and above that of closing an estimate, a completed task leaves something to know."""

PATTERN = "short-chapters"

VERBS = ("Outline", "Draft", "Revise", "Check", "Describe", "Date", "Shorten", "Research")
THINGS = ("the harbour", "the archive", "act two", "the prophecy", "the salt routes", "the warden's motive")
NOTES = (
    "read what is there and made a list of what is missing",
    "the first half stands; the second contradicts the timeline",
    "asked the keeper of the lore about two names",
    "rewrote the opening, it was told from the wrong side",
    "all passages found, working through them one by one",
)
ERRORS = (
    "the source that the task names does not exist",
    "two chapters contradict each other and neither is marked as final",
    "the tool answered with an error three times in a row",
)


class World:
    """The agents and what each of them has before it, beyond what the ledger knows."""

    def __init__(self, ledger: Ledger, random: Random, agents: int) -> None:
        personas = islice(cycle(BUILT_IN), agents)
        self.agents = {f"{persona}-{number}": persona for number, persona in enumerate(personas, 1)}
        self._names = tuple(self.agents)
        self._ledger = ledger
        self._random = random
        self._percent: dict[str, int] = {}
        self._letters: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=MAX_LETTERS))
        self._dead: list[str] = []

    def notice(self, events: Iterable[Event]) -> None:
        """Remember what somebody will have to see to."""
        for event in events:
            if isinstance(event, TaskDied):
                self._dead.append(event.task)
            elif isinstance(event, HandoffInitiated):
                receiver = event.to_agent or self._colleague(event.from_agent, event.to_persona)
                self._letters[receiver].append(event.handoff)

    def turn(self, name: str) -> Command:
        """What an agent does next."""
        agent = self._ledger.agents.get(name)
        if agent is None:
            return SpawnAgent(persona=self.agents[name], platform="bench", metadata={"run": "history"})
        if answer := self._answer(name):
            return answer
        if not agent.held:
            return ClaimTask(count=3 if self._random.random() < 0.05 else 1)
        task = self._ledger.tasks.live[min(agent.held)]
        if task.status == "claimed":
            self._percent[name] = 0
            return StartTask(task=task.id, fence=task.fence)
        return self._work(name, task)

    def governing(self) -> Iterator[Command]:
        """What the operator does now and then."""
        chance, dead, self._dead = self._random.random(), self._dead, []
        for task in dead:
            yield self._cancel(task) if self._random.random() < 0.2 else RetryTask(task=task)
        if chance < 0.15:
            mark = f"look-back-{self._random.randrange(50)}"
            yield SetBookmark(bookmark=mark, sequence=self._random.randrange(self._ledger.sequence))
        elif chance < 0.3:
            seconds = STALE_AFTER_S + self._random.randrange(300)
            yield SetSetting(key="stale_after_s", value=float(seconds))
        elif chance < 0.5:
            theme = self._random.choice(("light", "dark", "system"))
            yield SetSetting(key="theme", value=theme, scope="user", user=self._random.choice(self._names))
        elif chance < 0.6 and (name := self._random.choice(self._names)) in self._ledger.agents:
            yield TerminateAgent(agent=name, reason="a newer version takes its place")
        elif queued := self._queued():
            if chance < 0.8:
                yield ReprioritizeTask(task=queued, priority=self._random.randrange(10))
            else:
                yield self._cancel(queued)

    def learning(self, event: TaskFailed | TaskCompleted) -> Iterator[Command]:
        """What an agent records after a task."""
        chance = self._random.random()
        if isinstance(event, TaskFailed):
            if chance < 0.3:
                why, lesson = event.error, "look whether the source exists before the task is planned"
                yield RecordFailure(
                    feature="the plan", approach="as described", why=why, lesson=lesson, task=event.task
                )
        elif chance < 0.02 and (estimate := next(iter(self._ledger.estimates), None)):
            spent = self._random.randrange(1, 20) / 2
            yield CloseEstimate(estimate=estimate, sessions=spent, files_modified=self._random.randrange(40))
            yield RecordRetrospective(
                feature="a plan that is done", surprises=self._random.choice(NOTES), spike_accuracy=70
            )
        elif chance < KNOWING:
            yield self._known(event.task)

    def _known(self, task: str) -> Command:
        """Something that others should know."""
        random = self._random
        note, spike = random.choice(NOTES), next(iter(self._ledger.knowledge.spikes), None)
        file = f"chapter-{random.randrange(40)}.md"
        return random.choice((
            StoreMemory(text=note, importance=random.random(), task=task),
            RecordDecision(title="the order of the chapters", choice=note, task=task),
            UsePattern(pattern=PATTERN, file=file, compliance=random.randrange(101)),
            SnapshotComplexity(files=(Measured(file=file, score=random.uniform(1, 50)),)),
            CacheDocumentation(library=random.choice(THINGS), content=note),
            RecordActions(actions=(Action(action="read", seconds=random.uniform(1, 60), task=task),)),
            ConcludeSpike(spike=spike, result=note, viable=random.random() < 0.5)
            if spike
            else InitiateSpike(question="does it hold when it is told by turns?", task=task),
        ))  # fmt: skip

    def planning(self, number: int, now: datetime) -> Iterator[Command]:
        """A plan of 10 to 30 tasks, each after up to three of those before it; now and then a late task."""
        if self._random.random() < 0.3:
            sessions = self._random.randrange(1, 20) / 2
            yield RecordEstimate(feature=f"plan {number}", sessions=sessions, complexity=5)
        size = self._random.randrange(10, 31)
        tasks = tuple(self._planned(number, place) for place in range(size))
        yield EnqueuePlan(tasks=tasks, session=next(iter(self._ledger.sessions), None))
        if self._random.random() < 0.2:
            later = now + timedelta(seconds=self._random.randrange(86_400))
            yield EnqueueTask(title=f"Look back on plan {number}", run_after=later, retry=RETRY)

    def _planned(self, number: int, place: int) -> PlannedTask:
        random = self._random
        title = f"{random.choice(VERBS)} {random.choice(THINGS)} for chapter {number}.{place}"
        near = range(max(0, place - 6), place)
        after = random.sample(near, min(len(near), random.choice((0, 0, 1, 1, 2, 3))))
        return PlannedTask(
            local=f"s{place}",
            title=title,
            description=f"{title}. Keep to what the lore says, and note whatever contradicts it.",
            persona=self.agents[random.choice(self._names)] if random.random() < 0.5 else None,
            priority=random.choice((0, 0, 0, 1, 5)),
            depends_on=tuple(f"s{other}" for other in after),
            parent="s0" if place else None,
            input={"chapter": number, "part": place, "words": random.randrange(200, 3_000)},
            retry=RETRY,
        )

    def _work(self, name: str, task: Task) -> Command:
        chance, fence = self._random.random(), task.fence
        if chance < FAILING:
            error = self._random.choice(ERRORS)
            return FailTask(task=task.id, fence=fence, error=error, retryable=chance < 0.9 * FAILING)
        if (chance := chance - FAILING) < RELEASING:
            return ReleaseTask(task=task.id, fence=fence, reason="somebody else knows more about this")
        if chance - RELEASING < OFFERING and task.handoff is None:
            return self._offer(name, task)
        percent = self._percent[name] = self._percent.get(name, 0) + self._random.randrange(5, 36)
        if percent < 100:
            note = self._random.choice(NOTES)
            return ReportProgress(task=task.id, fence=fence, note=note, percent=percent)
        words = self._random.randrange(200, 3_000)
        return CompleteTask(task=task.id, fence=fence, result={"file": f"{task.id}.md", "words": words})

    def _offer(self, name: str, task: Task) -> Command:
        baggage = Baggage(
            goal="finish what is begun", done=(self._random.choice(NOTES),), next_step="read the notes"
        )
        persona = task.needs.persona or self.agents[name]
        return InitiateHandoff(
            task=task.id, fence=task.fence, to_persona=persona, reason="the shift ends", context=baggage
        )

    def _answer(self, name: str) -> Command | None:
        """To the oldest offer that still stands."""
        letters = self._letters.get(name)
        while letters:
            handoff = self._ledger.handoffs.get(letters.popleft())
            if handoff is not None and handoff.status == "initiated":
                if self._random.random() < 0.8:
                    return AcceptHandoff(handoff=handoff.id)
                return RejectHandoff(handoff=handoff.id, reason="too much to do")
        return None

    def _colleague(self, name: str, persona: str | None) -> str:
        others = [other for other, its in self.agents.items() if its == persona and other != name]
        return self._random.choice(others)

    def _queued(self) -> str | None:
        """A task that can be claimed."""
        queues = self._ledger.tasks.queues
        if not queues:
            return None
        *_, task = self._random.choice(queues[self._random.choice(list(queues))])
        return task

    def _cancel(self, task: str) -> Command:
        """Take a task away; one that others wait for goes first instead, or they would wait for ever."""
        if self._ledger.tasks.dependents.get(task):
            live = self._ledger.tasks.live[task]
            return RetryTask(task=task) if live.status == "dead" else ReprioritizeTask(task=task, priority=99)
        return CancelTask(task=task, reason="the plan has changed")


def opening(agents: int) -> tuple[Command, ...]:
    """What is set before anybody starts."""
    return (
        SetSetting(key="max_agents", value=agents),
        SetSetting(key="default_lease_s", value=float(LEASE_S)),
        SetSetting(key="stale_after_s", value=float(STALE_AFTER_S)),
        DefinePattern(pattern=PATTERN, description="Ten pages at most, and a question at the end."),
        StartSession(role="planner", focus="the whole book"),
        DefinePersona(
            persona="poet", definition="Writes the songs that people sing.", capabilities=("verse",)
        ),
    )
