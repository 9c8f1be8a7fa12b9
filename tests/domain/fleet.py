"""A made-up fleet for the invariants: what it may ask, what a plain model expects, and what must hold.

The model knows only the commands given and the events recorded; it never looks into the ledger. What the
ledger says is compared with it after every step.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from domain.agents import AgentSpawned, AgentTerminated
from domain.catalog import EVENTS
from domain.decider import evolve, turn
from domain.errors import Rejection
from domain.handoffs import AcceptHandoff, CompleteHandoff, HandoffAccepted, RejectHandoff
from domain.ledger import Ledger
from domain.messages import Command, Context, Event
from domain.project import ProjectRestored, RestoreProject
from domain.tasks.commands import (
    CompleteTask,
    CompleteTasks,
    Completion,
    FailTask,
    ReleaseTask,
    ReportProgress,
    Retry,
    StartTask,
)
from domain.tasks.events import (
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskDied,
    TaskEnqueued,
    TaskFailed,
    TaskImported,
    TaskLeaseExpired,
    TaskQueued,
    TaskReleased,
    TaskRevived,
)
from tests.domain.snapshot import recorded, snapshot

NAMES = ("a1", "a2", "a3", "a4")
AGENTS = st.sampled_from(NAMES)
PERSONAS = st.sampled_from(("plot", "map", "poet"))
LOCALS = st.sampled_from("uvwx")
CAPABILITIES = st.sets(st.sampled_from(("web", "gpu")), max_size=1).map(tuple)
CHANCE = st.integers(0, 10_000)
CHANCES = st.lists(CHANCE, max_size=3)
FIELDS = st.fixed_dictionaries(
    {
        "lease_s": st.sampled_from((None, 5.0, 60.0, 500.0)),
        "persona": st.sampled_from((None, None, "plot", "map")),
        "capabilities": st.sampled_from(((), (), ("web",), ("gpu",))),
        "priority": st.integers(-2, 2),
    },
    optional={
        "retry": st.builds(
            Retry,
            attempts=st.integers(1, 3),
            backoff_s=st.sampled_from((0.0, 1.0, 30.0)),
            factor=st.just(2.0),
        ),
    },
)
VERBS = st.integers(0, 6)
ANSWERS = (AcceptHandoff, AcceptHandoff, AcceptHandoff, RejectHandoff, CompleteHandoff)
CHANGES: tuple[tuple[str, Any], ...] = (
    ("max_agents", 1),
    ("max_agents", 3),
    ("max_agents", None),
    ("stale_after_s", 10 / 3),
    ("idle_timeout_s", 40),
    ("idle_timeout_s", None),
    ("default_lease_s", 7.5),
    ("poet", None),
    ("estimate", None),
    ("bookmark", None),
)
WAITS = st.one_of(st.none(), st.integers(0, 60))


Answer = tuple[Event, ...] | Rejection


def tried(
    act: Callable[[Ledger, Command, Context], tuple[Event, ...]],
    ledger: Ledger,
    command: Command,
    context: Context,
) -> Answer:
    try:
        return act(ledger, command, context)
    except Rejection as rejection:
        return rejection


def restored(ledger: Ledger, log: "Log", to: int, at: datetime) -> tuple[Ledger, tuple[Event, ...]]:
    """The ledger after a restore, and what happened; the one before stays as it was."""
    then, before = log.fold(to), snapshot(ledger)
    context = Context(project="novel", actor="operator", at=at, command_id=f"r{ledger.sequence}")
    events = turn(ledger, RestoreProject(sequence=to, reason="wrong way"), context, then)
    assert snapshot(ledger) == before, "deciding changed the ledger"
    assert all("restored" in then.terminated[name] for name in ledger.agents)
    assert then.bookmarks == ledger.bookmarks
    assert not then.agents
    return then, events


class Entry(Struct, frozen=True):
    """An event as the log holds it: its name, its JSON and its time."""

    name: str
    body: bytes
    at: datetime

    def event(self) -> Event:
        return msgspec.json.decode(self.body, type=EVENTS[self.name])


class Log:
    """Every event that there was, and of each state those that made it; `ends` are where commands ended."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.ends: list[int] = []
        self._made: list[tuple[int, ...]] = [()]

    def add(self, events: Sequence[Event], at: datetime) -> None:
        """What one command brought about."""
        for event in events:
            before = event.sequence if isinstance(event, ProjectRestored) else -1
            self.entries.append(Entry(event.name, msgspec.json.encode(event), at))
            self._made.append((*self._made[before], len(self.entries)))
        if events:
            self.ends.append(len(self.entries))

    def after(self, sequence: int) -> list[tuple[int, Entry]]:
        """The events that made the state right after this one, with their sequences."""
        return [(number, self.entries[number - 1]) for number in self._made[sequence]]

    def fold(self, sequence: int = -1) -> Ledger:
        """The ledger right after this event, or after the last."""
        ledger = Ledger("novel")
        for number, row in self.after(sequence):
            evolve(ledger, row.event(), number, row.at)
        return ledger


