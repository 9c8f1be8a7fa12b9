"""A made-up session with sound evidence: agents of two projects work until all is done, answers get lost.

Everything follows from a seed. No server, no clock: commands are decided in memory by the real domain, and
time is what the session says.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.agents import Heartbeat, SpawnAgent
from domain.handoffs import AcceptHandoff, InitiateHandoff
from domain.messages import Command
from domain.tasks.commands import (
    ClaimTask,
    CompleteTask,
    EnqueueTask,
    FailTask,
    ReleaseTask,
    ReportProgress,
    Retry,
    RetryTask,
    StartTask,
)
from projections import agents, handoffs
from projections.framework import Projection
from projections.queue import QUEUE
from services.prove.evidence import (
    LOG,
    ROWS,
    STREAM,
    Ask,
    Evidence,
    Logged,
    Plan,
    Said,
    Streamed,
    Told,
    Unanswered,
    ViewRow,
    write_lines,
)
from services.prove.selftest_desk import Desk

PROJECTS = ("north", "south")
AGENTS = ("ada", "ben", "cleo", "dan")
OPERATOR = "operator"
VIEWS: tuple[Projection[Any], ...] = (QUEUE, agents.AGENTS, handoffs.HANDOFFS)
TASKS = 16
MAX_STEPS = 4_000
START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = timedelta(milliseconds=1)

AWAY = {
    "ok": False,
    "error": {"code": "unavailable", "message": "a second writer is away", "retryable": True},
}
"""What another service says that heard the question too, after a long pause."""

Held = tuple[str, int]
"""A task and the fence that an agent was told."""


class History(Struct):
    """Evidence in memory: what was said by client, the log, the stream, the rows and the plan."""

    said: dict[str, list[Said]]
    log: list[Logged]
    stream: list[Streamed]
    rows: list[ViewRow]
    plan: Plan

    def write(self, folder: Path) -> None:
        """Into an empty folder, as a recorded session is."""
        for client, lines in self.said.items():
            write_lines(folder / f"transcript-{client}.jsonl", lines)
        write_lines(folder / LOG, self.log)
        write_lines(folder / STREAM, self.stream)
        write_lines(folder / ROWS, self.rows)
        Evidence(folder).write_plan(self.plan)

    def copy(self) -> "History":
        """Another one, with lists of its own; the records in them never change."""
        tasks = {project: [*names] for project, names in self.plan.tasks.items()}
        return History(
            {client: [*lines] for client, lines in self.said.items()},
            [*self.log],
            [*self.stream],
            [*self.rows],
            replace(self.plan, tasks=tasks),
        )

    def exchanges(self) -> Iterator[tuple[Ask, dict[str, Any]]]:
        """Every question that was answered, with the reply."""
        for lines in self.said.values():
            asked = {(line.id, line.attempt): line for line in lines if isinstance(line, Ask)}
            for line in lines:
                if isinstance(line, Told):
                    yield asked[line.id, line.attempt], line.reply


def sound_history(seed: int) -> History:
    """A session in which all went as it should."""
    return Session(seed).run()


def streamed(log: list[Logged]) -> list[Streamed]:
    """What the stream holds of this log."""
    previous = 0
    messages = []
    for number, event in enumerate(log, 1):
        name = event.topic.partition("@")[0]
        messages.append(
            Streamed(
                stream_sequence=number,
                subject=f"coord.{event.project}.evt.{name}.{event.body['entity']}",
                position=event.position,
                project_sequence=event.sequence,
                previous=previous,
                body=event.body,
            )
        )
        previous = event.position
    return messages


class Session:
    """Everybody asks by turns; each agent is a client of its own and works with what it was told."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = Random(seed)  # noqa: S311  # a made-up story, not a secret
        self._now = START
        self._position = 0
        self._asked = 0
        self._desks = {project: Desk(project, self._reserve) for project in PROJECTS}
        self._said: dict[str, list[Said]] = {name: [] for name in (OPERATOR, *AGENTS)}
        self._held: dict[tuple[str, str], list[Held]] = {}
        self._lost: list[tuple[str, str, Held]] = []
        self._offers: list[tuple[str, str, str]] = []

    def run(self) -> History:
        for project in PROJECTS:
            self._set_out(project)
        for _ in range(MAX_STEPS):
            if all(self._done(project) for project in PROJECTS):
                break
            self._step(self._random.choice(PROJECTS), self._random.choice(AGENTS))
        return self._history()

    def _set_out(self, project: str) -> None:
        for agent in AGENTS:
            self._ask(project, agent, SpawnAgent(persona="plot"))
        for number in range(TASKS):
            needs = (f"t{number - 5}",) if number % 6 == 5 else ()
            self._ask(
                project,
                OPERATOR,
                EnqueueTask(
                    id=f"t{number}",
                    title=f"Task {number}",
                    depends_on=needs,
                    lease_s=30,
                    retry=Retry(attempts=2, backoff_s=1),
                ),
            )

    def _step(self, project: str, agent: str) -> None:
        self._now += timedelta(seconds=self._random.choice((0.1, 0.3, 1, 5)))
        self._desks[project].tick(self._now)
        chance = self._random.random()
        held = self._held.get((project, agent), [])
        if chance < 0.08:
            self._beat(project, agent)
        elif chance < 0.14 and self._lost:
            self._try_lost(agent)
        elif chance < 0.2 and self._offers:
            self._accept()
        elif chance < 0.26:
            self._revive(project)
        elif held:
            self._work(project, agent, self._random.choice(held))
        else:
            self._claim(project, agent)

    def _claim(self, project: str, agent: str) -> None:
        reply = self._ask(project, agent, ClaimTask(count=self._random.choice((1, 1, 2))))
        for lease in reply["result"]["tasks"] if reply["ok"] else ():
            self._held.setdefault((project, agent), []).append((lease["task"], lease["fence"]))

    def _work(self, project: str, agent: str, held: Held) -> None:
        task, fence = held
        other = self._random.choice([name for name in AGENTS if name != agent])
        command: Command = self._random.choice(
            (
                StartTask(task=task, fence=fence),
                ReportProgress(task=task, fence=fence, percent=50),
                ReportProgress(task=task, fence=fence, note="going on"),
                CompleteTask(task=task, fence=fence, result={"by": agent}),
                CompleteTask(task=task, fence=fence),
                FailTask(task=task, fence=fence, error="it broke"),
                ReleaseTask(task=task, fence=fence),
                InitiateHandoff(task=task, fence=fence, to_agent=other),
            )
        )
        reply = self._ask(project, agent, command)
        if isinstance(command, InitiateHandoff) and reply["ok"]:
            self._offers.append((project, other, reply["result"]["handoff"]))
        ends = isinstance(command, CompleteTask | FailTask | ReleaseTask)
        if ends or not reply["ok"]:
            self._held[project, agent].remove(held)
            self._lost.append((project, agent, held))

    def _beat(self, project: str, agent: str) -> None:
        self._ask(project, agent, Heartbeat())

    def _try_lost(self, agent: str) -> None:
        """An old lease is tried again, by whom it was or by somebody else."""
        project, owner, (task, fence) = self._random.choice(self._lost)
        actor = self._random.choice((owner, agent))
        self._ask(project, actor, ReportProgress(task=task, fence=fence, note="late"))

    def _accept(self) -> None:
        project, agent, handoff = self._offers.pop()
        reply = self._ask(project, agent, AcceptHandoff(handoff=handoff))
        if reply["ok"]:
            lease = (reply["result"]["task"], reply["result"]["fence"])
            self._held.setdefault((project, agent), []).append(lease)

    def _revive(self, project: str) -> None:
        live = self._desks[project].ledger.tasks.live.values()
        for task in [task.id for task in live if task.status == "dead"]:
            self._ask(project, OPERATOR, RetryTask(task=task))

    def _ask(self, project: str, actor: str, command: Command) -> dict[str, Any]:
        """Ask until there is an answer, and now and then once more."""
        self._asked += 1
        command_id = f"{actor}-{self._asked}"
        attempt = 1
        while self._random.random() < 0.06:
            self._say_ask(project, actor, command_id, command, attempt)
            if self._random.random() < 0.5:  # else it never arrived
                self._desks[project].ask(actor, command_id, command, self._tick())
            self._said[actor].append(
                Unanswered(
                    at=self._time(), client=actor, id=command_id, attempt=attempt, why="no answer in 5 s"
                )
            )
            attempt += 1
        reply = self._attempt(project, actor, command_id, command, attempt)
        if "sequence" in reply and self._random.random() < 0.05:
            self._attempt(project, actor, command_id, command, attempt + 1)
        if self._random.random() < 0.05:
            self._hear(actor, command_id, attempt, self._random.choice((reply, AWAY)))
        return reply

    def _attempt(
        self, project: str, actor: str, command_id: str, command: Command, attempt: int
    ) -> dict[str, Any]:
        self._say_ask(project, actor, command_id, command, attempt)
        reply = self._desks[project].ask(actor, command_id, command, self._tick())
        self._hear(actor, command_id, attempt, reply)
        return reply

    def _hear(self, actor: str, command_id: str, attempt: int, reply: dict[str, Any]) -> None:
        self._tick()
        self._said[actor].append(
            Told(at=self._time(), client=actor, id=command_id, attempt=attempt, reply=reply)
        )

    def _say_ask(self, project: str, actor: str, command_id: str, command: Command, attempt: int) -> None:
        self._tick()
        self._said[actor].append(
            Ask(
                at=self._time(),
                client=actor,
                id=command_id,
                project=project,
                actor=actor,
                verb=command.name,
                attempt=attempt,
                body=msgspec.to_builtins(command),
            )
        )

    def _tick(self) -> datetime:
        self._now += INSTANT
        return self._now

    def _time(self) -> float:
        return self._now.timestamp()

    def _reserve(self) -> int:
        self._position += self._random.choice((1, 1, 1, 2))  # a failed append leaves a hole
        return self._position

    def _done(self, project: str) -> bool:
        return len(self._desks[project].ledger.tasks.completed) == TASKS

    def _history(self) -> History:
        log = sorted(
            (event for desk in self._desks.values() for event in desk.logged),
            key=lambda event: event.position,
        )
        plan = Plan(
            seed=self._seed,
            projects=list(PROJECTS),
            agents=len(AGENTS),
            tasks={project: [f"t{number}" for number in range(TASKS)] for project in PROJECTS},
            finished=all(self._done(project) for project in PROJECTS),
        )
        return History(self._said, log, streamed(log), self._rows(), plan)

    def _rows(self) -> list[ViewRow]:
        rows = []
        for desk in self._desks.values():
            for projection in VIEWS:
                folded: dict[Any, Any] = {}
                projection.fold_into(folded, projection.touches(desk.history))
                rows += [
                    ViewRow(view=projection.name, row=msgspec.to_builtins(msgspec.structs.asdict(row)))
                    for row in folded.values()
                ]
        return rows
