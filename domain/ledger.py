"""The ledger: one project's state, just enough to decide.

It is the fold of the project's events and nothing else, but for two things that time alone moves and that are
no events: when each agent was last heard of, and the deadlines that follow from it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from domain import handoffs, sessions
from domain.agents import Agent, next_check
from domain.bookmarks import Bookmark
from domain.correction import remembered
from domain.errors import AgentTerminated, UnknownAgent
from domain.handoffs import Handoff
from domain.knowledge.book import Knowledge
from domain.learning import OpenEstimate
from domain.memory import Memory
from domain.messages import Data, Event
from domain.personas import BUILT_IN, Persona
from domain.sessions import Session
from domain.settings import SettingId, effective
from domain.tasks.state import Task, TaskBook
from domain.timers import Timers


class Ledger:
    """State of one project. `defaults` are the settings of the system project."""

    def __init__(self, project: str, defaults: Mapping[SettingId, Data] | None = None) -> None:
        self.project = project
        self.sequence = 0
        self.agents: dict[str, Agent] = {}
        self.terminated: dict[str, str] = {}
        self.personas: dict[str, Persona] = {}
        self.tasks = TaskBook()
        self.handoffs: dict[str, Handoff] = {}
        self.estimates: dict[str, OpenEstimate] = {}
        self.closed_estimates = remembered()
        self.knowledge = Knowledge()
        self.bookmarks: dict[str, Bookmark] = {}
        self.memories: dict[str, Memory] = {}
        self.sessions: dict[str, Session] = {}
        self.sessions_by_agent: dict[str, tuple[str, ...]] = {}
        self.settings: dict[SettingId, Data] = {}
        self.timers = Timers()
        self.fence_floor = 0
        self._defaults = defaults if defaults is not None else {}

    def setting(self, key: str) -> Any:
        return effective(self.settings, self._defaults, key)

    def active_agent(self, name: str) -> Agent:
        """The agent, stale or not. Raises AgentTerminated or UnknownAgent."""
        agent = self.agents.get(name)
        if agent is not None:
            return agent
        if name in self.terminated:
            raise AgentTerminated(agent=name, reason=self.terminated[name])
        raise UnknownAgent(agent=name)

    def knows_persona(self, name: str) -> bool:
        return name in BUILT_IN or name in self.personas

    def capabilities_of(self, agent: Agent) -> frozenset[str]:
        """The agent's own and those its persona brings."""
        persona = self.personas.get(agent.persona)
        return agent.capabilities if persona is None else agent.capabilities | persona.capabilities

    def lease_s(self, task: Task) -> float:
        """How long a claim of this task holds without a heartbeat, in seconds."""
        return float(task.lease_s if task.lease_s is not None else self.setting("default_lease_s"))

    def next_fence(self, task: Task) -> int:
        """The fence of whoever gets this task now: above all it had, also in time taken back."""
        return max(task.fence, self.fence_floor) + 1

    def highest_fence(self) -> int:
        """The highest fence that any task ever had, also in time taken back; 0 if there was none."""
        live = (task.fence for task in self.tasks.live.values())
        finished = (*self.tasks.completed.values(), *self.tasks.cancelled.values())
        return max(self.fence_floor, *live, *finished, 0)

    def close_handoff(self, task: Task, why: str, *, completed: bool = False) -> tuple[Event, ...]:
        """The event that ends this task's open handoff, if it has one."""
        if task.handoff is None:
            return ()
        return (handoffs.close(self.handoffs[task.handoff], why, completed=completed),)

    def close_offers_to(self, agent: str) -> tuple[Event, ...]:
        """The ends of what was offered to this agent and is not answered."""
        offers = [h for h in self.handoffs.values() if h.to_agent == agent and h.status == "initiated"]
        return tuple(handoffs.close(offer, "the receiver was terminated") for offer in offers)

    def begin_session(self, name: str, session: Session) -> None:
        """Note an open session, the latest last."""
        self.sessions[name] = session
        self.sessions_by_agent[session.agent] = (*self.sessions_by_agent.get(session.agent, ()), name)

    def end_sessions_of(self, agent: str, reason: str) -> tuple[Event, ...]:
        """The ends of the sessions that this agent has open."""
        return sessions.end_all(self, self.sessions_by_agent.get(agent, ()), reason)

    def session_of(self, agent: str, named: str | None) -> str | None:
        """The session that something belongs to: the one it names, else the only one its agent has open."""
        own = self.sessions_by_agent.get(agent, ())
        return own[0] if named is None and len(own) == 1 else named

    def seen(self, name: str, at: datetime, *, active: bool) -> None:
        """Note a sign of life of an agent; `active` if it was more than a heartbeat.

        Its timer stays where it is: when it goes off, it finds the agent alive and is set anew.
        """
        agent = self.agents.get(name)
        if agent is None:
            return
        agent.last_seen = at
        if active:
            agent.last_active = at

    def recheck_agents(self) -> None:
        """A changed setting may make an agent stale or idle earlier than its timer says."""
        for agent in self.agents.values():
            self.timers.set("agent", agent.id, next_check(self, agent))

    def renew(self, name: str, at: datetime) -> None:
        """Give every lease of this agent its full term."""
        agent = self.agents.get(name)
        if agent is None:
            return
        for held in agent.held:
            self.timers.set("lease", held, at + timedelta(seconds=self.lease_s(self.tasks.live[held])))

    def renew_all(self, at: datetime) -> None:
        """After a fold from the log nobody has been heard of yet: every agent and lease starts anew."""
        for name in self.agents:
            self.seen(name, at, active=True)
            self.renew(name, at)