class Lease(Struct, frozen=True):
    task: str
    agent: str
    fence: int


def work_on(lease: Lease, verb: int) -> Command:
    fence: dict[str, Any] = {"task": lease.task, "fence": lease.fence}
    commands: tuple[Command, ...] = (
        StartTask(**fence),
        CompleteTask(**fence, result={"by": lease.agent}),
        ReportProgress(**fence, percent=50),
        CompleteTasks(tasks=(Completion(**fence),)),
        FailTask(**fence, error="no"),
        FailTask(**fence, error="no", retryable=False),
        ReleaseTask(**fence),
    )
    return commands[verb]


class Model:
    """What the events say of tasks and leases, kept as plainly as can be."""

    def __init__(self) -> None:
        self.needs: dict[str, tuple[str, ...]] = {}
        self.early_until: dict[str, datetime] = {}
        self.leases: dict[str, Lease] = {}
        self.granted: list[Lease] = []
        self.fences: Counter[str] = Counter()
        self.completed: set[str] = set()
        self.cancelled: set[str] = set()
        self.dead: set[str] = set()
        self.agents: set[str] = set()
        self.floor = 0

    def gone_back(self, log: Log, sequence: int) -> "Model":
        """What the events say up to this one, and of later ones the leases granted and the agents alive."""
        then = Model()
        for _, row in log.after(sequence):
            then.apply(row.event(), row.at)
        then.granted, then.agents = self.granted, then.agents | self.agents
        then.floor = max((lease.fence for lease in self.granted), default=0)
        return then

    def apply(self, event: Event, at: datetime) -> None:
        match event:
            case TaskEnqueued():
                assert event.task not in self.needs, "an id was used twice"
                self.needs[event.task] = event.depends_on
                if event.run_after is not None:
                    self.early_until[event.task] = event.run_after
            case TaskImported():
                self.needs[event.task] = ()
                (self.completed if event.status == "completed" else self.cancelled).add(event.task)
            case TaskClaimed():
                assert event.task not in self.leases, "claimed while somebody held it"
                self._grant(Lease(event.task, event.agent, event.fence), at)
            case HandoffAccepted():
                before = self.leases.pop(event.task, None)
                assert before is not None, "accepted what nobody held"
                assert before.agent == event.from_agent, "taken from somebody else than its sender"
                self._grant(Lease(event.task, event.to_agent, event.fence), at)
            case TaskReleased() | TaskLeaseExpired() | TaskFailed() | TaskCompleted():
                lease = self.leases.pop(event.task, None)
                assert lease == Lease(event.task, event.agent, event.fence), "ended by another lease"
                if isinstance(event, TaskCompleted):
                    self.completed.add(event.task)
            case TaskCancelled():
                assert event.task not in self.completed
                self.leases.pop(event.task, None)
                self.dead.discard(event.task)
                self.cancelled.add(event.task)
            case TaskDied():
                assert event.task not in self.leases, "died in somebody's hands"
                self.dead.add(event.task)
            case TaskRevived():
                self.dead.remove(event.task)
            case AgentSpawned():
                self.agents.add(event.agent)
            case AgentTerminated():
                held = [lease.task for lease in self.leases.values() if lease.agent == event.agent]
                assert not held, f"{event.agent} ended with {held} in its hands"
                self.agents.discard(event.agent)  # after a restore, maybe one that is not there yet
            case TaskQueued():
                assert self.unmet(event.task) == set(), "queued before its dependencies completed"
            case _:
                pass

    def unmet(self, task: str) -> set[str]:
        return set(self.needs[task]) - self.completed

    def _grant(self, lease: Lease, at: datetime) -> None:
        assert lease.task not in self.completed | self.cancelled | self.dead, "granted what is over"
        assert self.unmet(lease.task) == set(), "runs before its dependencies completed"
        assert self.early_until.get(lease.task, at) <= at, "runs before its time"
        assert lease.fence > max(self.fences[lease.task], self.floor), "the fence did not grow"
        assert lease.agent in self.agents, "granted to nobody"
        self.fences[lease.task] = lease.fence
        self.leases[lease.task] = lease
        self.granted.append(lease)


