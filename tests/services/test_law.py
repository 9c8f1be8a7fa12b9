"""The law: a replay to a position gives exactly the rows that the tables held there, whatever happened.

Random histories are decided by the real domain, stored in a real log, and projected in random batches by
projectors that come and go. What the tables held whenever one had stopped is compared with a replay to where
it stood, and in the end with the ledger that decided.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count
from random import Random
from threading import Event as Flag
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.agents import Heartbeat, SpawnAgent, TerminateAgent
from domain.bookmarks import RemoveBookmark, SetBookmark
from domain.errors import Rejection
from domain.handoffs import AcceptHandoff, Baggage, CompleteHandoff, InitiateHandoff, RejectHandoff
from domain.knowledge.actions import Action, RecordActions
from domain.knowledge.complexity import Measured, SnapshotComplexity
from domain.knowledge.decisions import RecordDecision
from domain.knowledge.documentation import CacheDocumentation
from domain.knowledge.patterns import DefinePattern, UsePattern
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike
from domain.learning import CloseEstimate, RecordEstimate, RecordFailure, RecordRetrospective
from domain.ledger import Ledger
from domain.memory import ArchiveMemories, ShareMemory, StoreMemory, Used, UseMemories, Visibility
from domain.messages import Command
from domain.personas import DefinePersona
from domain.sessions import EndSession, StartSession
from domain.settings import SetSetting, UnsetSetting
from domain.tasks.commands import (
    CancelTask,
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    ImportedTask,
    ImportTasks,
    PlannedTask,
    ReleaseTask,
    ReportProgress,
    ReprioritizeTask,
    RequeueTask,
    Retry,
    RetryTask,
    StartTask,
)
from projections.catalog import PROJECTIONS
from projections.framework import Key
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import Table, connected
from services.projector.tracking import set_up, tracked
from services.reading.replay import replay
from tests.conftest import temporary_database
from tests.projections.agreement import check_agreement
from tests.projections.stories import START, Story
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stories import stored

Asked = tuple[str, Command]

AGENTS = ("a1", "a2", "a3")
PAUSES_S = (*[0.25] * 20, 5.0, 40.0, 130.0)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
free = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("zab"), inner, max_size=2),
    max_leaves=4,
)

T = TypeVar("T")
Tables = dict[str, dict[Key, Any]]


class Chance:
    """Random choices among what the ledger has, and among some values and texts."""

    def __init__(self, ledger: Ledger, random: Random, values: Sequence[Any], texts: Sequence[str]) -> None:
        self.ledger = ledger
        self.random = random
        self._values = values
        self._texts = texts

    def one(self, *choices: T) -> T:
        return self.random.choice(choices)

    def number(self, most: int) -> int:
        return self.random.randint(1, most)

    @property
    def value(self) -> Any:
        return self.one(*self._values)

    @property
    def text(self) -> str:
        return self.one(*self._texts)

    @property
    def agent(self) -> str:
        return self.one(*AGENTS)

    @property
    def task(self) -> str:
        return self.one(*self.ledger.tasks.live, "t-none")

    def new_task(self) -> dict[str, Any]:
        known = [*self.ledger.tasks.live, *self.ledger.tasks.completed]
        return {
            "title": self.text,
            "persona": self.one(None, None, "plot"),
            "priority": self.number(5),
            "depends_on": self.one((), (self.one(*known),)) if known else (),
            "input": self.value,
            "run_after": self.one(None, None, None, START + timedelta(seconds=self.number(2000))),
            "retry": Retry(attempts=self.number(3), backoff_s=float(self.number(60))),
        }


def spawned(chance: Chance) -> Asked:
    persona = chance.one("plot", "plot", "map")
    return "op", SpawnAgent(agent=chance.agent, persona=persona, metadata=chance.value)


def enqueued(chance: Chance) -> Asked:
    return "op", EnqueueTask(**chance.new_task())


def planned(chance: Chance) -> Asked:
    first = PlannedTask(local="one", **chance.new_task())
    second = PlannedTask(local="two", title="two", depends_on=("one",), parent="one")
    return chance.agent, EnqueuePlan(tasks=(second, first))


def imported(chance: Chance) -> Asked:
    number = chance.number(1000)
    done = ImportedTask(id=f"i{number}", title="old", status="completed", result=chance.value)
    fresh = ImportedTask(id=f"j{number}", title="new", depends_on=(done.id,))
    return "op", ImportTasks(tasks=(done, fresh))


def claimed(chance: Chance) -> Asked:
    return chance.agent, ClaimTask(count=chance.number(3))


def worked(chance: Chance) -> Asked:
    """Whatever a holder may do with its task."""
    held = [task for task in chance.ledger.tasks.live.values() if task.holder]
    if not held:
        return claimed(chance)
    task = chance.one(*held)
    at: dict[str, Any] = {"task": task.id, "fence": task.fence}
    command: Command = chance.one(
        StartTask(**at),
        ReportProgress(**at, note=chance.text, percent=chance.one(None, chance.number(100))),
        CompleteTask(**at, result=chance.value),
        CompleteTask(**at),
        FailTask(**at, error=chance.text, retryable=chance.one(True, True, False)),
        ReleaseTask(**at),
    )
    return task.holder or "", command


def offered(chance: Chance) -> Asked:
    held = [task for task in chance.ledger.tasks.live.values() if task.holder]
    if not held:
        return claimed(chance)
    task = chance.one(*held)
    to: dict[str, Any] = chance.one({"to_agent": chance.agent}, {"to_persona": "plot"})
    baggage = Baggage(done=(chance.text,), data=chance.value)
    offer = InitiateHandoff(
        task=task.id, fence=task.fence, context=baggage, expires_s=chance.one(30.0, None), **to
    )
    return task.holder or "", offer


def answered(chance: Chance) -> Asked:
    if not chance.ledger.handoffs:
        return offered(chance)
    handoff = chance.one(*chance.ledger.handoffs.values())
    answer = chance.one(AcceptHandoff, AcceptHandoff, CompleteHandoff, CompleteHandoff, RejectHandoff)
    return handoff.to_agent or chance.agent, answer(handoff=handoff.id)


def governed(chance: Chance) -> Asked:
    key = chance.one("stale_after_s", "default_lease_s", "max_agents", "colour")
    value = chance.value if key == "colour" else 2 + chance.number(300)
    dead = [task.id for task in chance.ledger.tasks.live.values() if task.status == "dead"]
    command: Command = chance.one(
        SetSetting(key=key, value=value),
        SetSetting(scope="user", user=chance.agent, key="theme", value=chance.one("dark", "light")),
        UnsetSetting(key=key),
        CancelTask(task=chance.task),
        RequeueTask(task=chance.task),
        RetryTask(task=chance.one(*dead, chance.task)),
        ReprioritizeTask(task=chance.task, priority=chance.number(9)),
        TerminateAgent(agent=chance.agent, reason=chance.text),
        DefinePersona(persona="poet", definition=chance.text, capabilities=("verse",)),
    )
    return "op", command


def learned(chance: Chance) -> Asked:
    command: Command = chance.one(
        RecordFailure(feature=chance.text, approach=chance.text, why=""),
        RecordEstimate(feature=chance.text, sessions=0.1 + chance.number(9), complexity=3),
        CloseEstimate(estimate=chance.one(*chance.ledger.estimates, "none"), sessions=0.7),
        RecordRetrospective(feature=chance.text, spike_accuracy=chance.number(100)),
    )
    return chance.agent, command


def remembered(chance: Chance) -> Asked:
    known = chance.ledger.memories
    name = chance.one(*known, "m-none")
    shared: Visibility = chance.one("project", "private", "shared")
    new = StoreMemory(text=chance.text, importance=chance.number(9) / 10, visibility=shared)
    newer = StoreMemory(text=chance.text, kind="fact", tags=("x", chance.one("y", "z")), supersedes=(name,))
    command: Command = chance.one(
        new,
        newer if name in known else new,
        UseMemories(uses=(Used(memory=name, times=chance.number(3)), Used(memory=chance.one(*known, name)))),
        ShareMemory(memory=name, to_agent=chance.agent),
        ShareMemory(memory=name, to_project="elsewhere"),
        ArchiveMemories(memories=(name,), reason=chance.text),
    )
    return chance.agent, command


def known(chance: Chance) -> Asked:
    """What is tried, decided, kept to, measured, looked up and done."""
    book, file = chance.ledger.knowledge, chance.one("a.py", "b.py")
    pattern = chance.one(*sorted(book.patterns), "p-none")
    spike = chance.one(*book.spikes, "s-none")
    command: Command = chance.one(
        InitiateSpike(question=chance.text, approach=chance.text),
        ConcludeSpike(spike=spike, result=chance.text, viable=chance.one(True, False)),
        RecordDecision(title=chance.text, choice=chance.text),
        RecordDecision(title="t", choice=chance.text, supersedes=chance.one(*sorted(book.decisions), None)),
        DefinePattern(pattern=chance.one("p1", "p2"), description=chance.text),
        UsePattern(pattern=pattern, file=file, compliance=chance.number(100)),
        SnapshotComplexity(files=(Measured(file=file, score=float(chance.number(9))),)),
        CacheDocumentation(library=chance.one("x", "y"), content=chance.text),
        RecordActions(actions=(Action(action=chance.text), Action(action="y", seconds=0.5, success=False))),
    )
    return chance.agent, command


def attended(chance: Chance) -> Asked:
    """Sessions begin, delegate and end."""
    if not chance.ledger.sessions or not chance.random.randrange(4):
        return chance.agent, StartSession(focus=chance.text, parent=chance.one(None, *chance.ledger.sessions))
    name = chance.one(*chance.ledger.sessions)
    own: Command = chance.one(
        EndSession(session=name, reason=chance.text),
        EnqueueTask(session=name, **chance.new_task()),
        EnqueueTask(session=name, **chance.new_task()),
    )
    return chance.ledger.sessions[name].agent, own


def marked(chance: Chance) -> Asked:
    name = chance.one("good", "bad")
    place = SetBookmark(bookmark=name, sequence=chance.number(chance.ledger.sequence), note=chance.text)
    return "op", chance.one(place, place, RemoveBookmark(bookmark=name))


def beat(chance: Chance) -> Asked:
    return chance.agent, Heartbeat()


DEEDS: tuple[Callable[[Chance], Asked], ...] = (
    enqueued, enqueued, claimed, claimed, claimed, worked, worked, worked, worked, worked, offered,
    answered, answered, governed, governed, spawned, planned, imported, learned, remembered, remembered,
    known, known, attended, attended, marked, beat, beat,
)  # fmt: skip


def history(project: str, random: Random, length: int, values: Sequence[Any], texts: Sequence[str]) -> Story:
    """So many things asked, some of them in vain, with time passing between them."""
    story = Story(project)
    story.do("op", *(SpawnAgent(agent=name, persona="plot") for name in AGENTS))
    chance = Chance(story.ledger, random, values, texts)
    for _ in range(length):
        actor, command = chance.one(*DEEDS)(chance)
        with suppress(Rejection):
            story.do(actor, command)
        story.tick(chance.one(*PAUSES_S))
    return story


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def log(url: str) -> Iterator[EventLog]:
    with opened_log(url) as log:
        yield log


def tables(url: str, project: str) -> tuple[int, Tables]:
    """Where the read models stand, and what they hold of a project there."""
    with connected(url) as connection, connection.transaction():
        standing = tracked(connection, lock=True)
        (position,) = {each.position for each in standing.values()}
        return position, {
            projection.name: {
                projection.key_of(row): row
                for row in Table(projection, standing[projection.name].table_name).scan(connection, project)
            }
            for projection in PROJECTIONS
        }


class StopAfter(Flag):
    """Is set once it has been asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def is_set(self) -> bool:
        self._times -= 1
        return self._times < 0


