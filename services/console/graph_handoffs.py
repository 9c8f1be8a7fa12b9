"""Who handed what to whom: handoffs added up by sender and receiver, those still open first. Reads only."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from projections.handoffs import HandoffStatus
from services.console.detail_seen import Seen
from services.reading.reads import Item

OPEN_STATUSES: tuple[HandoffStatus, ...] = ("initiated", "accepted")
CLOSED_STATUSES: tuple[HandoffStatus, ...] = ("rejected", "completed", "expired")
MAX_HANDOFFS = 500
MAX_NAMED = 20
"""How many handoffs of a pair are named; all are counted."""


class Flow(Struct, kw_only=True):
    """What one handed to another, the latest first. An offer to a persona has nobody's name yet.

    `open` are those not finished, `done` and `failed` the others: completed, or rejected and expired.
    """

    sender: str
    receiver: str
    to_persona: bool
    open: int = 0
    done: int = 0
    failed: int = 0
    handoffs: list[Item] = []


class Flows(Struct, frozen=True):
    """Open ones first, then by how many there were; `more` if older handoffs were left out."""

    flows: Sequence[Flow]
    more: bool


def flows(seen: Seen) -> Flows:
    """The handoffs of a project, the open ones and the latest of the others."""
    still = seen.view("handoffs", status=OPEN_STATUSES, limit=MAX_HANDOFFS + 1)
    ended = seen.view("handoffs", status=CLOSED_STATUSES, limit=MAX_HANDOFFS + 1)
    more = len(still) > MAX_HANDOFFS or len(ended) > MAX_HANDOFFS
    return Flows(added_up([*still[:MAX_HANDOFFS], *ended[:MAX_HANDOFFS]]), more)


def added_up(handoffs: Iterable[Item]) -> list[Flow]:
    """The handoffs by who gave and who got."""
    found: dict[tuple[str, str, bool], Flow] = {}
    for row in handoffs:
        to_persona = row["to_agent"] is None
        ends = row["from_agent"], row["to_agent"] or row["to_persona"], to_persona
        flow = found.setdefault(ends, Flow(sender=ends[0], receiver=ends[1], to_persona=to_persona))
        flow.open += row["status"] in OPEN_STATUSES
        flow.done += row["status"] == "completed"
        flow.failed += row["status"] in ("rejected", "expired")
        if len(flow.handoffs) < MAX_NAMED:
            flow.handoffs.append({name: row[name] for name in ("handoff", "task", "status", "reason")})
    return sorted(found.values(), key=_rank)


def _rank(flow: Flow) -> tuple[int, int, str, str]:
    return (-flow.open, -(flow.done + flow.failed), flow.sender, flow.receiver)
