"""`one-holder` and `fences`: the log read as the life of each task, event by event.

Nobody gets a task that somebody holds or that is not waiting to be claimed; nobody writes about a task but
its holder under its fence; and no fence of a task is ever given twice or goes back, restores included. After
a violation it goes on with what the log says, so that one damage is told of once.
"""

from collections.abc import Callable
from sys import intern
from typing import Any

from services.prove.checker.findings import Violations
from services.prove.checker.grants import Grants
from services.prove.checker.tasks import Agent, Project, Task
from services.prove.checker.turns import Moment, Turns
from services.prove.evidence import Logged

Data = dict[str, Any]


class Holders:
    """Folds the log. `projects` is what is so after the events seen; `grants` who ever held what."""

    def __init__(self, turns: Turns) -> None:
        self.projects: dict[str, Project] = {}
        self.grants = Grants()
        self.holder_violations = Violations("one-holder")
        self.fence_violations = Violations("fences")
        self._turns = turns
        self._remembered: dict[Moment, Project] = {}
        self._topics: dict[str, Callable[[Project, Logged, Data], None] | None] = {}
        self._readers: dict[str, Callable[[Project, Logged, Data], None]] = {
            "task.enqueued": self._enqueued,
            "task.imported": self._enqueued,
            "task.queued": self._queued,
            "task.claimed": self._claimed,
            "task.started": self._worked,
            "task.progressed": self._worked,
            "task.completed": self._completed,
            "task.failed": self._failed,
            "task.lease_expired": self._expired,
            "task.released": self._released,
            "task.died": self._died,
            "task.cancelled": self._cancelled,
            "task.revived": self._revived,
            "handoff.initiated": self._offered,
            "handoff.accepted": self._handed_over,
            "handoff.rejected": self._answered,
            "handoff.completed": self._answered,
            "handoff.expired": self._answered,
            "agent.spawned": self._spawned,
            "agent.terminated": self._terminated,
            "agent.went_stale": self._silent,
            "agent.recovered": self._recovered,
            "project.forked": self._forked,
            "project.restored": self._restored,
        }

    def see(self, event: Logged) -> None:
        project = self.projects.get(event.project)
        if project is None:
            project = self.projects[event.project] = Project()
        topic = event.topic
        if topic not in self._topics:
            self._topics[topic] = self._readers.get(topic.partition("@")[0])
        read = self._topics[topic]
        if read is not None:
            self.holder_violations.examined += 1
            read(project, event, event.body["data"])
        moments = self._turns.moments.get(event.project)
        if moments is not None and event.sequence in moments:
            self._remembered[event.project, event.sequence] = self.projects[event.project].copy()

    def _enqueued(self, project: Project, event: Logged, data: Data) -> None:
        if data["task"] in project.tasks:
            self._broken(event, "is enqueued though there is already a task of this id")
            return
        project.tasks[data["task"]] = Task(intern(data["status"]))

    def _queued(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is not None:
            self._expect(event, task, ("blocked", "failed"))
            task.status = "queued"

    def _claimed(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is None:
            return
        if task.holder is not None:
            self._broken(
                event, f"goes to {data['agent']} while {task.holder} holds it under fence {task.fence}"
            )
        else:
            self._expect(event, task, ("queued",))
        self._grant(project, event, task, data["task"], data["agent"], data["fence"])
        task.attempt = data["attempt"]

    def _handed_over(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is None:
            return
        if task.holder is None or task.holder != data["from_agent"]:
            self._broken(event, f"is handed over by {data['from_agent']}, but its holder is {task.holder}")
        self._answered(project, event, data)
        self._grant(project, event, task, data["task"], data["to_agent"], data["fence"])

    def _grant(self, project: Project, event: Logged, task: Task, name: str, agent: str, fence: int) -> None:
        self.fence_violations.examined += 1
        if fence <= max(task.fence, project.floor):
            self.fence_violations.add(
                f"Task {name} of {event.project} goes to {agent} under fence {fence} at position"
                f" {event.position}, but fence {max(task.fence, project.floor)} was given before."
            )
        self._acts_itself(event, agent)
        holder = project.agents.get(agent)
        if holder is None or not holder.alive:
            self._broken(event, f"goes to {agent}, which is not spawned or was terminated")
        self._end(project, event, task, name)
        if not self.grants.begin(event.project, name, fence, agent, event.position):
            self.fence_violations.add(
                f"Fence {fence} of task {name} of {event.project} is given a second time, to {agent} at"
                f" position {event.position}."
            )
        task.status, task.holder, task.fence = "claimed", intern(agent), max(fence, task.fence)
        project.fence = max(project.fence, fence)
        if holder is not None:
            holder.held += 1

    def _end(
        self, project: Project, event: Logged, task: Task, name: str, *, by_completion: bool = False
    ) -> None:
        if task.holder is None:
            return
        holder = project.agents.get(task.holder)
        if holder is not None:
            holder.held -= 1
        self.grants.end(
            event.project, name, task.fence, event.position, event.body["at"], by_completion=by_completion
        )
        task.holder = None

    def _under_lease(self, project: Project, event: Logged, data: Data) -> Task | None:
        """The task, which this agent should hold under this fence."""
        task = self._known(project, event, data)
        if task is not None and (task.holder != data["agent"] or task.fence != data["fence"]):
            self._broken(
                event,
                f"is written about by {data['agent']} under fence {data['fence']}, but its holder is"
                f" {task.holder} and its fence {task.fence}",
            )
        return task

    def _worked(self, project: Project, event: Logged, data: Data) -> None:
        task = self._under_lease(project, event, data)
        if task is not None:
            self._acts_itself(event, data["agent"])
            if task.holder is not None:
                task.status = "in_progress"

    def _completed(self, project: Project, event: Logged, data: Data) -> None:
        task = self._under_lease(project, event, data)
        if task is not None:
            self._acts_itself(event, data["agent"])
            self._end(project, event, task, data["task"], by_completion=True)
            task.status = "completed"
            task.completions += 1

    def _failed(self, project: Project, event: Logged, data: Data) -> None:
        task = self._under_lease(project, event, data)
        if task is not None:
            self._acts_itself(event, data["agent"])
            self._end(project, event, task, data["task"])
            task.status, task.failures = "failed", data["failures"]

    def _expired(self, project: Project, event: Logged, data: Data) -> None:
        task = self._under_lease(project, event, data)
        if task is not None:
            self._end(project, event, task, data["task"])
            task.status, task.failures = "queued", data["failures"]

    def _released(self, project: Project, event: Logged, data: Data) -> None:
        task = self._under_lease(project, event, data)
        if task is not None:
            self._end(project, event, task, data["task"])
            task.status = "queued"

    def _died(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is not None:
            self._expect(event, task, ("failed", "queued"))
            task.status, task.failures = "dead", data["failures"]

    def _cancelled(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is None:
            return
        if task.status in ("completed", "cancelled") or task.holder != data.get("agent"):
            self._broken(
                event,
                f"is cancelled as held by {data.get('agent')}, but it is {task.status} and its holder is"
                f" {task.holder}",
            )
        self._end(project, event, task, data["task"])
        task.status = "cancelled"

    def _revived(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is not None:
            self._expect(event, task, ("dead",))
            task.status, task.failures = intern(data["status"]), 0

    def _offered(self, project: Project, event: Logged, data: Data) -> None:
        task = self._known(project, event, data)
        if task is not None and (task.holder is None or task.holder != data["from_agent"]):
            self._broken(event, f"is offered by {data['from_agent']}, but its holder is {task.holder}")
        self._answered(project, event, data)

    def _answered(self, project: Project, event: Logged, data: Data) -> None:
        """The last event of a handoff is its status."""
        project.handoffs[data["handoff"]] = event.topic.partition("@")[0].removeprefix("handoff.")

    def _spawned(self, project: Project, _: Logged, data: Data) -> None:
        agent = project.agents.setdefault(intern(data["agent"]), Agent("active"))
        agent.status = "active"

    def _terminated(self, project: Project, event: Logged, data: Data) -> None:
        agent = project.agents.get(data["agent"])
        if agent is None:
            return  # it was spawned in time that was taken back
        if agent.held:
            self._broken(event, f"ends agent {data['agent']}, which still holds {agent.held} tasks")
        agent.status, agent.held = "terminated", 0

    def _silent(self, project: Project, _: Logged, data: Data) -> None:
        if data["agent"] in project.agents:
            project.agents[data["agent"]].status = "stale"

    def _recovered(self, project: Project, _: Logged, data: Data) -> None:
        if data["agent"] in project.agents:
            project.agents[data["agent"]].status = "active"

    def _forked(self, project: Project, event: Logged, data: Data) -> None:
        if self._turns.forks.get(event.project) == (data["origin"], event.sequence - 1):
            self._go_back(project, event, self._turns.moment(data["origin"], data["sequence"]))

    def _restored(self, project: Project, event: Logged, data: Data) -> None:
        if data["fence_floor"] < project.fence:
            self.fence_violations.add(
                f"The restore of {event.project} at position {event.position} lets fences begin above"
                f" {data['fence_floor']}, but fence {project.fence} was given before."
            )
        for task in project.tasks:  # whatever lease stands now is over
            self._end(project, event, project.tasks[task], task)
        self._go_back(project, event, self._turns.moment(event.project, data["sequence"]))

    def _go_back(self, project: Project, event: Logged, moment: Moment) -> None:
        then = self._remembered.get(moment)
        if then is None:
            self._broken(event, f"goes back to {moment[0]} #{moment[1]}, which stands nowhere before it")
            return
        now = then.copy()
        now.fence = max(project.fence, then.fence)
        now.floor = max(project.fence, project.floor, then.floor)
        self.projects[event.project] = now

    def _known(self, project: Project, event: Logged, data: Data) -> Task | None:
        task = project.tasks.get(data["task"])
        if task is None:
            self._broken(event, "was never enqueued")
        return task

    def _expect(self, event: Logged, task: Task, statuses: tuple[str, ...]) -> None:
        if task.status not in statuses:
            self._broken(
                event,
                f"is {task.status}, held by {task.holder}; only {' or '.join(statuses)} can become this",
            )

    def _acts_itself(self, event: Logged, agent: str) -> None:
        if event.body["actor"] != agent:
            self._broken(event, f"is written about by {event.body['actor']} in the name of {agent}")

    def _broken(self, event: Logged, what: str) -> None:
        self.holder_violations.add(
            f"At position {event.position} ({event.project} #{event.sequence}, {event.topic}) task"
            f" {event.body['data'].get('task', '-')} {what}."
        )