def check_leases(ledger: Ledger, model: Model) -> None:
    """At most one holder per task, and task, agent and timer agree on who it is."""
    holders = {t.id: t.holder for t in ledger.tasks.live.values() if t.holder is not None}
    assert holders == {task: lease.agent for task, lease in model.leases.items()}
    for task in ledger.tasks.live.values():
        assert (task.holder is not None) == (task.status in ("claimed", "in_progress"))
        assert (task.since is not None) == (task.holder is not None)
        assert task.fence == model.fences[task.id]
    held = Counter(name for agent in ledger.agents.values() for name in agent.held)
    assert held == Counter(list(holders)), "an agent and a task disagree"
    for agent in ledger.agents.values():
        assert all(holders[name] == agent.id for name in agent.held)
    assert timers(ledger, "lease") == set(holders), "a lease timer too many or too few"


def check_queues(ledger: Ledger, model: Model) -> None:
    """Exactly the queued tasks stand in the queues, each once and in the queue of its needs."""
    standing = [(needs, place) for needs, queue in ledger.tasks.queues.items() for place in queue]
    expected = [
        (task.needs, (-task.priority, task.sequence, task.id))
        for task in ledger.tasks.live.values()
        if task.status == "queued"
    ]
    assert Counter(standing) == Counter(expected)
    assert all(ledger.tasks.queues.values()), "an empty queue was kept"
    due = timers(ledger, "due")
    for task in ledger.tasks.live.values():
        assert task.waiting_for == model.unmet(task.id)
        if task.status == "blocked":
            assert task.waiting_for or task.id in due, f"{task.id} would never run"
        elif task.status == "failed":
            assert task.id in due, f"{task.id} would never be tried again"
        else:
            assert not task.waiting_for, "it can run before its dependencies completed"


def check_due(ledger: Ledger) -> None:
    """Only what rests or is early comes due."""
    for name in timers(ledger, "due"):
        assert ledger.tasks.live[name].status in ("blocked", "failed")


def check_ends(ledger: Ledger, model: Model) -> None:
    """Every task is live or over, never both, and keeps its last fence."""
    book = ledger.tasks
    assert set(book.completed) == model.completed
    assert set(book.cancelled) == model.cancelled
    assert set(book.live) == set(model.needs) - model.completed - model.cancelled
    assert {t.id for t in book.live.values() if t.status == "dead"} == model.dead
    for name, fence in (*book.completed.items(), *book.cancelled.items()):
        assert fence == model.fences[name]


def check_agents(ledger: Ledger, model: Model) -> None:
    assert set(ledger.agents) == model.agents
    assert not set(ledger.agents) & set(ledger.terminated)
    assert timers(ledger, "agent") == model.agents, "an agent that nobody will check"


def check_handoffs(ledger: Ledger) -> None:
    """An open handoff and its task know each other, and the holder is whom the handoff says."""
    for handoff in ledger.handoffs.values():
        task = ledger.tasks.live[handoff.task]
        assert task.handoff == handoff.id
        holder = handoff.from_agent if handoff.status == "initiated" else handoff.to_agent
        assert task.holder == holder
        assert handoff.to_agent is None or handoff.to_agent in ledger.agents, "waits for nobody"
    pointing = {t.handoff for t in ledger.tasks.live.values() if t.handoff is not None}
    assert pointing == set(ledger.handoffs)
    waiting = {name for name, handoff in ledger.handoffs.items() if handoff.status == "initiated"}
    assert timers(ledger, "handoff") == waiting


def check_acyclic(model: Model) -> None:
    """Everything can be worked in some order: take away what waits for nothing until all is gone."""
    rest: Mapping[str, set[str]] = {task: set(needs) for task, needs in model.needs.items()}
    while rest:
        free = {task for task, needs in rest.items() if not needs & rest.keys()}
        assert free, f"these wait for each other: {sorted(rest)}"
        rest = {task: needs for task, needs in rest.items() if task not in free}


def check_fold(ledger: Ledger, log: Log) -> None:
    """Folded anew from the stored JSON, the ledger is the same."""
    assert recorded(log.fold()) == recorded(ledger)


def check_all(ledger: Ledger, model: Model) -> None:
    check_leases(ledger, model)
    check_queues(ledger, model)
    check_due(ledger)
    check_ends(ledger, model)
    check_agents(ledger, model)
    check_handoffs(ledger)


def timers(ledger: Ledger, kind: Any) -> set[str]:
    return {name for timer, name in ledger.timers.due if timer == kind}


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
