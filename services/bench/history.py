"""Long histories for the benchmark of time travel, made by the real domain: every event is decided by it.

A fleet of a hundred agents works off plans in a time of its own, which passes as fast as decisions are made:
an event about every 2.5 s, so that a million of them are a month. The same seed gives the same log, byte for
byte. The fleet's project must be new; its history goes to the log and nowhere else, and needs no writer.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from heapq import heappush, heapreplace
from itertools import count
from random import Random

from eventsourcing.persistence import StoredEvent
from msgspec.structs import replace

from domain.decider import due, execute, recover
from domain.ledger import Ledger
from domain.messages import TICKER, Command, Context, Event
from domain.tasks.events import TaskCompleted, TaskFailed
from services.bench import deeds
from services.log.codec import Codec
from services.log.event_log import EventLog

AGENTS = 100
BACKLOG_TASKS = 400
BEGAN = datetime(2025, 1, 1, 6, tzinfo=UTC)
PAUSE_S = 300.0
SILENCE_S = 2_500.0
FALLING_SILENT = 0.003
GOVERNING_S = 1_200.0
CHUNK_EVENTS = 5_000


def make_history(
    log: EventLog,
    codec: Codec,
    project: str,
    events: int,
    seed: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Append so many events of a new project (up to a few more: the last command's are not cut off).

    `progress` is told how many are in the log, after every few thousand. Raises LogConflict if the project
    has events already.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="append") as appender:
        appending, appended = appender.submit(log.append, ()), 0
        for chunk in happening(codec, project, events, seed):
            appended += len(appending.result())
            progress(appended)
            appending = appender.submit(log.append, chunk)  # while the next chunk is decided
        progress(appended + len(appending.result()))


def happening(codec: Codec, project: str, events: int, seed: int = 1) -> Iterator[list[StoredEvent]]:
    """The history in chunks of some thousand events, as the log is to store them."""
    fleet = Fleet(codec, project, Random(seed))  # noqa: S311  # the same again for the same seed is its point
    fleet.begin()
    while fleet.ledger.sequence < events:
        fleet.go_on()
        if len(fleet.stored) >= CHUNK_EVENTS or fleet.ledger.sequence >= events:
            yield fleet.stored
            fleet.stored = []


class Fleet:
    """Agents that take turns, an operator who sees to their work, and the ledger that decides what they ask.

    What was decided gathers in `stored` until somebody takes it away.
    """

    def __init__(self, codec: Codec, project: str, random: Random) -> None:
        self.ledger = Ledger(project)
        self.stored: list[StoredEvent] = []
        self._codec = codec
        self._random = random
        self._now = BEGAN
        self._plans = count(1)
        self._world = deeds.World(self.ledger, random, AGENTS)
        self._turns: list[tuple[float, str]] = []

    def begin(self) -> None:
        """What the operator sets first; then everybody waits for a first turn."""
        for command in deeds.opening(AGENTS):
            self._ask(deeds.OPERATOR, command)
        for name in self._world.agents:
            heappush(self._turns, (self._random.uniform(0, PAUSE_S), name))
        heappush(self._turns, (GOVERNING_S, deeds.OPERATOR))

    def go_on(self) -> None:
        """Let whoever is next take a turn, after all that time alone asks for until then."""
        second, name = self._turns[0]
        self._now = BEGAN + timedelta(seconds=second)
        self._tick()
        if name == deeds.OPERATOR:
            for command in self._world.governing():
                self._ask(name, command)
            pause_s = GOVERNING_S
        else:
            self._reply(name, self._ask(name, self._world.turn(name)))
            pause_s = SILENCE_S if self._random.random() < FALLING_SILENT else PAUSE_S
        heapreplace(self._turns, (second + pause_s * self._random.uniform(0.4, 1.6), name))

    def _reply(self, name: str, events: tuple[Event, ...]) -> None:
        """What follows at once from what an agent did."""
        for event in events:
            if isinstance(event, TaskFailed | TaskCompleted):
                for command in self._world.learning(event):
                    self._ask(name, command)
        while len(self.ledger.tasks.live) < BACKLOG_TASKS:
            for command in self._world.planning(next(self._plans), self._now):
                self._ask(deeds.OPERATOR, command)

    def _tick(self) -> None:
        while (command := due(self.ledger, self._now)) is not None:
            self._store(self._context(TICKER, f"tick-{self.ledger.sequence + 1}"), command)

    def _ask(self, actor: str, command: Command) -> tuple[Event, ...]:
        """As the writer does it: an agent that was stale is back by an event of its own."""
        context = self._context(actor, f"{self._random.getrandbits(128):032x}")
        back = recover(self.ledger, context)
        if back:
            self._keep(replace(context, command_id=f"{context.command_id}:recovered"), back)
        return self._store(context, command)

    def _context(self, actor: str, command_id: str) -> Context:
        return Context(project=self.ledger.project, actor=actor, at=self._now, command_id=command_id)

    def _store(self, context: Context, command: Command) -> tuple[Event, ...]:
        events = execute(self.ledger, command, context)
        self._keep(context, events)
        return events

    def _keep(self, context: Context, events: tuple[Event, ...]) -> None:
        """Encode events that the ledger has applied; they are its last ones."""
        self._world.notice(events)
        first = self.ledger.sequence - len(events) + 1
        for sequence, event in enumerate(events, first):
            self.stored.append(self._codec.encode(event, context, sequence))
