"""Whatever may be asked: a command of every verb, mostly one that makes sense, else stale, foreign or wrong.

Each draw takes the fleet, for what there is to name, and a `Random`, so that a seed makes the whole history.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from domain.agents import Heartbeat, Leave, SpawnAgent, TerminateAgent
from domain.bookmarks import RemoveBookmark, SetBookmark
from domain.handoffs import AcceptHandoff, Baggage, CompleteHandoff, InitiateHandoff, RejectHandoff
from domain.knowledge.actions import Action, RecordActions
from domain.knowledge.complexity import Measured, SnapshotComplexity
from domain.knowledge.decisions import RecordDecision
from domain.knowledge.documentation import CacheDocumentation
from domain.knowledge.patterns import DefinePattern, UsePattern
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike
from domain.learning import CloseEstimate, RecordEstimate, RecordFailure, RecordRetrospective
from domain.memory import ArchiveMemories, ShareMemory, StoreMemory, Used, UseMemories
from domain.messages import Command
from domain.personas import DefinePersona
from domain.project import ForkProject, RestoreProject
from domain.sessions import EndSession, StartSession
from domain.settings import SetSetting, UnsetSetting
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    CompleteTasks,
    Completion,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    ImportedTask,
    ImportTasks,
    Link,
    PlannedTask,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    RequeueTask,
    Retry,
    RetryTask,
    StartTask,
)
from tests.domain.fleet import CHANGES, NAMES, seconds
from tests.domain.machine import Fleet

Asked = tuple[str, Command]

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.1,
    1e308,
    "",
    "é\u202e\U0001f600",
    [],
    [[None]],
    {"a": {"b": 1}},
)
TEXTS = ("x", "é\u202e", "\U0001f600" * 3, "\x7f\x1f", "a" * 500)
PERSONAS = ("plot", "map", "poet", "nobody")
CAPABILITIES = ((), (), ("web",), ("gpu", "web"))
KEYS = (
    "max_agents",
    "stale_after_s",
    "idle_timeout_s",
    "default_lease_s",
    "handoff_expiry_s",
    "max_memories",
    "memory_half_life_days",
    "memory_archive_below",
    "colour",
    "theme",
)
MARKS = ("mark-1", "mark-2", "now", "x.y")


class Draw:
    """Random choices among what the fleet has."""

    def __init__(self, fleet: Fleet, random: Random) -> None:
        self.fleet = fleet
        self.random = random

    def one(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    @property
    def chance(self) -> int:
        return self.random.randrange(10_001)

    @property
    def someone(self) -> str:
        return self.fleet.someone(self.chance)

    @property
    def task(self) -> str:
        return self.fleet.some_task(self.chance)

    @property
    def text(self) -> str:
        return str(self.one(*TEXTS))

    def held(self) -> tuple[str, dict[str, Any]]:
        """Who asks, and under which lease: as a rule one that holds, else an old, foreign or made-up one."""
        if not self.fleet.model.granted or not self.random.randrange(12):
            return self.someone, {"task": self.task, "fence": self.random.randint(1, 9)}
        lease = self.fleet.lease(self.chance)
        agent = lease.agent if self.random.randrange(8) else self.someone
        return agent, {"task": lease.task, "fence": lease.fence}

    def fields(self) -> dict[str, Any]:
        """What describes a task."""
        wait = self.one(None, None, None, 0, 5, 60, 4_000)
        return {
            "title": self.text,
            "description": self.text,
            "persona": self.one(None, None, None, *PERSONAS),
            "capabilities": self.one((), *CAPABILITIES),
            "priority": self.random.randint(-3, 3),
            "depends_on": tuple(self.task for _ in range(self.one(0, 0, 1, 3))),
            "parent": self.one(None, None, self.task),
            "links": self.one((), (Link(kind="see", to=self.text),)),
            "input": self.one(*VALUES),
            "run_after": None if wait is None else self.fleet.now + seconds(wait),
            "retry": Retry(attempts=self.random.randint(1, 3), backoff_s=self.one(0.0, 1.0, 30.0)),
            "lease_s": self.one(None, 5.0, 60.0, 500.0),
        }

    def offer(self) -> tuple[str, str]:
        """A handoff that is open as a rule, and who may answer it as a rule."""
        handoffs = self.fleet.ledger.handoffs
        if not handoffs or not self.random.randrange(6):
            return self.someone, self.one("h-none", *self.fleet.offers[-3:])
        known = handoffs[self.one(*sorted(handoffs))]
        agents = self.fleet.ledger.agents.values()
        meant = [
            agent.id for agent in agents if known.to_agent == agent.id or known.to_persona == agent.persona
        ]
        return self.one(*meant, *meant, *meant, self.someone), known.id


def _spawn(draw: Draw) -> Asked:
    name = draw.one(*NAMES)
    actor, agent = draw.one(("operator", name), (name, name), (name, None))
    command = SpawnAgent(
        persona=draw.one(*PERSONAS),
        agent=agent,
        platform=draw.one("", "cli"),
        capabilities=draw.one(*CAPABILITIES),
        metadata=draw.one(*VALUES),
    )
    return actor, command


def _leave(draw: Draw) -> Asked:
    return draw.one(draw.someone, draw.someone, "nobody"), Leave(reason=draw.text)


def _end(draw: Draw) -> Asked:
    agent = draw.one(draw.someone, draw.someone, "nobody")
    return draw.one("operator", draw.someone), TerminateAgent(agent=agent, reason=draw.text)


def _define(draw: Draw) -> Asked:
    definition, capabilities = draw.text, draw.one(*CAPABILITIES)
    persona = draw.one("poet", "poet", "map")
    return "operator", DefinePersona(persona=persona, definition=definition, capabilities=capabilities)


def _enqueue(draw: Draw) -> Asked:
    return "planner", EnqueueTask(
        id=draw.one(None, None, None, draw.task), session=_session(draw), **draw.fields()
    )


def _plan(draw: Draw) -> Asked:
    """Local names, ids and needs at random: now and then a circle, or a name twice."""
    locals_ = "uvw"
    tasks = []
    for local in locals_[: draw.random.randint(1, 3)]:
        fields = draw.fields()
        inside = tuple(draw.one(*locals_) for _ in range(draw.one(0, 0, 1)))
        fields["depends_on"] = (*fields["depends_on"], *inside)
        name = draw.one(local, local, local, local, "u")
        tasks.append(PlannedTask(local=name, id=draw.one(None, None, None, draw.task), **fields))
    return "planner", EnqueuePlan(tasks=tuple(tasks), session=_session(draw))


def _import(draw: Draw) -> Asked:
    first = len(draw.fleet.model.needs)
    names = [f"bd-{first}", f"bd-{first + 1}", draw.task]
    tasks = tuple(
        ImportedTask(
            id=name,
            status=draw.one("open", "completed", "cancelled"),
            result=draw.one(*VALUES),
            **{**draw.fields(), "depends_on": draw.one((), (), (draw.one(*names),), (draw.task,))},
        )
        for name in names
    )
    return "importer", ImportTasks(tasks=tasks)


def _claim(draw: Draw) -> Asked:
    named = draw.one(None, None, None, draw.task)
    return draw.someone, ClaimTask(task=named, count=draw.random.randint(1, 4), wait_s=draw.one(0.0, 9.0))


def _under_lease(make: Callable[[Draw, dict[str, Any]], Command]) -> Callable[[Draw], Asked]:
    def asked(draw: Draw) -> Asked:
        agent, lease = draw.held()
        return agent, make(draw, lease)

    return asked


def _complete_many(draw: Draw) -> Asked:
    agent, lease = draw.held()
    own = [each for each in draw.fleet.model.leases.values() if each.agent == agent]
    done = [Completion(task=each.task, fence=each.fence, result=draw.one(*VALUES)) for each in own]
    wrong = draw.one([], [], [Completion(**lease)])
    return agent, CompleteTasks(tasks=(*done, *wrong) or (Completion(**lease),))


def _initiate(draw: Draw) -> Asked:
    agent, lease = draw.held()
    to = draw.one(
        {"to_agent": draw.someone}, {"to_agent": draw.someone}, {"to_persona": draw.one(*PERSONAS)}, {}
    )
    baggage = Baggage(goal=draw.text, done=(draw.text,), data=draw.one(*VALUES))
    expires_s = draw.one(None, 10.0, 100.0)
    return agent, InitiateHandoff(**lease, **to, reason=draw.text, context=baggage, expires_s=expires_s)


def _answer(make: Callable[[Draw, str], Command]) -> Callable[[Draw], Asked]:
    def asked(draw: Draw) -> Asked:
        agent, handoff = draw.offer()
        return agent, make(draw, handoff)

    return asked


def _accepted(draw: Draw) -> Asked:
    """Of the accepted ones, if there are any."""
    accepted = [h for h in draw.fleet.ledger.handoffs.values() if h.status == "accepted"]
    if not accepted:
        agent, handoff = draw.offer()
        return agent, CompleteHandoff(handoff=handoff)
    known = draw.one(*accepted)
    return known.to_agent, CompleteHandoff(handoff=known.id, note=draw.text)


def _setting(draw: Draw) -> dict[str, Any]:
    scope = draw.one("project", "project", "project", "user", "system")
    user = draw.one(None, "u1") if scope == "user" else draw.one(None, None, None, None, None, "u1")
    return {"key": draw.one(*KEYS), "scope": scope, "user": user}


def _set(draw: Draw) -> Asked:
    """A change that matters to the fleet, or any key with any value."""
    if draw.random.randrange(2):
        key, value = draw.one(*(change for change in CHANGES if change[1] is not None))
        return "operator", SetSetting(key=key, value=value)
    return draw.someone, SetSetting(value=draw.one(3, 7, 90.5, 300, "dark", *VALUES), **_setting(draw))


def _retry(draw: Draw) -> Asked:
    return "operator", RetryTask(task=draw.one(draw.task, *sorted(draw.fleet.model.dead)))


def _learn_failure(draw: Draw) -> Asked:
    lesson, task = draw.text, draw.one(None, draw.task)
    return draw.someone, RecordFailure(feature="f", approach=draw.text, why="w", lesson=lesson, task=task)


def _estimate(draw: Draw) -> Asked:
    sessions, persona = draw.one(0.1, 3.0, 9_999.5), draw.one(None, *PERSONAS)
    return "planner", RecordEstimate(feature=draw.text, sessions=sessions, complexity=3, persona=persona)


def _close_estimate(draw: Draw) -> Asked:
    estimate = draw.one("e-none", *draw.fleet.ledger.estimates)
    return "planner", CloseEstimate(estimate=estimate, sessions=draw.one(0.1, 2.0), files_created=1)


def _retro(draw: Draw) -> Asked:
    return draw.someone, RecordRetrospective(feature=draw.text, surprises=draw.text, spike_accuracy=80)


def _bookmark(draw: Draw) -> Asked:
    sequence = draw.random.randint(0, draw.fleet.ledger.sequence + 2)
    return "operator", SetBookmark(bookmark=draw.one(*MARKS), sequence=sequence, note=draw.text)


def _memory(draw: Draw) -> str:
    return str(draw.one("m-none", *draw.fleet.ledger.memories, *draw.fleet.ledger.memories))


def _store(draw: Draw) -> Asked:
    command = StoreMemory(
        text=draw.text,
        kind=draw.one("note", "fact"),
        importance=draw.one(0.0, 0.04, 0.5, 1.0),
        tags=draw.one((), ("x", "y", "x")),
        visibility=draw.one("project", "project", "private", "shared"),
        task=draw.one(None, draw.task),
        session=draw.one(None, "s1"),
        supersedes=draw.one((), (), (_memory(draw),)),
    )
    return draw.someone, command


def _use(draw: Draw) -> Asked:
    uses = tuple(Used(memory=_memory(draw), times=draw.one(1, 1, 7)) for _ in range(draw.one(1, 1, 3)))
    return draw.someone, UseMemories(uses=uses)


def _archive(draw: Draw) -> Asked:
    memories = tuple(_memory(draw) for _ in range(draw.one(1, 2)))
    return draw.someone, ArchiveMemories(memories=memories, reason=draw.text)


def _share(draw: Draw) -> Asked:
    agent, project = draw.one((draw.someone, None), (None, "other"), (None, "novel"), ("a1", "other"))
    return draw.someone, ShareMemory(memory=_memory(draw), to_agent=agent, to_project=project)


def _conclude(draw: Draw) -> Asked:
    spike = draw.one("s-none", *draw.fleet.ledger.knowledge.spikes)
    command = ConcludeSpike(spike=spike, result=draw.text, viable=draw.one(True, False), minutes=5)
    return draw.someone, command


def _decide(draw: Draw) -> Asked:
    supersedes = draw.one(None, "d-none", *sorted(draw.fleet.ledger.knowledge.decisions))
    return draw.someone, RecordDecision(title=draw.text, choice=draw.text, supersedes=supersedes)


def _use_pattern(draw: Draw) -> Asked:
    pattern = draw.one("p1", "p2", "p3")
    command = UsePattern(
        pattern=pattern, file=draw.one("a.py", "b/\u00e9.py"), compliance=draw.one(0, 80, 100)
    )
    return draw.someone, command


def _measure(draw: Draw) -> Asked:
    files = tuple(
        Measured(file=draw.one("a.py", "b.py", "a.py"), score=draw.one(0.0, 0.1, 1.0, 1e9), lines=3)
        for _ in range(draw.one(1, 2, 3))
    )
    return draw.someone, SnapshotComplexity(files=files)


def _cache(draw: Draw) -> Asked:
    topic = draw.one("", "groups")
    return draw.someone, CacheDocumentation(library=draw.one("x", "y"), topic=topic, content=draw.text)


def _act(draw: Draw) -> Asked:
    actions = tuple(
        Action(action=draw.text, seconds=draw.one(None, 0.1), success=draw.one(True, False), task=draw.task)
        for _ in range(draw.one(1, 2))
    )
    return draw.someone, RecordActions(actions=actions)


def _session(draw: Draw) -> str | None:
    """Mostly none; else an open one as a rule."""
    if draw.random.randrange(3):
        return None
    return str(draw.one(*draw.fleet.ledger.sessions, "n-none"))


def _start_session(draw: Draw) -> Asked:
    role, task = draw.one("worker", "planner"), draw.one(None, draw.task)
    return draw.someone, StartSession(role=role, focus=draw.text, task=task, parent=_session(draw))


def _end_session(draw: Draw) -> Asked:
    open_ = draw.fleet.ledger.sessions
    session = draw.one("n-none", *open_)
    agent = open_[session].agent if session in open_ and draw.random.randrange(6) else draw.someone
    return agent, EndSession(session=session, reason=draw.text)


def _some_end(draw: Draw) -> int:
    """Where a command ended, or in the middle of one, or after the last."""
    middle = draw.random.randint(1, draw.fleet.ledger.sequence + 3)
    return int(draw.one(draw.one(*draw.fleet.log.ends), draw.one(*draw.fleet.log.ends), middle))


ANY: Mapping[str, Callable[[Draw], Asked]] = {
    "agent.spawn": _spawn,
    "agent.heartbeat": lambda draw: (draw.someone, Heartbeat()),
    "agent.leave": _leave,
    "agent.terminate": _end,
    "persona.define": _define,
    "task.enqueue": _enqueue,
    "task.plan": _plan,
    "task.import": _import,
    "task.claim": _claim,
    "task.start": _under_lease(lambda _, lease: StartTask(**lease)),
    "task.progress": _under_lease(lambda draw, lease: ReportProgress(**lease, note=draw.text, percent=50)),
    "task.complete": _under_lease(lambda draw, lease: CompleteTask(**lease, result=draw.one(*VALUES))),
    "task.complete_many": _complete_many,
    "task.fail": _under_lease(
        lambda draw, lease: FailTask(**lease, error=draw.text, retryable=draw.one(True, True, False))
    ),
    "task.release": _under_lease(lambda draw, lease: ReleaseTask(**lease, reason=draw.text)),
    "task.requeue": lambda draw: ("operator", RequeueTask(task=draw.task, reason=draw.text)),
    "task.cancel": lambda draw: ("operator", CancelTask(task=draw.task, reason=draw.text)),
    "task.reprioritize": lambda draw: ("operator", ReprioritizeTask(task=draw.task, priority=draw.one(1, 2))),
    "task.retry": _retry,
    "handoff.initiate": _initiate,
    "handoff.accept": _answer(lambda _, handoff: AcceptHandoff(handoff=handoff)),
    "handoff.reject": _answer(lambda draw, handoff: RejectHandoff(handoff=handoff, reason=draw.text)),
    "handoff.complete": _accepted,
    "setting.set": _set,
    "setting.unset": lambda draw: (draw.someone, UnsetSetting(**_setting(draw))),
    "failure.record": _learn_failure,
    "estimate.record": _estimate,
    "estimate.close": _close_estimate,
    "retro.record": _retro,
    "bookmark.set": _bookmark,
    "bookmark.remove": lambda draw: ("operator", RemoveBookmark(bookmark=draw.one(*MARKS))),
    "memory.store": _store,
    "memory.use": _use,
    "memory.archive": _archive,
    "memory.share": _share,
    "spike.initiate": lambda draw: (draw.someone, InitiateSpike(question=draw.text, approach=draw.text)),
    "spike.conclude": _conclude,
    "decision.record": _decide,
    "pattern.define": lambda draw: (
        draw.someone,
        DefinePattern(pattern=draw.one("p1", "p2"), description=draw.text),
    ),
    "pattern.use": _use_pattern,
    "complexity.snapshot": _measure,
    "docs.cache": _cache,
    "action.record": _act,
    "session.start": _start_session,
    "session.end": _end_session,
    "project.fork": lambda draw: ("operator", ForkProject(origin="novel", sequence=_some_end(draw))),
    "project.restore": lambda draw: ("operator", RestoreProject(sequence=_some_end(draw), reason="back")),
}
"""How to draw a command of each verb, and who asks."""