def project_some(log: EventLog, url: str, batch_events: int, batches: int) -> None:
    """Run a projector that is told to stop after so many batches, or before it would find nothing to do."""
    with connected(url) as connection:
        set_up(connection, PROJECTIONS)
        behind = log.head() - min(each.position for each in tracked(connection).values())
    steps = min(batches, behind // batch_events)
    asked = 2 if steps else 0  # before it works and before it leads
    Projector(log, CODEC, url, PROJECTIONS, batch_events=batch_events).run(StopAfter(asked + steps))


_numbers = count()


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller random history says no more
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    random=st.randoms(use_true_random=True),
    length=st.integers(20, 200),
    values=st.lists(free, min_size=4, max_size=4),
    texts=st.lists(text, min_size=4, max_size=4),
    runs=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 20), st.integers(0, 4)), max_size=6),
)
def test_a_replay_gives_what_the_tables_held(
    log: EventLog,
    url: str,
    random: Random,
    length: int,
    values: list[Any],
    texts: list[str],
    runs: list[tuple[int, int, int]],
) -> None:
    story = history(f"novel-{next(_numbers)}", random, length, values, texts)
    events, seen = stored(story.history), list[tuple[int, Tables]]()
    for appended, batch_events, batches in runs:
        log.append(events[:appended])
        del events[:appended]
        project_some(log, url, batch_events, batches)
        seen.append(tables(url, story.project))
    log.append(events)
    Projector(log, CODEC, url, PROJECTIONS).catch_up()
    seen.append(tables(url, story.project))
    for position, held in seen:
        assert replay(log, CODEC, PROJECTIONS, story.project, position) == held
    check_agreement(story.ledger, held)
