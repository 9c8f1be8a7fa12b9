"""Given what happened, when somebody asks, then these events, or this refusal and nothing changed.

    given(agent("a1"), task("t1")).when("a1", ClaimTask()).then(TaskClaimed(...))
    given(agent("a1")).when("a1", ClaimTask(task="t9")).rejected(UnknownTask, task="t9")
    given(agent("a1")).after(seconds=120).then(AgentWentStale(...))

Time starts at `START` and moves only by `after`; what time causes happens on the way, at its own moment.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from domain.agents import SpawnAgent
from domain.decider import due, evolve, execute, recover
from domain.errors import Rejection
from domain.ledger import Ledger
from domain.messages import TICKER, Command, Context, Data, Event
from domain.settings import SettingId
from domain.tasks.commands import EnqueueTask
from tests.domain.snapshot import snapshot

START = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = "novel"

Asked = tuple[str, Command]
E = TypeVar("E", bound=Event)


def at(seconds: float) -> datetime:
    """This many seconds after the start."""
    return START + timedelta(seconds=seconds)


def agent(name: str, persona: str = "plot", **fields: Any) -> Asked:
    return name, SpawnAgent(persona=persona, **fields)


def task(name: str, **fields: Any) -> Asked:
    return "planner", EnqueueTask(id=name, **{"title": name, **fields})


class Scenario:
    """One project's ledger, log and clock. `events` are those of the last step, `refusal` its refusal."""

    def __init__(self, project: str, defaults: Mapping[SettingId, Data] | None) -> None:
        self.ledger = Ledger(project, defaults)
        self.now = START
        self.log: list[Event] = []
        self.events: tuple[Event, ...] = ()
        self.refusal: Rejection | None = None
        self._asked = 0

    def when(self, actor: str, command: Command, command_id: str | None = None) -> "Scenario":
        """An actor asks. A refusal must leave the ledger as it was, whatever the test is about."""
        self._asked += 1
        context = self._context(actor, command_id or f"c{self._asked}")
        back = recover(self.ledger, context)
        self.log += back
        before = snapshot(self.ledger)
        try:
            done, self.refusal = execute(self.ledger, command, context), None
            self.log += done
            self.events = back + done
        except Rejection as refusal:
            self.events, self.refusal = back, refusal
            assert snapshot(self.ledger) == before, "a refused command changed the ledger"
        return self

    def after(self, seconds: float) -> "Scenario":
        """Time passes, and everything that comes due on the way is done at its moment."""
        self.refusal = None
        end = self.now + timedelta(seconds=seconds)
        happened: list[Event] = []
        while (moment := self.ledger.timers.next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            command = due(self.ledger, self.now)
            if command is not None:
                happened += execute(self.ledger, command, self._context(TICKER, "tick"))
        self.now = end
        self.events = tuple(happened)
        self.log += happened
        return self

    def then(self, *events: Event) -> "Scenario":
        """Exactly these events, in this order; none at all if none is named."""
        assert self.refusal is None, f"refused: {self.refusal!r} {self.refusal}"
        assert self.events == events
        return self

    def then_kinds(self, *kinds: type[Event]) -> "Scenario":
        """Events of exactly these types, in this order."""
        assert self.refusal is None, f"refused: {self.refusal!r} {self.refusal}"
        assert [type(event).__name__ for event in self.events] == [kind.__name__ for kind in kinds]
        return self

    def rejected(self, kind: type[Rejection], **facts: object) -> "Scenario":
        """Refused for exactly this reason, with at least these facts."""
        assert type(self.refusal) is kind, f"expected {kind.__name__}: {self.refusal!r}, {self.events}"
        assert {name: self.refusal.facts.get(name) for name in facts} == facts
        return self

    def the(self, kind: type[E]) -> E:
        """The one event of this type in the last step."""
        (found,) = [event for event in self.events if isinstance(event, kind)]
        return found

    def status(self, name: str) -> str:
        return self.ledger.tasks.status_of(name)

    def _context(self, actor: str, command_id: str) -> Context:
        return Context(project=self.ledger.project, actor=actor, at=self.now, command_id=command_id)


def given(
    *steps: Event | Asked, project: str = PROJECT, defaults: Mapping[SettingId, Data] | None = None
) -> Scenario:
    """A project in which this has happened: events as recorded, or commands that all succeeded."""
    scenario = Scenario(project, defaults)
    for step in steps:
        if isinstance(step, Event):
            evolve(scenario.ledger, step, scenario.ledger.sequence + 1, scenario.now)
            scenario.log.append(step)
        else:
            refusal = scenario.when(*step).refusal
            assert refusal is None, f"given {step}: {refusal}"
    return scenario
