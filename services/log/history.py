"""The events of one project as time travel asks for them: by sequence, by thing, by agent, by command.

Which events tell of a thing is read from the activity and the handoffs as they were at a position; the events
themselves come from the log. It reads, and changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from domain.errors import NotFound
from domain.lineage import Segments, includes
from domain.messages import Recorded
from projections.handoffs import HANDOFFS
from projections.views import MAX_ROWS
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.reading.reads import Item
from services.reading.travel import Travel

MAX_COMMAND_EVENTS = 4_096
"""How far the events of one command are looked for on either side of one of them."""

LOOK_BACK_EVENTS = 20_000
"""How far back the command is looked for that an event names as its cause."""

_FIRST_LOOK_EVENTS = 16
_LOOK_EVENTS = 1_000


class History:
    """What a project's events tell up to a position; the `Past` that causes are looked for in."""

    def __init__(self, log: EventLog, codec: Codec, travel: Travel, project: str, position: int) -> None:
        self.project = project
        self.last = log.sequence_at(project, position)
        self._log = log
        self._codec = codec
        self._travel = travel
        self._position = position
        self._lineage = log.lineage(project)
        self._about: dict[str, list[Recorded]] = {}

    def read(self, sequences: Sequence[int]) -> list[Recorded]:
        """The events of these sequences, in order; those that do not exist are left out."""
        return [self._codec.decode(row) for row in self._log.read_at(self.project, sequences)]

    def event(self, sequence: int) -> Recorded:
        """The event of this sequence. Raises NotFound."""
        found = self.read([sequence]) if sequence <= self.last else []
        if not found:
            raise NotFound(kind="event", id=f"#{sequence}")
        return found[0]

    def sequences(self, **params: Any) -> list[int]:
        """Those of the events that the activity finds with these parameters, in order; the latest if many."""
        rows = self._view("activity", {"limit": MAX_ROWS, **params})
        return sorted(row["sequence"] for row in rows)

    def of(self, *things: str) -> list[Recorded]:
        """The events about things, oldest first; a task's with those of its handoffs."""
        if not things:
            return []
        return self.read(self.sequences(entity=(*things, *self._handoffs_of(things))))

    def of_agent(self, agent: str) -> list[Recorded]:
        """What an agent did and what befell it, oldest first."""
        return self.read(self.sequences(agent=agent))

    def about(self, entity: str, before: Recorded) -> list[Recorded]:
        """The events about a thing before an event, oldest first; a task's with those of its handoffs.

        Without what a restore had taken back by then.
        """
        if entity not in self._about:
            self._about[entity] = self.of(entity)
        counting = self._lineage.effective(before.sequence - 1)
        return [each for each in self._about[entity] if includes(counting, each.sequence)]

    def beside(self, recorded: Recorded) -> list[Recorded]:
        """The events of the same command, in order, without this one."""
        reach = _FIRST_LOOK_EVENTS
        while True:
            first = max(recorded.sequence - reach, 1)
            around = self.read(range(first, min(recorded.sequence + reach, self.last) + 1))
            same = [each for each in around if _command(each) == _command(recorded)]
            whole = not (same[0] is around[0] and first > 1)
            whole = whole and not (same[-1] is around[-1] and around[-1].sequence < self.last)
            if whole or reach >= MAX_COMMAND_EVENTS:
                return [each for each in same if each.sequence != recorded.sequence]
            reach *= 4

    def last_by(self, actor: str, before: Recorded) -> Recorded | None:
        """What an actor brought about last before an event."""
        params = {"actor": actor, "limit": 1}
        rows = self._travel.view(self.project, "activity", before.position - 1, params)
        return self.event(rows[0]["sequence"]) if rows else None

    def last_of_command(self, command_id: str, before: Recorded) -> Recorded | None:
        """The last event of a command, if it stands not too far before an event."""
        end, floor = before.sequence, max(before.sequence - LOOK_BACK_EVENTS, 1)
        while end > floor:
            first = max(end - _LOOK_EVENTS, floor)
            for each in reversed(self.read(range(first, end))):
                if each.command_id == command_id:
                    return each
            end = first
        return None

    def turned(self, restored: Recorded) -> Iterator[list[Recorded]]:
        """In batches the events that counted before a restore or count after it, but not both."""
        before = self._lineage.effective(restored.sequence - 1)
        after = self._lineage.effective(restored.sequence)
        for segments in (before, after):
            done = _parting(before, after) - 1
            while rows := self._log.read_segments(self.project, segments, done, _LOOK_EVENTS):
                yield [self._codec.decode(row) for row in rows]
                done = rows[-1][2]

    def plan(self, plan: str) -> list[str]:
        """The tasks of a plan, in its order."""
        rows = self._view("queue", {"plan": plan, "limit": MAX_ROWS})
        return [row["task"] for row in sorted(rows, key=lambda row: row["brief"])]

    def _handoffs_of(self, things: Sequence[str]) -> Iterable[str]:
        """One task's are looked up; those of many are picked from among all."""
        if len(things) == 1:
            rows = self._view("handoffs", {"task": things[0], "limit": MAX_ROWS})
            return [row["handoff"] for row in rows]
        tasks = {*things}
        held = self._travel.rows(HANDOFFS, self.project, self._position).values()
        return [row.handoff for row in held if row.task in tasks]

    def _view(self, view: str, params: Mapping[str, Any]) -> list[Item]:
        return self._travel.view(self.project, view, self._position, params)


def _parting(one: Segments, other: Segments) -> int:
    """The first sequence that only one of two histories has."""
    for ours, theirs in zip(one, other, strict=False):
        if ours.first != theirs.first:
            return min(ours.first, theirs.first)
        if ours != theirs:
            return min(ours.last, theirs.last) + 1
    return min(one[-1].last, other[-1].last) + 1


def _command(recorded: Recorded) -> tuple[str, str]:
    return recorded.actor, recorded.command_id
