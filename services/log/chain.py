"""The hash chain over a project's events: projects with the same chain hash have the same history. Pure.

    h(0) = SHA-256 of "coordctl event chain 1"
    h(n) = SHA-256 of h(n-1), field(sequence), field(topic), field(body), one after the other
    field(x) = the length of x in bytes, as 8 bytes with the highest first, and then x

The sequence is written in decimal digits, the topic in UTF-8, the body as it is stored. The name of the
project and the positions are not part of it, so a project keeps its hash wherever it is imported.
"""

from datetime import datetime
from hashlib import sha256

from domain.errors import CoordError
from services.log.codec import Codec, Row, UnknownEvent, UnreadableEvent

START = sha256(b"coordctl event chain 1").digest()


class BrokenHistory(CoordError):
    """`why` is a sentence without its full stop; `sequence` is that of the event that is wrong or missing."""

    code = "broken_history"
    says = "{why}."


def link(before: bytes, sequence: int, topic: str, body: bytes) -> bytes:
    """The hash of the chain after an event, given that before it."""
    return sha256(before + _field(b"%d" % sequence) + _field(topic.encode()) + _field(body)).digest()


class Chain:
    """The chain of a project's events, made from the first on: refuses what cannot be the next one."""

    def __init__(self, codec: Codec) -> None:
        self.sequence = 0
        self.position = 0
        self.hash = START
        self._at: datetime | None = None
        self._codec = codec

    def take(self, row: Row) -> bytes:
        """The hash of the chain after this event. Raises BrokenHistory."""
        position, _, sequence, topic, body = row
        self._check_place(position, sequence)
        at = self._time_of(row)
        if self._at is not None and at < self._at:
            why = (
                f"#{sequence} happened at {at.isoformat()}, before #{self.sequence} at {self._at.isoformat()}"
            )
            raise BrokenHistory(sequence=sequence, why=why)
        self.hash = link(self.hash, sequence, topic, body)
        self.sequence, self.position, self._at = sequence, position, at
        return self.hash

    def _check_place(self, position: int, sequence: int) -> None:
        expected = self.sequence + 1
        if sequence != expected:
            found = f"after #{self.sequence} comes" if self.sequence else "the first event is"
            problem = "is missing" if sequence > expected else "should follow"
            why = f"#{expected} {problem}: {found} #{sequence}, at position {position}"
            raise BrokenHistory(sequence=expected, why=why)
        if position <= self.position:
            why = f"#{sequence} is at position {position}, and #{self.sequence} before it at {self.position}"
            raise BrokenHistory(sequence=sequence, why=why)

    def _time_of(self, row: Row) -> datetime:
        _, _, sequence, topic, body = row
        try:
            if body[:1] != b"{" or body[-1:] != b"}" or b"\n" in body:
                raise BrokenHistory(sequence=sequence, why=f"the body of #{sequence} is not one line of JSON")
            body.decode()
            at = self._codec.decode(row).at
        except UnknownEvent as error:
            why = f"#{sequence} is {topic}, an event that this coordctl does not know"
            raise BrokenHistory(sequence=sequence, why=why) from error
        except (UnreadableEvent, UnicodeDecodeError, RecursionError) as error:
            told = error.facts["why"] if isinstance(error, UnreadableEvent) else str(error)
            why = f"the body of #{sequence} is not that of {topic}: {told}"
            raise BrokenHistory(sequence=sequence, why=why) from error
        if at.tzinfo is None:
            raise BrokenHistory(sequence=sequence, why=f"the time of #{sequence} has no zone")
        return at


def _field(content: bytes) -> bytes:
    return len(content).to_bytes(8, "big") + content
