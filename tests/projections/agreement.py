"""Do the rows that people are shown and the ledger that decides say the same?"""

from collections.abc import Mapping
from typing import Any

from domain.agents import REMEMBERED_REASON_CHARS
from domain.bookmarks import Bookmark
from domain.ledger import Ledger
from domain.sessions import Session
from projections.framework import Key


def check_agreement(ledger: Ledger, rows: Mapping[str, Mapping[Key, Any]]) -> None:
    """What people are told is what decisions are made on."""
    queue = {row.task: row for row in rows["queue"].values()}
    for name, task in ledger.tasks.live.items():
        row = queue.pop(name)
        told = (row.status, row.holder, row.fence, row.failures, row.priority, row.handoff, row.brief)
        known = (
            task.status,
            task.holder,
            task.fence,
            task.failures,
            task.priority,
            task.handoff,
            task.sequence,
        )
        assert told == known
    assert {name for name, row in queue.items() if row.status == "completed"} == set(ledger.tasks.completed)
    assert {name for name, row in queue.items() if row.status == "cancelled"} == set(ledger.tasks.cancelled)
    agents = {row.agent: row for row in rows["agents"].values()}
    for name, agent in ledger.agents.items():
        assert (agents[name].status, set(agents[name].tasks)) == (agent.status, agent.held)
        assert len(agents[name].tasks) == len(agent.held)
    ended = {
        name: row.reason[:REMEMBERED_REASON_CHARS]
        for name, row in agents.items()
        if row.status == "terminated"
    }
    assert ended == ledger.terminated
    handoffs = {row.handoff: row.status for row in rows["handoffs"].values() if row.finished_at is None}
    assert handoffs == {name: handoff.status for name, handoff in ledger.handoffs.items()}
    held = {(row.scope, row.user, row.key): row.value for row in rows["settings"].values() if not row.unset}
    assert held == ledger.settings
    marks = {row.bookmark: row for row in rows["bookmarks"].values() if row.status == "placed"}
    assert {name: Bookmark(row.sequence, row.note) for name, row in marks.items()} == ledger.bookmarks
    assert {row.persona for row in rows["personas"].values()} == set(ledger.personas)
    begun = {row.session: row for row in rows["sessions"].values() if row.status == "open"}
    assert {name: Session(row.agent, row.sequence) for name, row in begun.items()} == ledger.sessions
    open_ones = {row.estimate for row in rows["estimates"].values() if row.closed_at is None}
    assert open_ones == set(ledger.estimates)
