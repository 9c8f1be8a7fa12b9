"""Evidence: a folder of JSON Lines that tells what clients asked and were told, and what is there afterwards.

Written while a fleet works and after it, read by the checker. Knows files and nothing of coordctl; both ways
lines stream, so a folder may be far larger than memory.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from msgspec import Struct

BUFFER_BYTES = 64 * 1024
"""What a recorder holds back from the disk at most."""

CHUNK_BYTES = 64 * 1024
"""How much of a file is read at once."""

LOG = "log.jsonl"
STREAM = "stream.jsonl"
ROWS = "rows.jsonl"
PLAN = "plan.json"
FAULTS = "faults.jsonl"


class Ask(Struct, frozen=True, kw_only=True, tag_field="do", tag="ask", gc=False):
    """A client sends a command; `at` is in unix seconds, `attempt` counts from 1 under one id."""

    at: float
    client: str
    id: str
    project: str
    actor: str
    verb: str
    attempt: int
    body: dict[str, Any]


class Told(Struct, frozen=True, kw_only=True, tag_field="do", tag="told", gc=False):
    """The answer to an attempt: the reply's JSON as it came."""

    at: float
    client: str
    id: str
    attempt: int
    reply: dict[str, Any]


class Unanswered(Struct, frozen=True, kw_only=True, tag_field="do", tag="unanswered", gc=False):
    """An attempt that got no answer: whether it was carried out is not known."""

    at: float
    client: str
    id: str
    attempt: int
    why: str


class Logged(Struct, frozen=True, kw_only=True, gc=False):
    """An event as the log holds it; `topic` is its name and version, `body` the stored JSON."""

    position: int
    project: str
    sequence: int
    topic: str
    body: dict[str, Any]


class Streamed(Struct, frozen=True, kw_only=True, gc=False):
    """An event as JetStream holds it; `previous` is the position of the event before it in the log."""

    stream_sequence: int
    subject: str
    position: int
    project_sequence: int
    previous: int
    body: dict[str, Any]


class ViewRow(Struct, frozen=True, kw_only=True, gc=False):
    """A row of a read model."""

    view: str
    row: dict[str, Any]


class Plan(Struct, kw_only=True, omit_defaults=False):
    """What the fleet was to do: task ids by project. `finished` if it says that all of it was done."""

    seed: int
    projects: list[str]
    agents: int
    tasks: dict[str, list[str]]
    finished: bool


Said = Ask | Told | Unanswered
T = TypeVar("T")


class Lines:
    """A file that records are added to, a line each. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=BUFFER_BYTES)
        self._encoder = msgspec.json.Encoder()

    def add(self, record: Struct | dict[str, Any]) -> None:
        self._file.write(self._encoder.encode(record) + b"\n")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Transcript(Lines):
    """What one client asked and was told, in its own order. Use as a context manager."""

    def __init__(self, folder: Path, client: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(folder / f"transcript-{client}.jsonl")
        self._client = client
        self._clock = clock

    def ask(
        self, command_id: str, project: str, actor: str, verb: str, body: dict[str, Any], attempt: int = 1
    ) -> None:
        """To be called before the command is sent."""
        self.add(
            Ask(
                at=self._clock(),
                client=self._client,
                id=command_id,
                project=project,
                actor=actor,
                verb=verb,
                attempt=attempt,
                body=body,
            )
        )

    def told(self, command_id: str, reply: dict[str, Any], attempt: int = 1) -> None:
        """`reply` is the whole answer, refusals included."""
        self.add(Told(at=self._clock(), client=self._client, id=command_id, attempt=attempt, reply=reply))

    def unanswered(self, command_id: str, why: str, attempt: int = 1) -> None:
        self.add(Unanswered(at=self._clock(), client=self._client, id=command_id, attempt=attempt, why=why))


def write_lines(path: Path, records: Iterable[Struct | dict[str, Any]]) -> int:
    """Write a file anew; returns how many lines it has."""
    path.unlink(missing_ok=True)
    count = 0
    with Lines(path) as lines:
        for record in records:
            lines.add(record)
            count += 1
    return count


def read_lines(path: Path, kind: type[T]) -> Iterator[T]:
    """The records of a file, one after another; none if there is no such file.

    Raises msgspec.DecodeError if a line is not such a record.
    """
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield from decoder.decode_lines(whole)
        if rest:
            yield decoder.decode(rest)


class Evidence:
    """A folder of evidence, read lazily."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def transcripts(self) -> list[Path]:
        """The clients' files, in the order of their names."""
        return sorted(self.folder.glob("transcript-*.jsonl"))

    def said(self) -> Iterator[Said]:
        """Everything the clients asked and were told: client by client, each in its own order."""
        for path in self.transcripts():
            yield from read_lines(path, Said)  # type: ignore[arg-type]  # a union is a type to msgspec

    def log(self) -> Iterator[Logged]:
        return read_lines(self.folder / LOG, Logged)

    def stream(self) -> Iterator[Streamed]:
        return read_lines(self.folder / STREAM, Streamed)

    def rows(self) -> Iterator[ViewRow]:
        return read_lines(self.folder / ROWS, ViewRow)

    def faults(self) -> Iterator[dict[str, Any]]:
        return read_lines(self.folder / FAULTS, dict[str, Any])

    def plan(self) -> Plan:
        """Raises FileNotFoundError or msgspec.DecodeError."""
        return msgspec.json.decode((self.folder / PLAN).read_bytes(), type=Plan)

    def write_plan(self, plan: Plan) -> None:
        (self.folder / PLAN).write_bytes(msgspec.json.encode(plan))
