"""`stream`: the stream holds what the log holds, each event once, in order, chained and unchanged.

Reads the stream beside the log, so nothing of either is kept.
"""

from collections.abc import Iterator

from services.prove.checker.findings import Violations
from services.prove.evidence import Logged, Streamed


class StreamOrder:
    """Sees every event of the log in order, and takes from the stream what should be the same."""

    def __init__(self, stream: Iterator[Streamed]) -> None:
        self.violations = Violations("stream")
        self._stream = stream
        self._previous = 0
        self._streamed = 0
        self._next = next(stream, None)

    def see(self, event: Logged) -> None:
        self.violations.examined += 1
        while self._next is not None and self._next.position < event.position:
            self._out_of_place(self._next)
            self._advance()
        if self._next is None or self._next.position > event.position:
            self.violations.add(
                f"The event at position {event.position} ({event.project} #{event.sequence}, {event.topic})"
                " is not in the stream where it should be."
            )
        else:
            self._compare(event, self._next)
            self._advance()
        self._previous = event.position

    def end(self) -> None:
        """The log is over: whatever the stream has beyond is wrong."""
        while self._next is not None:
            self._out_of_place(self._next)
            self._advance()

    def _advance(self) -> None:
        assert self._next is not None
        if self._next.stream_sequence <= self._streamed:
            self.violations.add(
                f"Message {self._next.stream_sequence} of the stream comes after {self._streamed}."
            )
        self._streamed = self._next.stream_sequence
        self._next = next(self._stream, None)

    def _compare(self, event: Logged, message: Streamed) -> None:
        differences = []
        if message.project_sequence != event.sequence:
            differences.append("sequence")
        if message.previous != self._previous:
            differences.append("previous position")
        if message.body != event.body:
            differences.append("body")
        if not message.subject.startswith(f"coord.{event.project}.evt.{event.topic.partition('@')[0]}."):
            differences.append("subject")
        if differences:
            self.violations.add(
                f"Message {message.stream_sequence} of the stream has another {' and '.join(differences)}"
                f" than the event at position {event.position} ({event.project} #{event.sequence}), which"
                f" follows position {self._previous}."
            )

    def _out_of_place(self, message: Streamed) -> None:
        self.violations.add(
            f"Message {message.stream_sequence} of the stream, for position {message.position}"
            f" (#{message.project_sequence}), is there twice, out of order, or not in the log."
        )
