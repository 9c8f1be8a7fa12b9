"""The fleet set going: many short histories that shrink well, and some of thousands of steps.

In the long ones every verb is asked by whoever, at any time, as it should be and as it should not; each event
is stored and read back, and all read models are folded from what there is in the end.
"""

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from domain.catalog import COMMANDS, EVENTS, upcast
from domain.decider import check_turn, evolve, turn
from domain.errors import Rejection
from domain.ledger import Ledger
from domain.messages import Command, Context, Event, Recorded
from domain.project import Bounds, ForkProject, ProjectCommand, RestoreProject
from domain.tasks.commands import CompleteTasks
from projections.catalog import PROJECTIONS
from services.log.codec import Codec
from tests.domain.anything import ANY, Draw
from tests.domain.fleet import Answer, Lease, seconds
from tests.domain.machine import Fleet
from tests.domain.snapshot import recorded, snapshot
from tests.projections.agreement import check_agreement
from tests.projections.stories import folded

CODEC = Codec(EVENTS, upcast)
PAUSES_S = (*[0.0] * 40, *[0.25] * 40, *[2.0] * 10, *[10.0] * 5, 30.0, 70.0, 130.0)
LONG_PAUSE_S = 4_000.0
WEIGHTS: Mapping[str, float] = {
    "agent.terminate": 0.4, "setting.set": 0.5, "project.restore": 0.1, "project.fork": 0.3,
    "task.plan": 0.5, "agent.spawn": 3, "task.enqueue": 3, "task.claim": 5, "task.start": 2,
    "handoff.initiate": 5, "handoff.accept": 4, "handoff.reject": 2,
    "handoff.complete": 3,
}  # fmt: skip
"""How often a verb is asked, where not as often as others."""

STRETCH_STEPS = 500
LONG_RUN_STEPS = 5_000


class Everything(Fleet):
    """All contexts together."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[Recorded] = []
        self.answers: Counter[tuple[str, str]] = Counter()
        self.last: tuple[str, Command, str] = ("", SOME_COMMAND, "")

    @rule(seed=st.integers(0, 2**32))
    def stretch(self, seed: int) -> None:
        random = Random(seed)
        for _ in range(STRETCH_STEPS):
            self.step(random)

    def step(self, random: Random) -> None:
        """Somebody asks something, or the same again; then maybe time passes."""
        draw = Draw(self, random)
        verb = random.choices(VERBS, [WEIGHTS.get(verb, 1.0) for verb in VERBS])[0]
        if not random.randrange(20) and self.last[0]:
            self.ask(*self.last)
        else:
            actor, command = ANY[verb](draw)
            answer = self.anything(actor, command)
            self.answers[verb, "refused" if isinstance(answer, Rejection) else "done"] += 1
        self.everything_holds()
        self.now += seconds(random.choice(PAUSES_S) if random.randrange(500) else LONG_PAUSE_S)
        self.tick()
        if not random.randrange(100):
            self.restart()
        self.everything_holds()

    def anything(self, actor: str, command: Command) -> Answer:
        if not isinstance(command, ProjectCommand):
            self.last = (actor, command, f"c{self.asked + 1}")
            stale = self.is_stale(actor, command)
            answer = self.ask(actor, command)
            assert not (stale and isinstance(answer, tuple) and answer), "a stale fence changed something"
            return answer
        refusal = self.refusal(actor, command)
        if refusal is not None:
            return refusal
        if isinstance(command, RestoreProject):
            self.go_back(command.sequence)
            return ()
        return self.branch(command)

    def is_stale(self, actor: str, command: Command) -> bool:
        """Whether it names a lease that is not the actor's now, but for tasks that are completed already."""
        if isinstance(command, CompleteTasks):
            named: list[Any] = [done for done in command.tasks if done.task not in self.model.completed]
        else:
            named = [command] if hasattr(command, "fence") else []
        leases = [Lease(each.task, actor, each.fence) for each in named]
        return any(self.model.leases.get(lease.task) != lease for lease in leases)

    def refusal(self, actor: str, command: ProjectCommand) -> Rejection | None:
        """Why the project may not turn so, if that is so: as the writer asks before it folds the past."""
        own = self.ledger if isinstance(command, RestoreProject) else Ledger("branch")
        ends = [end for end in self.log.ends if end >= command.sequence]
        bounds = Bounds(last=self.ledger.sequence, command_ends=min(ends, default=command.sequence))
        try:
            check_turn(own, command, self.context(actor), bounds)
        except Rejection as rejection:
            return rejection
        assert command.sequence in self.log.ends, "gone back into the middle of a command"
        return None

    def branch(self, command: ForkProject) -> Answer:
        """A fork has the tasks of its origin and nobody in it; the origin knows nothing of it."""
        before, then = snapshot(self.ledger), self.log.fold(command.sequence)
        tasks, fences = set(then.tasks.live), then.highest_fence()
        mirror = self.log.fold(command.sequence)
        events = turn(Ledger("branch"), command, self.context("operator"), then)
        for number, event in enumerate(events, command.sequence + 1):
            self.check_stored(event, number)
            evolve(mirror, event, number, self.now)
        assert recorded(mirror) == recorded(then)
        assert (set(then.tasks.live), then.highest_fence()) == (tasks, fences)
        assert not then.agents
        assert not then.handoffs
        assert all(task.holder is None for task in then.tasks.live.values())
        assert snapshot(self.ledger) == before
        return events

    def context(self, actor: str) -> Context:
        return Context(project="novel", actor=actor, at=self.now, command_id=f"t{self.asked}")

    def _record(self, events: tuple[Event, ...], limit: int) -> None:
        first = len(self.log.entries) + 1
        super()._record(events, limit)
        self.stored += [self.check_stored(event, number) for number, event in enumerate(events, first)]

    def check_stored(self, event: Event, sequence: int) -> Recorded:
        """As the log would have it, and it is the same event."""
        row = CODEC.encode(event, self.context("somebody"), sequence)
        read = CODEC.decode((sequence, str(row.originator_id), row.originator_version, row.topic, row.state))
        assert (read.event, read.sequence, read.at) == (event, sequence, self.now)
        return read

    def teardown(self) -> None:
        super().teardown()
        self.check_cut(len(self.stored) // 3)
        included = {number for number, _ in self.log.after(-1)}
        rows = {
            each.name: folded(
                each, [event for event in self.stored if each.record or event.sequence in included]
            )
            for each in PROJECTIONS
        }
        check_agreement(self.ledger, rows)

    def check_cut(self, sequence: int) -> None:
        """Folded up to somewhere and then on, all is as folded at once."""
        cut = Ledger("novel")
        rest = self.log.after(-1)
        for part in (rest[:sequence], rest[sequence:]):
            for number, row in part:
                evolve(cut, row.event(), number, row.at)
        assert recorded(cut) == recorded(self.ledger)


SOME_COMMAND = RestoreProject(sequence=1, reason="none yet")
VERBS = sorted(ANY)

TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a machine of two shared cores is slow, not wrong
)
TestEverything = Everything.TestCase
TestEverything.settings = settings(
    max_examples=8,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # as above
)


def test_every_verb_is_asked_and_done_in_thousands_of_steps() -> None:
    assert ANY.keys() == COMMANDS.keys()
    fleet, random = Everything(), Random(1)
    fleet.a_fleet_with_some_work([{}] * 5)
    for _ in range(LONG_RUN_STEPS):
        fleet.step(random)
    fleet.teardown()
    assert {verb for verb, end in fleet.answers if end == "done"} == set(COMMANDS)
