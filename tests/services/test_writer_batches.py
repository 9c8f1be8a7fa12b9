"""How much the writer commits at once: bounded in events and bytes, and no command's events are divided."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from services.log.event_log import EventLog
from services.writer import batch
from services.writer.estates import WholeLog
from tests.services.running import names
from tests.services.test_writer_turns import Desk


class Watched(WholeLog):
    """A log that tells what was appended together, and waits until all that was asked has arrived."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log)
        self.appended: list[Sequence[StoredEvent]] = []

    def append(self, events: Sequence[StoredEvent]) -> list[int]:
        self.appended.append(tuple(events))
        return super().append(events)


def plan(size: int, text: str = "") -> dict[str, Any]:
    return {"tasks": [{"local": f"n{n}", "title": f"Task {n}", "input": {"text": text}} for n in range(size)]}


def commits(log: EventLog, plans: Sequence[dict[str, Any]], waiting: int = 0) -> list[list[StoredEvent]]:
    """What was appended together when these plans arrived at once, after so many claims that wait."""
    estate = Watched(log)

    async def run() -> None:
        desk, stop = Desk(log, estate), asyncio.Event()
        await desk.writer.open()
        running = asyncio.create_task(desk.writer.run(stop))
        try:
            claims = []
            for number in range(waiting):
                await desk.ask("op", "agent.spawn", agent=f"a{number}", persona="plot")
                claims.append(desk.send(f"a{number}", "task.claim", wait_s=30))
                await desk.ask(f"a{number}", "agent.heartbeat")
            estate.appended.clear()
            await asyncio.gather(*(desk.send("op", "task.plan", **fields) for fields in plans))
            await asyncio.gather(*claims)
        finally:
            stop.set()
            await running

    asyncio.run(run())
    return [list(events) for events in estate.appended]


def test_many_events_are_committed_a_batch_at_a_time(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_BATCH_EVENTS", 30)
    sizes = [len(events) for events in commits(log, [plan(20)] * 5)]
    assert sum(sizes) == 100
    assert sizes == [40, 40, 20]
    assert names(log).count("task.enqueued") == 100


def test_large_events_are_committed_a_few_at_a_time(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_BATCH_BYTES", 10_000)
    sizes = [len(events) for events in commits(log, [plan(2, "x" * 4_000)] * 4)]
    assert sizes == [4, 4]


def test_claims_that_wait_all_get_work_though_a_batch_is_full(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MAX_BATCH_EVENTS", 5)
    sizes = [len(events) for events in commits(log, [plan(8)], waiting=8)]
    assert sizes == [8, 5, 3]
