"""What the lines of a backup say, kind by kind and in this order; each is a JSON document. Pure.

h   `Header`, one line
f   `Forked`, a line for each project that begins in the middle of another
e   an event in each line, in the order of the log; the body comes last and verbatim
p   `Kept`, a line for each project, by name
z   `End`, one line
"""

from collections.abc import Iterable
from copy import copy
from datetime import datetime

import msgspec
from msgspec import Struct

from domain.errors import CoordError
from services.log.chain import BrokenHistory, Chain
from services.log.codec import Codec, Row

HEADER, FORKS, EVENTS, PROJECTS, END = b"h", b"f", b"e", b"p", b"z"
KINDS = HEADER + FORKS + EVENTS + PROJECTS + END


class Header(Struct, frozen=True, kw_only=True):
    """What the file will hold: the log up to the position `head`, of a database of this schema."""

    head: int
    schema: int
    made_at: datetime
    coordctl: str


class Forked(Struct, frozen=True, kw_only=True):
    """A project whose first events are those of a stream up to a sequence."""

    project: str
    stream: str
    sequence: int


class Kept(Struct, frozen=True, kw_only=True):
    """What a file holds of a project: so many events in its own stream, up to a sequence.

    `hash` is that of the chain of all it has, also of what it shares with others: the one of `coordctl
    verify` and of an export.
    """

    project: str
    events: int
    sequence: int
    hash: str


class End(Struct, frozen=True, kw_only=True):
    events: int
    projects: int


class Event(Struct, forbid_unknown_fields=True):
    position: int
    project: str
    sequence: int
    topic: str
    body: msgspec.Raw


class BrokenLog(CoordError):
    """`why` is a sentence without its full stop."""

    code = "broken_log"
    says = (
        "The log is damaged: {why}. A backup of it would be refused, so none is made; see `coordctl verify`,"
        " and keep the backups that you have."
    )


_encode = msgspec.json.Encoder().encode


def line_of(row: Row) -> bytes:
    position, project, sequence, topic, body = row
    return b'{"position":%d,"project":%b,"sequence":%d,"topic":%b,"body":%b}' % (
        position,
        _encode(project),
        sequence,
        _encode(topic),
        body,
    )


class Chains:
    """The hash chains of all projects, made as their events come by in the order of the log."""

    def __init__(self, codec: Codec) -> None:
        self.position = 0
        self.events = 0
        self._codec = codec
        self._chains: dict[str, Chain] = {}
        self._began: dict[str, int] = {}
        self._branches: dict[tuple[str, int], list[str]] = {}

    def expect(self, fork: Forked) -> None:
        """Let a project's chain go on from that of another, when it has come so far."""
        self._began[fork.project] = fork.sequence
        self._branches.setdefault((fork.stream, fork.sequence), []).append(fork.project)

    def take(self, row: Row) -> None:
        """Take the next event. Raises BrokenLog if it cannot be that."""
        position, project, sequence = row[:3]
        if position <= self.position:
            raise BrokenLog(why=f"position {position} comes after position {self.position}")
        chain = self._chains.get(project)
        if chain is None:
            chain = self._chains[project] = Chain(self._codec)
        try:
            chain.take(row)
        except BrokenHistory as error:
            raise BrokenLog(why=f"in project {project}, {error.facts['why']}") from error
        self.position = position
        self.events += 1
        for fork in self._branches.pop((project, sequence), ()):
            self._chains[fork] = copy(chain)

    def kept(self) -> Iterable[Kept]:
        """What came by of each project, by name."""
        for project, chain in sorted(self._chains.items()):
            yield Kept(
                project=project,
                events=chain.sequence - self._began.get(project, 0),
                sequence=chain.sequence,
                hash=chain.hash.hex(),
            )
