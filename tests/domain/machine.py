"""A fleet that does anything at any time, and what must hold after each step of it.

Several agents spawn, claim, work, hand over, fall silent and end; operators cancel and set limits; time
passes; old leases are tried again; the writer restarts; the project is restored. `fleet.py` holds the model
and the checks, `anything.py` what else may be asked, `test_machine.py` sets it going.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.agents import AgentSpawned, AgentTerminated, Heartbeat, SpawnAgent, TerminateAgent
from domain.bookmarks import RemoveBookmark, SetBookmark
from domain.decider import decide, due, evolve, execute, recover
from domain.errors import (
    AgentLimitReached,
    DependencyCycle,
    Rejection,
    StaleFence,
    UnknownAgent,
    UnknownBookmark,
    UnknownTask,
)
from domain.errors import AgentTerminated as TerminatedAgent
from domain.handoffs import AcceptHandoff, InitiateHandoff
from domain.learning import CloseEstimate, RecordEstimate
from domain.ledger import Ledger
from domain.messages import TICKER, Command, Context, Event
from domain.personas import DefinePersona
from domain.settings import SetSetting, UnsetSetting
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    CompleteTasks,
    Completion,
    EnqueuePlan,
    EnqueueTask,
    ImportedTask,
    ImportTasks,
    PlannedTask,
    ReprioritizeTask,
    RequeueTask,
    RetryTask,
)
from domain.tasks.events import TaskClaimed
from tests.domain.fleet import (
    AGENTS,
    ANSWERS,
    CAPABILITIES,
    CHANCE,
    CHANCES,
    CHANGES,
    FIELDS,
    LOCALS,
    NAMES,
    PERSONAS,
    VERBS,
    WAITS,
    Answer,
    Lease,
    Log,
    Model,
    check_acyclic,
    check_all,
    check_fold,
    restored,
    seconds,
    tried,
    work_on,
)
from tests.domain.given import START
from tests.domain.snapshot import recorded, snapshot

MAX_AGENTS = 100


class Fleet(RuleBasedStateMachine):
    """One project and everybody in it."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("novel")
        self.mirror = Ledger("novel")
        self.log = Log()
        self.model = Model()
        self.now = START
        self.asked = 0
        self.offers: list[str] = []
        self.estimates: list[str] = []

    def ask(self, actor: str, command: Command, command_id: str | None = None) -> Answer:
        """Decide as the writer would, and check what holds for every decision."""
        self.asked += 1
        asked = command_id or f"c{self.asked}"
        context = Context(project="novel", actor=actor, at=self.now, command_id=asked)
        limit = self.ledger.setting("max_agents")
        self._record(recover(self.ledger, context), limit)
        before = snapshot(self.ledger)
        decided = tried(decide, self.ledger, command, context)
        assert snapshot(self.ledger) == before, "deciding changed the ledger"
        done = tried(execute, self.ledger, command, context)
        if isinstance(done, Rejection):
            assert type(decided) is type(done), "decided otherwise a second time"
            assert snapshot(self.ledger) == before, "a refused command changed the ledger"
            return done
        assert done == decided
        self._record(done, limit)
        return done

    def _record(self, events: tuple[Event, ...], limit: int) -> None:
        for event in events:
            self.model.apply(event, self.now)
            if isinstance(event, AgentSpawned):
                assert len(self.model.agents) <= limit, "more agents than the limit"
        self.log.add(events, self.now)
        returned = {e.entity for e in events if e.name == "task.released"}
        if any(isinstance(event, AgentTerminated) for event in events):
            assert all(self.ledger.tasks.live[name].status == "queued" for name in returned)

    def someone(self, chance: int) -> str:
        """An active agent as a rule, now and then any name."""
        active = sorted(self.model.agents)
        return active[chance % len(active)] if active and chance % 7 < 6 else NAMES[chance % len(NAMES)]

    def some_task(self, chance: int) -> str:
        """A task that is not over as a rule, now and then any, seldom one that does not exist."""
        known = list(self.model.needs)
        unfinished = [name for name in known if name in self.ledger.tasks.live]
        if unfinished and chance % 5 < 4:
            return unfinished[chance % len(unfinished)]
        return known[chance % len(known)] if known and chance % 20 < 19 else "t-none"

    def lease(self, chance: int) -> Lease:
        """A lease that holds as a rule, now and then one that is over, best of a task that is held again."""
        standing = self.model.leases
        if standing and chance % 3 < 2:
            leases = list(standing.values())
        else:
            over = [lease for lease in self.model.granted if standing.get(lease.task) != lease]
            leases = [lease for lease in over if lease.task in standing] or over or self.model.granted
        return leases[chance % len(leases)]

    def write(self, lease: Lease, actor: str, command: Command) -> None:
        """A write under a lease: taken if that is the task's lease now, else refused as stale."""
        current = self.model.leases.get(lease.task) == lease and actor == lease.agent
        answer = self.ask(actor, command)
        if actor not in self.model.agents:
            assert answer == () or isinstance(answer, UnknownAgent | TerminatedAgent)
        elif not current:
            repeated = isinstance(command, CompleteTask | CompleteTasks) and answer == ()
            undone = isinstance(answer, UnknownTask) and lease.task not in self.model.needs
            assert isinstance(answer, StaleFence) or repeated or undone, answer

    @initialize(fields=st.lists(FIELDS, min_size=5, max_size=5))
    def a_fleet_with_some_work(self, fields: list[dict[str, Any]]) -> None:
        self.ask("operator", DefinePersona(persona="poet", definition="Rhymes.", capabilities=("gpu",)))
        self.ask("a1", SpawnAgent(persona="plot", capabilities=("web",)))
        self.ask("a2", SpawnAgent(persona="map"))
        self.ask("a3", SpawnAgent(persona="map", capabilities=("gpu",)))
        for number, given in enumerate(fields):
            after = (f"t{number - 3}",) if number > 2 else ()
            self.ask("planner", EnqueueTask(id=f"t{number}", title="first", depends_on=after, **given))

    @rule(name=AGENTS, persona=PERSONAS, capabilities=CAPABILITIES)
    def spawn(self, name: str, persona: str, capabilities: tuple[str, ...]) -> None:
        full = len(self.model.agents) >= self.ledger.setting("max_agents")
        known = name in self.model.agents
        answer = self.ask("operator", SpawnAgent(agent=name, persona=persona, capabilities=capabilities))
        assert isinstance(answer, AgentLimitReached) == (full and not known)

    @rule(chance=CHANCE, kind=st.integers(0, 3), by_itself=st.booleans())
    def beat_or_end(self, chance: int, kind: int, by_itself: bool) -> None:
        name = self.someone(chance)
        if kind < 3:
            self.ask(name, Heartbeat())
        else:
            self.ask(name if by_itself else "operator", TerminateAgent(agent=name))

    @rule(chance=CHANCE, needs=CHANCES, wait=WAITS, fields=FIELDS)
    def enqueue(self, chance: int, needs: list[int], wait: int | None, fields: dict[str, Any]) -> None:
        name = f"t{len(self.model.needs)}" if chance % 6 < 5 else self.some_task(chance)
        after = tuple(self.some_task(need) for need in needs)
        run_after = None if wait is None else self.now + seconds(wait)
        command = EnqueueTask(id=name, title=name, depends_on=after, run_after=run_after, **fields)
        answer = self.ask("planner", command)
        if not isinstance(answer, Rejection):
            assert name not in after

    @rule(plan=st.dictionaries(LOCALS, st.sets(LOCALS, max_size=2), min_size=1), on=CHANCES, fields=FIELDS)
    def plan(self, plan: dict[str, set[str]], on: list[int], fields: dict[str, Any]) -> None:
        before = snapshot(self.ledger)
        outside = [self.some_task(chance) for chance in on]
        tasks = tuple(
            PlannedTask(
                local=local, title=local, depends_on=(*sorted(needs & plan.keys()), *outside), **fields
            )
            for local, needs in plan.items()
        )
        answer = self.ask("planner", EnqueuePlan(tasks=tasks))
        if isinstance(answer, DependencyCycle):
            assert answer.facts["cycle"][0] == answer.facts["cycle"][-1]
            assert snapshot(self.ledger) == before

    @rule(rows=st.lists(st.tuples(CHANCES, st.integers(0, 5)), min_size=1, max_size=3))
    def bring_in(self, rows: list[tuple[list[int], int]]) -> None:
        status: dict[int, Any] = {0: "completed", 1: "cancelled"}
        first = len(self.model.needs)
        tasks = tuple(
            ImportedTask(
                id=f"bd-{first + place}",
                title="from elsewhere",
                depends_on=tuple(
                    f"bd-{first + need % len(rows)}" if need % 3 == 2 else self.some_task(need)
                    for need in needs
                ),
                status=status.get(chance, "open"),
            )
            for place, (needs, chance) in enumerate(rows)
        )
        self.ask("importer", ImportTasks(tasks=tasks))

    @rule(chance=CHANCE, count=st.integers(1, 4), verbs=st.lists(VERBS, max_size=3))
    def claim_next(self, chance: int, count: int, verbs: list[int]) -> None:
        """Claim, and maybe set about it: a fleet that never works would show little."""
        before = len(self.model.granted)
        self.ask(self.someone(chance), ClaimTask(count=count))
        for lease, verb in zip(self.model.granted[before:], verbs, strict=False):
            self.write(lease, lease.agent, work_on(lease, verb))

    @rule(chance=CHANCE, what=CHANCE, is_queued=st.integers(0, 4))
    def claim_named(self, chance: int, what: int, is_queued: int) -> None:
        claimable = sorted(t.id for t in self.ledger.tasks.live.values() if t.status == "queued")
        plain = claimable and is_queued < 4
        task = claimable[what % len(claimable)] if plain else self.some_task(what)
        queued = self.ledger.tasks.knows(task) and self.ledger.tasks.status_of(task) == "queued"
        answer = self.ask(self.someone(chance), ClaimTask(task=task))
        if isinstance(answer, tuple) and any(isinstance(event, TaskClaimed) for event in answer):
            assert queued

    @precondition(lambda self: self.model.granted)
    @rule(chance=CHANCE, verb=VERBS, by_its_agent=st.integers(0, 5), other=AGENTS)
    def work(self, chance: int, verb: int, by_its_agent: int, other: str) -> None:
        lease = self.lease(chance)
        self.write(lease, lease.agent if by_its_agent < 5 else other, work_on(lease, verb))

    @precondition(lambda self: self.model.leases)
    @rule(chance=CHANCE)
    def complete_everything(self, chance: int) -> None:
        name = self.lease(3 * chance).agent
        done = tuple(
            Completion(task=lease.task, fence=lease.fence)
            for lease in self.model.leases.values()
            if lease.agent == name
        )
        assert isinstance(self.ask(name, CompleteTasks(tasks=done)), tuple)

    @precondition(lambda self: self.model.granted)
    @rule(
        chance=CHANCE,
        to=CHANCE,
        persona=st.booleans(),
        expires_s=st.sampled_from((None, 10.0)),
        accepted=st.booleans(),
    )
    def offer(self, chance: int, to: int, persona: bool, expires_s: float | None, accepted: bool) -> None:
        lease = self.lease(chance)
        receiver = self.someone(to)
        meant: dict[str, Any] = {"to_persona": "map"} if persona else {"to_agent": receiver}
        command = InitiateHandoff(task=lease.task, fence=lease.fence, expires_s=expires_s, **meant)
        answer = self.ask(lease.agent, command)
        if isinstance(answer, tuple):
            assert self.model.leases.get(lease.task) == lease, "offered what is not held"
            self.offers.append(answer[-1].entity)
            if accepted:
                self.ask(receiver, AcceptHandoff(handoff=self.offers[-1]))

    @precondition(lambda self: self.offers)
    @rule(chance=CHANCE, name=AGENTS, answer=st.sampled_from(ANSWERS))
    def answer_offer(self, chance: int, name: str, answer: Any) -> None:
        """Whoever is meant answers the last offers, or somebody else tries to."""
        handoff = self.offers[-1 - chance % min(len(self.offers), 3)]
        known = self.ledger.handoffs.get(handoff)
        actor = known.to_agent if known is not None and known.to_agent and chance % 4 < 3 else name
        self.ask(actor, answer(handoff=handoff))

    @rule(chance=CHANCE, verb=st.integers(0, 6), priority=st.integers(-2, 2))
    def operate(self, chance: int, verb: int, priority: int) -> None:
        name = self.some_task(chance)
        dead = sorted(self.model.dead)
        if verb == 0:
            self.ask("operator", CancelTask(task=name))
        elif verb < 4:
            self.ask("operator", RetryTask(task=dead[chance % len(dead)] if dead and verb < 3 else name))
        elif verb == 4:
            self.ask("operator", RequeueTask(task=name))
        else:
            self.ask("operator", ReprioritizeTask(task=name, priority=priority))

    @rule(change=st.sampled_from(CHANGES), capabilities=CAPABILITIES, chance=CHANCE)
    def govern(self, change: tuple[str, Any], capabilities: tuple[str, ...], chance: int) -> None:
        key, value = change
        if key == "estimate":
            self.estimate(chance)
        elif key == "bookmark":
            self.bookmark(chance)
        elif key == "poet":
            self.ask(
                "operator", DefinePersona(persona="poet", definition="Scans.", capabilities=capabilities)
            )
        elif value is None:
            self.ask("operator", UnsetSetting(key=key))
        else:
            self.ask("operator", SetSetting(key=key, value=value))

    def estimate(self, chance: int) -> None:
        if self.estimates and chance % 2:
            name = self.estimates[chance % len(self.estimates)]
            command: Command = CloseEstimate(estimate=name, sessions=2)
        else:
            command = RecordEstimate(feature="x", sessions=1, complexity=3)
        answer = self.ask("planner", command)
        if isinstance(answer, tuple) and isinstance(command, RecordEstimate):
            self.estimates.append(answer[-1].entity)

    def bookmark(self, chance: int) -> None:
        name = f"mark-{chance % 3}"
        standing = name in self.ledger.bookmarks
        if chance % 4 == 0:
            answer = self.ask("operator", RemoveBookmark(bookmark=name))
            assert isinstance(answer, UnknownBookmark) != standing
            return
        sequence = chance % (self.ledger.sequence + 3)
        reached = sequence <= self.ledger.sequence
        answer = self.ask("operator", SetBookmark(bookmark=name, sequence=sequence))
        assert isinstance(answer, tuple) == reached
        assert not reached or self.ledger.bookmarks[name].sequence == sequence

    @rule(passed=st.sampled_from((1, 0, 5, 5, 20, 20, 60, 130, 4_000)), on_time=st.booleans())
    def wait(self, passed: int, on_time: bool) -> None:
        """Time passes: either the ticker is on time for every deadline, or late for all of them at once."""
        end = self.now + seconds(passed)
        while on_time and (moment := self.ledger.timers.next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            self.tick()
        self.now = end
        self.tick()

    def tick(self) -> None:
        while (command := due(self.ledger, self.now)) is not None:
            assert isinstance(self.ask(TICKER, command), tuple), "the ticker was refused"
        following = self.ledger.timers.next()
        assert following is None or following > self.now, "something due was left behind"

    @rule()
    def restart(self) -> None:
        """The writer's ledger is gone; a new one is folded and nobody is late."""
        self.ledger = self.log.fold()
        self.ledger.renew_all(self.now)

    @rule(chance=CHANCE, seldom=st.integers(0, 3))
    def restore(self, chance: int, seldom: int) -> None:
        """Back to where some command had ended, now and then."""
        if not seldom:
            self.go_back(self.log.ends[chance % len(self.log.ends)])

    def go_back(self, to: int) -> None:
        """The project as it was; then the agents come again."""
        self.mirror = self.log.fold(to)
        self.mirror.sequence = self.ledger.sequence
        self.ledger, events = restored(self.ledger, self.log, to, self.now)
        self.model = self.model.gone_back(self.log, to)
        self._record(events, MAX_AGENTS)
        for name in NAMES[:3]:
            self.ask(name, SpawnAgent(persona="map", capabilities=("gpu",)))

    @rule()
    def catch_up(self) -> None:
        """A second ledger folds what has come since it last looked: batches of any size, the same result."""
        for row in self.log.entries[self.mirror.sequence :]:
            evolve(self.mirror, row.event(), self.mirror.sequence + 1, row.at)
        assert recorded(self.mirror) == recorded(self.ledger)

    @invariant()
    def everything_holds(self) -> None:
        assert self.ledger.sequence == len(self.log.entries)
        check_all(self.ledger, self.model)

    def teardown(self) -> None:
        check_acyclic(self.model)
        check_fold(self.ledger, self.log)
        self.catch_up()
