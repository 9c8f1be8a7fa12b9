"""Deadlines by kind and id: what is due next, with each entry in the heap at most once.

A deadline that moves later (a heartbeat) costs nothing until its old time comes round; only then is it moved
in the heap. So renewing a lease a thousand times leaves one entry. Entries of cleared deadlines are swept out
when they are the most.
"""

import heapq
from datetime import datetime
from typing import Literal

Kind = Literal["lease", "due", "handoff", "agent", "memory"]
Timer = tuple[Kind, str]

SLACK_ENTRIES = 1_000


class Timers:
    def __init__(self) -> None:
        self.due: dict[Timer, datetime] = {}
        self._heap: list[tuple[datetime, Timer]] = []
        self._queued: dict[Timer, datetime] = {}

    def set(self, kind: Kind, name: str, at: datetime) -> None:
        timer = (kind, name)
        self.due[timer] = at
        queued = self._queued.get(timer)
        if queued is None or at < queued:
            self._queued[timer] = at
            heapq.heappush(self._heap, (at, timer))

    def clear(self, kind: Kind, name: str) -> None:
        self.due.pop((kind, name), None)
        if len(self._heap) > 2 * len(self.due) + SLACK_ENTRIES:
            self._queued = dict(self.due)
            self._heap = [(at, timer) for timer, at in self.due.items()]
            heapq.heapify(self._heap)

    def next(self) -> datetime | None:
        """The earliest deadline, or None."""
        while self._heap:
            at, timer = self._heap[0]
            real = self.due.get(timer)
            if self._queued.get(timer) != at:
                heapq.heappop(self._heap)  # an earlier entry of this timer has taken its place
            elif real is None:
                heapq.heappop(self._heap)
                del self._queued[timer]
            elif real > at:
                heapq.heapreplace(self._heap, (real, timer))
                self._queued[timer] = real
            else:
                return at
        return None

    def pop_due(self, now: datetime) -> Timer | None:
        """Remove and return one timer whose time has come, or None."""
        at = self.next()
        if at is None or at > now:
            return None
        _, timer = heapq.heappop(self._heap)
        del self._queued[timer]
        del self.due[timer]
        return timer
