"""The messages of the stream beside the events of the log, both gone through in their order.

Reads the log, a batch at a time; is given the messages.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from services.log.codec import Row
from services.log.event_log import EventLog
from services.relay.stream import POSITION, headers_of, subject_for

READ_EVENTS = 4_096


class Message(Struct, frozen=True):
    """A message with its place in the stream."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    body: bytes


class _Gap(Struct):
    """Events of the log that the stream lacks, one after the other."""

    events: int = 0
    first: Row | None = None


class Comparison:
    """Finds the first difference, and answers with a sentence; empty if there is none.

    A stream that is `limited` discards from its beginning; with `gaps_allowed` also from its middle. So
    events may be lacking there, where it lacks as many of its own sequences.
    """

    def __init__(self, log: EventLog, *, limited: bool, gaps_allowed: bool) -> None:
        self.position = 0
        self.sequence = 0
        self.events = 0
        self.discarded = 0
        self.foreign = 0
        self._log = log
        self._limited = limited
        self._gaps_allowed = gaps_allowed
        self._before = 0  # the position of the log's event that comes before the next
        self._rows: list[Row] = []  # what was read ahead, the next one last
        self._removed = 0

    def take(self, messages: Sequence[Message]) -> str:
        """Compare the messages that come next."""
        for message in messages:
            if why := self._take(message):
                return why
        return ""

    def end(self, head: int, last_sequence: int) -> str:
        """Compare the ends: no message follows, and the log had come to `head`."""
        if self.position >= head:
            return ""
        if self.sequence == 0:  # the stream has kept nothing
            self._removed = last_sequence
            gap = self._skip_to(head + 1)
            self.discarded = gap.events
            if self._limited and gap.events <= self._removed:
                return ""
        return f"The stream ends with position {self.position}, and the log with {head}"

    def _take(self, message: Message) -> str:
        self._removed += message.sequence - self.sequence - 1
        self.sequence = message.sequence
        text = message.headers.get(POSITION, "")
        if not text.isdecimal():
            self.foreign += 1
            return ""
        position = int(text)
        gap = self._skip_to(position)
        if why := self._excuse(gap):
            return why
        row = self._rows.pop() if self._rows else None
        if row is None or row[0] != position:
            there = f"has position {row[0]} there" if row else "has no event there"
            return f"Message {message.sequence} of the stream is position {position}, and the log {there}"
        why = _difference(message, row, self._before)
        self.events += 1
        self.position = self._before = position
        self._removed = 0
        return why

    def _skip_to(self, position: int) -> _Gap:
        """Leave out the log's events before this position."""
        gap = _Gap()
        while self._read_ahead() and self._rows[-1][0] < position:
            row = self._rows.pop()
            gap.events += 1
            gap.first = gap.first or row
            self._before = row[0]
        return gap

    def _read_ahead(self) -> bool:
        """Is there a next event? What has been appended meanwhile counts."""
        if not self._rows:
            self._rows = self._log.read(self._before, READ_EVENTS)[::-1]
        return bool(self._rows)

    def _excuse(self, gap: _Gap) -> str:
        if gap.first is None:
            return ""
        allowed = self._gaps_allowed or (self._limited and self.position == 0)
        if allowed and gap.events <= self._removed:
            self.discarded += gap.events
            return ""
        position, project, sequence, topic, _ = gap.first
        return f"The stream lacks position {position}, #{sequence} of {project}, {topic}"


def _difference(message: Message, row: Row, before: int) -> str:
    """What of a message is not as the relay would publish this event."""
    expected = {"subject": subject_for(row), "body": row[4], **headers_of(row, before)}
    found = {"subject": message.subject, "body": message.body, **message.headers}
    for name, value in expected.items():
        if found.get(name) != value:
            where = f"Message {message.sequence} of the stream, position {row[0]}, #{row[2]} of {row[1]}"
            return f"{where}, has another {name} than the event in the log"
    return ""
