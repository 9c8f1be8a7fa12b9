"""Roles, and which commands each may send. Pure.

A server lets an identity publish the subjects of its role's commands and no others. What a command's fields
may say is decided by the domain, as for everybody.
"""

from collections.abc import Mapping
from typing import Literal

Role = Literal["worker", "planner", "operator", "observer", "service"]

ROLES: Mapping[Role, str] = {
    "worker": "takes tasks, reports on them, hands them off, and records what it learned",
    "planner": "what a worker may, and makes, orders and cancels tasks, personas and bookmarks",
    "operator": "every command in its projects",
    "observer": "reads and listens, and sends no command",
    "service": "a part of coordctl itself: writer, relay, projector or gateway",
}

_WORK: frozenset[Role] = frozenset({"worker", "planner", "operator"})
_PLAN: frozenset[Role] = frozenset({"planner", "operator"})
_RULE: frozenset[Role] = frozenset({"operator"})

MAY: Mapping[str, frozenset[Role]] = {
    "agent.spawn": _WORK,
    "agent.heartbeat": _WORK,
    "agent.leave": _WORK,
    "task.claim": _WORK,
    "task.start": _WORK,
    "task.progress": _WORK,
    "task.complete": _WORK,
    "task.complete_many": _WORK,
    "task.fail": _WORK,
    "task.release": _WORK,
    "handoff.initiate": _WORK,
    "handoff.accept": _WORK,
    "handoff.reject": _WORK,
    "handoff.complete": _WORK,
    "failure.record": _WORK,
    "estimate.record": _WORK,
    "estimate.close": _WORK,
    "retro.record": _WORK,
    "memory.store": _WORK,
    "memory.use": _WORK,
    "memory.archive": _WORK,
    "memory.share": _WORK,
    "spike.initiate": _WORK,
    "spike.conclude": _WORK,
    "decision.record": _WORK,
    "pattern.define": _WORK,
    "pattern.use": _WORK,
    "complexity.snapshot": _WORK,
    "docs.cache": _WORK,
    "action.record": _WORK,
    "session.start": _WORK,
    "session.end": _WORK,
    "persona.define": _PLAN,
    "task.enqueue": _WORK,
    "task.plan": _PLAN,
    "task.cancel": _PLAN,
    "task.reprioritize": _PLAN,
    "task.retry": _PLAN,
    "bookmark.set": _PLAN,
    "bookmark.remove": _PLAN,
    "task.import": _RULE,
    "task.requeue": _RULE,
    "agent.terminate": _RULE,
    "setting.set": _RULE,
    "setting.unset": _RULE,
    "project.fork": _RULE,
    "project.restore": _RULE,
}
"""Every command, and the roles that may send it."""

REACHES_BEYOND = frozenset({"project.fork"})
"""Commands that take from another project what is in it: only for an operator of all projects."""

SERVICE_PREFIX = "service-"
LOCAL_OPERATOR = "operator"
"""The identity of whoever owns the data directory: any actor in any project."""

EVERY = "*"
"""In place of a project or an actor: all of them. It is the wildcard of subjects too."""


def verbs_of(role: Role, *, all_projects: bool) -> list[str]:
    """The commands that an identity of this role may send, in order."""
    return sorted(
        verb for verb, roles in MAY.items() if role in roles and (all_projects or verb not in REACHES_BEYOND)
    )


def table() -> str:
    """Every command and who may send it, as docs/security.md has it."""
    shown: list[Role] = ["worker", "planner", "operator"]
    lines = [f"| command | {' | '.join(shown)} |", f"|---|{'---|' * len(shown)}"]
    for verb, roles in MAY.items():
        lines.append(f"| `{verb}` | {' | '.join('yes' if role in roles else '' for role in shown)} |")
    return "\n".join(lines)
