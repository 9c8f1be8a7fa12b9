"""A ledger from rows: what a project's read models say of it at a position, as the writer needs to know it.

It is the same as the fold of the project's events, at a cost that follows what there is instead of what ever
happened. What a fold would know beside that, because time alone moves it, has to be renewed. Pure.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from sys import intern

from msgspec import Struct

from domain.agents import REMEMBERED_REASON_CHARS, Agent, next_check
from domain.bookmarks import Bookmark
from domain.correction import Closed
from domain.handoffs import Handoff
from domain.learning import OpenEstimate
from domain.ledger import Ledger
from domain.memory import Memory
from domain.personas import Persona
from domain.sessions import Session
from domain.tasks.commands import Retry
from domain.tasks.events import Status
from domain.tasks.state import HELD, NO_TASKS, Needs, Task
from projections.agents import AgentRow
from projections.bookmarks import BookmarkRow
from projections.decisions import DecisionRow
from projections.estimates import EstimateRow
from projections.handoffs import HandoffRow
from projections.memory import MemoryRow
from projections.patterns import PatternRow
from projections.personas import PersonaRow
from projections.sessions import SessionRow
from projections.settings import SettingRow
from projections.spikes import SpikeRow


class Finished(Struct, frozen=True, array_like=True):
    """A task that is over: all that a ledger keeps of it."""

    task: str
    status: str
    fence: int


class Live(Struct, frozen=True, array_like=True, gc=False):
    """A task that is not over: what a ledger keeps of it, in the columns of its row."""

    capabilities: tuple[str, ...]
    depends_on: tuple[str, ...]
    retry: Retry
    task: str
    brief: int
    priority: int
    status: Status
    persona: str | None
    lease_s: float | None
    run_after: datetime | None
    failures: int
    fence: int
    handoff: str | None
    holder: str | None
    claimed_at: datetime | None
    lease_until: datetime | None
    retry_at: datetime | None


class Rows(Struct, frozen=True, kw_only=True):
    """The rows that make a ledger; of handoffs, estimates, spikes and sessions only the open ones, of
    memories the current ones, of decisions those that hold. `closed` are the estimates closed last, the
    latest last.

    There may be a million tasks: they are looked at one by one.
    """

    agents: Iterable[AgentRow]
    personas: Iterable[PersonaRow]
    settings: Iterable[SettingRow]
    bookmarks: Iterable[BookmarkRow]
    estimates: Iterable[EstimateRow]
    closed: Iterable[EstimateRow]
    spikes: Iterable[SpikeRow]
    decisions: Iterable[DecisionRow]
    patterns: Iterable[PatternRow]
    finished: Iterable[Finished]
    tasks: Iterable[Live]
    handoffs: Iterable[HandoffRow]
    memories: Iterable[MemoryRow]
    sessions: Iterable[SessionRow]


def fill(ledger: Ledger, rows: Rows) -> None:
    """Give an empty ledger what the rows say."""
    _fill_settings(ledger, rows)
    for agent in rows.agents:
        _add_agent(ledger, agent)
    for persona in rows.personas:
        ledger.personas[persona.persona] = Persona(persona.definition, frozenset(persona.capabilities))
    _fill_learned(ledger, rows)
    for finished in rows.finished:
        known = ledger.tasks.completed if finished.status == "completed" else ledger.tasks.cancelled
        known[finished.task] = finished.fence
    tasks = sorted((_task(ledger, row) for row in rows.tasks), key=attrgetter("sequence"))
    ledger.tasks.add_all(tasks)
    for handoff in rows.handoffs:
        _add_handoff(ledger, handoff)
    for memory in rows.memories:
        _add_memory(ledger, memory)
    for session in sorted(rows.sessions, key=attrgetter("sequence")):
        ledger.begin_session(session.session, Session(session.agent, session.sequence))


def _fill_learned(ledger: Ledger, rows: Rows) -> None:
    for estimate in rows.estimates:
        opened = OpenEstimate(estimate.estimated_sessions, estimate.complexity, estimate.persona)
        ledger.estimates[estimate.estimate] = opened
    for row in rows.closed:
        if row.ratio is not None and row.closed_at is not None:
            ledger.closed_estimates.append(Closed(row.ratio, row.persona, row.complexity, row.closed_at))
    known = ledger.knowledge
    known.spikes.update((row.spike, (row.question, row.approach)) for row in rows.spikes)
    known.decisions.update(row.decision for row in rows.decisions)
    known.patterns.update(row.pattern for row in rows.patterns)


def _fill_settings(ledger: Ledger, rows: Rows) -> None:
    for setting in rows.settings:
        if not setting.unset:
            ledger.settings[setting.scope, setting.user, setting.key] = setting.value
    for bookmark in rows.bookmarks:
        if bookmark.status == "placed":
            ledger.bookmarks[bookmark.bookmark] = Bookmark(bookmark.sequence, bookmark.note)


def _add_agent(ledger: Ledger, row: AgentRow) -> None:
    if row.status == "terminated":
        ledger.terminated[row.agent] = row.reason[:REMEMBERED_REASON_CHARS]
        return
    agent = Agent(
        id=row.agent,
        persona=row.persona,
        platform=row.platform,
        capabilities=frozenset(row.capabilities),
        last_seen=row.last_event_at,
        last_active=row.last_event_at,
        status=row.status,
        held=set(),
    )
    ledger.agents[row.agent] = agent
    ledger.timers.set("agent", row.agent, next_check(ledger, agent))


def _task(ledger: Ledger, row: Live) -> Task:
    """A task, with its deadline and its holder; all finished tasks and agents are in the ledger already."""
    completed = ledger.tasks.completed
    task = Task(
        id=row.task,
        sequence=row.brief,
        priority=row.priority,
        status=intern(row.status),  # type: ignore[arg-type]  # the same word, kept once
        needs=Needs(row.persona, frozenset(row.capabilities)),
        retry=row.retry,
        lease_s=row.lease_s,
        run_after=row.run_after,
        waiting_for=frozenset(name for name in row.depends_on if name not in completed) or NO_TASKS,
        failures=row.failures,
        fence=row.fence,
        handoff=row.handoff,
    )
    if row.status in HELD and row.holder is not None and row.lease_until is not None:
        task.holder, task.since = row.holder, row.claimed_at
        ledger.agents[row.holder].held.add(row.task)
        ledger.timers.set("lease", row.task, row.lease_until)
    elif row.status == "failed" and row.retry_at is not None:
        ledger.timers.set("due", row.task, row.retry_at)
    elif row.status == "blocked" and row.run_after is not None:
        ledger.timers.set("due", row.task, row.run_after)
    return task


def _add_handoff(ledger: Ledger, row: HandoffRow) -> None:
    offered = row.status == "initiated"
    ledger.handoffs[row.handoff] = Handoff(
        row.handoff,
        row.task,
        row.from_agent,
        row.to_agent,
        row.to_persona if offered else None,
        row.sequence,
        "initiated" if offered else "accepted",
    )
    if offered:
        ledger.timers.set("handoff", row.handoff, row.expires_at)


def _add_memory(ledger: Ledger, row: MemoryRow) -> None:
    """When to look for faded ones is soon: what the ledger would have known is not in the rows."""
    shared = [
        *(("agent", name) for name in row.shared_agents),
        *(("project", p) for p in row.shared_projects),
    ]
    ledger.memories[row.memory] = Memory(
        row.agent,
        row.importance,
        row.touched_at,
        private=row.visibility == "private",
        shared=frozenset(shared),
    )
    if ("memory", "") not in ledger.timers.due:
        ledger.timers.set("memory", "", row.touched_at)
