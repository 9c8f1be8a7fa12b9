"""Agents: worker instances of a persona. Spawned, silent for a while (stale), recovered, terminated.

Heartbeats are not events: they move deadlines. Only a change of condition is recorded.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain import handoffs, sessions
from domain.errors import AgentExists, AgentLimitReached, UnknownPersona
from domain.messages import Command, Context, Data, Event, Key, Name, Text
from domain.tasks import work

if TYPE_CHECKING:
    from domain.ledger import Ledger


class SpawnAgent(Command, frozen=True, kw_only=True):
    """Make an agent known. Without a name the actor spawns itself."""

    name: ClassVar[str] = "agent.spawn"

    persona: Name
    agent: Name | None = None
    platform: Annotated[str, Constraint(max_length=64)] = ""
    capabilities: Annotated[tuple[Key, ...], Constraint(max_length=32)] = ()
    metadata: Data = None


class Heartbeat(Command, frozen=True, kw_only=True):
    """Say that the actor is alive; every lease it holds gets its full term again."""

    name: ClassVar[str] = "agent.heartbeat"


class Leave(Command, frozen=True, kw_only=True):
    """End the actor itself; what it held goes back to the queue."""

    name: ClassVar[str] = "agent.leave"

    reason: Text = ""


class TerminateAgent(Command, frozen=True, kw_only=True):
    """End an agent (the actor itself unless named); what it held goes back to the queue."""

    name: ClassVar[str] = "agent.terminate"

    agent: Name | None = None
    reason: Text = ""


class CheckAgent(Command, frozen=True, kw_only=True):
    """Has this agent been silent or idle for too long? (asked by the ticker alone)"""

    name: ClassVar[str] = "agent.check"

    agent: Name


class AgentEvent(Event, frozen=True, kw_only=True):
    agent: str

    @property
    def entity(self) -> str:
        return self.agent


class AgentSpawned(AgentEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "agent.spawned"

    persona: str
    platform: str = ""
    capabilities: tuple[str, ...] = ()
    metadata: Data = None


class AgentWentStale(AgentEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "agent.went_stale"

    silent_s: float


class AgentRecovered(AgentEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "agent.recovered"


class AgentTerminated(AgentEvent, frozen=True, kw_only=True):
    name: ClassVar[str] = "agent.terminated"

    reason: str = ""


class Agent(Struct):
    """An agent that is not terminated.

    `last_seen` counts every sign of life, `last_active` all but heartbeats.
    """

    id: str
    persona: str
    platform: str
    capabilities: frozenset[str]
    last_seen: datetime
    last_active: datetime
    status: Literal["active", "stale"] = "active"
    held: set[str] = set()


REMEMBERED_REASON_CHARS = 200

AgentCommand = SpawnAgent | Heartbeat | Leave | TerminateAgent | CheckAgent
AnyAgentEvent = AgentSpawned | AgentWentStale | AgentRecovered | AgentTerminated


def decide(ledger: "Ledger", command: AgentCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case SpawnAgent():
            return _spawn(ledger, command, context)
        case Heartbeat():
            ledger.active_agent(context.actor)
            return ()
        case Leave():
            return _end(ledger, context.actor, command.reason)
        case TerminateAgent():
            return _end(ledger, command.agent or context.actor, command.reason)
        case CheckAgent():
            return _check(ledger, command, context)
        case _:
            assert_never(command)


def recover(ledger: "Ledger", actor: str) -> tuple[Event, ...]:
    """A stale agent that speaks is back."""
    agent = ledger.agents.get(actor)
    return (AgentRecovered(agent=actor),) if agent is not None and agent.status == "stale" else ()


def _end(ledger: "Ledger", agent: str, reason: str) -> tuple[Event, ...]:
    if agent in ledger.terminated:
        return ()
    return terminate(ledger, ledger.active_agent(agent), reason or "asked")


def terminate(ledger: "Ledger", agent: Agent, reason: str) -> tuple[Event, ...]:
    """Everything the agent held or was offered is let go by events of its own, then the agent ends."""
    events: list[Event] = []
    for name in sorted(agent.held):
        events += work.let_go(ledger, ledger.tasks.live[name], f"agent terminated: {reason}")
    events += ledger.close_offers_to(agent.id)
    events += ledger.end_sessions_of(agent.id, reason)
    return (*events, AgentTerminated(agent=agent.id, reason=reason))


def terminate_all(ledger: "Ledger", reason: str) -> tuple[Event, ...]:
    """Everybody ends at once, and nothing stays held or offered."""
    held = [task for task in ledger.tasks.live.values() if task.holder is not None]
    return (
        *(work.released(task, reason) for task in sorted(held, key=lambda task: task.id)),
        *(handoffs.close(ledger.handoffs[name], reason) for name in sorted(ledger.handoffs)),
        *sessions.end_all(ledger, ledger.sessions, reason),
        *(AgentTerminated(agent=name, reason=reason) for name in sorted(ledger.agents)),
    )


def _spawn(ledger: "Ledger", command: SpawnAgent, context: Context) -> tuple[Event, ...]:
    name = command.agent or context.actor
    if not ledger.knows_persona(command.persona):
        raise UnknownPersona(persona=command.persona)
    capabilities = frozenset(command.capabilities)
    known = ledger.agents.get(name)
    if known is not None:
        same = (known.persona, known.platform, known.capabilities)
        if same == (command.persona, command.platform, capabilities):
            return ()
        raise AgentExists(agent=name, persona=known.persona)
    if len(ledger.agents) >= ledger.setting("max_agents"):
        raise AgentLimitReached(active=len(ledger.agents))
    return (
        AgentSpawned(
            agent=name,
            persona=command.persona,
            platform=command.platform,
            capabilities=tuple(sorted(capabilities)),
            metadata=command.metadata,
        ),
    )


def _check(ledger: "Ledger", command: CheckAgent, context: Context) -> tuple[Event, ...]:
    agent = ledger.agents.get(command.agent)
    if agent is None:
        return ()
    silent = context.at - agent.last_seen
    idle = context.at - agent.last_active
    timeout = timedelta(seconds=ledger.setting("idle_timeout_s"))
    if silent >= timeout:
        return terminate(ledger, agent, "silent")
    if idle >= timeout and not agent.held:
        return terminate(ledger, agent, "idle")
    if agent.status == "active" and silent >= timedelta(seconds=ledger.setting("stale_after_s")):
        return (AgentWentStale(agent=agent.id, silent_s=silent.total_seconds()),)
    return ()


def next_check(ledger: "Ledger", agent: Agent) -> datetime:
    """When this agent would at the earliest be silent or idle for too long."""
    timeout = timedelta(seconds=ledger.setting("idle_timeout_s"))
    checks = [agent.last_seen + timeout]
    if not agent.held:
        checks.append(agent.last_active + timeout)
    if agent.status == "active":
        checks.append(agent.last_seen + timedelta(seconds=ledger.setting("stale_after_s")))
    return min(checks)


def evolve(ledger: "Ledger", event: AnyAgentEvent, at: datetime) -> None:
    match event:
        case AgentSpawned():
            agent = Agent(
                id=event.agent,
                persona=event.persona,
                platform=event.platform,
                capabilities=frozenset(event.capabilities),
                last_seen=at,
                last_active=at,
            )
            ledger.agents[event.agent] = agent
            ledger.terminated.pop(event.agent, None)
            ledger.timers.set("agent", event.agent, next_check(ledger, agent))
        case AgentWentStale():
            stale = ledger.agents[event.agent]
            stale.status = "stale"
            ledger.timers.set("agent", event.agent, next_check(ledger, stale))
        case AgentRecovered():
            recovered = ledger.agents[event.agent]
            recovered.status = "active"
            ledger.timers.set("agent", event.agent, next_check(ledger, recovered))
        case AgentTerminated():
            ledger.agents.pop(event.agent, None)  # after a restore it may not have been spawned yet
            ledger.terminated[event.agent] = event.reason[:REMEMBERED_REASON_CHARS]
            ledger.timers.clear("agent", event.agent)
        case _:
            assert_never(event)
