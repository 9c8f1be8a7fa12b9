"""How an event turned out, in one word: what the timeline is filtered and coloured by. Pure.

done     something was brought to a good end
failed   something went wrong, or nobody answered in time
undone   something begun was given back, called off or taken back, and is no failure
other    everything else: beginnings, steps on the way, facts
"""

from collections.abc import Mapping
from typing import Literal

Outcome = Literal["done", "failed", "undone", "other"]

OUTCOMES: Mapping[str, Outcome] = {
    "agent.spawned": "other",
    "agent.went_stale": "failed",
    "agent.recovered": "other",
    "agent.terminated": "undone",
    "task.enqueued": "other",
    "task.imported": "other",
    "task.queued": "other",
    "task.claimed": "other",
    "task.started": "other",
    "task.progressed": "other",
    "task.completed": "done",
    "task.failed": "failed",
    "task.lease_expired": "failed",
    "task.died": "failed",
    "task.released": "undone",
    "task.cancelled": "undone",
    "task.reprioritized": "other",
    "task.revived": "other",
    "handoff.initiated": "other",
    "handoff.accepted": "done",
    "handoff.rejected": "failed",
    "handoff.completed": "done",
    "handoff.expired": "failed",
    "failure.recorded": "failed",
    "estimate.recorded": "other",
    "estimate.closed": "done",
    "retro.recorded": "other",
    "persona.defined": "other",
    "setting.changed": "other",
    "bookmark.placed": "other",
    "bookmark.removed": "undone",
    "memory.stored": "other",
    "memory.superseded": "undone",
    "memory.used": "other",
    "memory.archived": "undone",
    "memory.shared": "other",
    "spike.initiated": "other",
    "spike.concluded": "done",
    "decision.recorded": "other",
    "decision.superseded": "undone",
    "pattern.defined": "other",
    "pattern.used": "other",
    "complexity.measured": "other",
    "docs.cached": "other",
    "action.recorded": "other",
    "session.started": "other",
    "session.ended": "other",
    "project.forked": "other",
    "project.restored": "other",
}
"""By the event's name; every event of the catalogue has one."""
