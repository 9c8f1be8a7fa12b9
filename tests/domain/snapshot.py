"""What a ledger says, as plain values to compare: all of it, and the part that a fold brings back."""

from typing import Any

import msgspec

from domain.ledger import Ledger

Snapshot = dict[str, Any]


def snapshot(ledger: Ledger) -> Snapshot:
    """Everything a decision could see. Two ledgers with equal snapshots decide the same."""
    return {
        **recorded(ledger),
        "timers": dict(ledger.timers.due),
        "seen": {a.id: (a.last_seen, a.last_active) for a in ledger.agents.values()},
    }


def recorded(ledger: Ledger) -> Snapshot:
    """What stands in the log: all but signs of life and the deadlines that they move."""
    book = ledger.tasks
    return {
        "sequence": ledger.sequence,
        "agents": {
            a.id: (a.persona, a.platform, a.capabilities, a.status, frozenset(a.held))
            for a in ledger.agents.values()
        },
        "terminated": dict(ledger.terminated),
        "personas": dict(ledger.personas),
        "live": {task.id: msgspec.structs.astuple(task) for task in book.live.values()},
        "completed": dict(book.completed),
        "cancelled": dict(book.cancelled),
        "dependents": {name: tuple(ids) for name, ids in book.dependents.items()},
        "queues": {needs: tuple(queue) for needs, queue in book.queues.items()},
        "handoffs": dict(ledger.handoffs),
        "estimates": dict(ledger.estimates),
        "closed_estimates": sorted(map(msgspec.structs.astuple, ledger.closed_estimates), key=repr),
        "spikes": dict(ledger.knowledge.spikes),
        "decisions": set(ledger.knowledge.decisions),
        "patterns": set(ledger.knowledge.patterns),
        "bookmarks": dict(ledger.bookmarks),
        "memories": {name: msgspec.structs.astuple(memory) for name, memory in ledger.memories.items()},
        "sessions": {name: msgspec.structs.astuple(each) for name, each in ledger.sessions.items()},
        "sessions_by_agent": dict(ledger.sessions_by_agent),
        "fence_floor": ledger.fence_floor,
        "settings": dict(ledger.settings),
        "leases": {name for kind, name in ledger.timers.due if kind == "lease"},
        "offers": {name: at for (kind, name), at in ledger.timers.due.items() if kind == "handoff"},
    }
