"""The outbox: commands that wait in a file for the bus to come back, and conflicts that wait to be seen.

The file is lines of JSON that are only added, each safe on disk before the call returns: what was asked, what
became of it, what was acknowledged. A last line that a crash cut off was never promised, and is dropped.
Touches its file and a lock beside it; only their owner may read them.
"""

import os
from collections.abc import Iterable
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from coord.errors import CoordError, NotConfigured, OutboxDamaged, OutboxFull, OutboxLocked
from coord.results import Conflict

MAX_COMMANDS = 10_000
MAX_BYTES = 64 * 1024 * 1024
_PRIVATE = 0o600


class Owner(Struct, frozen=True, tag="owner"):
    """The first line: whose commands these are."""

    project: str
    agent: str


class Waiting(Struct, frozen=True, tag="asked"):
    """A command that waits."""

    command_id: str
    verb: str
    fields: dict[str, Any]
    asked_at: datetime
    traceparent: str | None = None


class Sent(Struct, frozen=True, tag="sent"):
    """A command that was carried out."""

    command_id: str


class Refused(Struct, frozen=True, tag="conflict"):
    """A command that did not fit any more."""

    conflict: Conflict


class Seen(Struct, frozen=True, tag="acknowledged"):
    """A conflict that somebody has taken note of."""

    command_id: str


Line = Owner | Waiting | Sent | Refused | Seen
_decode = msgspec.json.Decoder(Line).decode
_encode = msgspec.json.Encoder().encode


class Outbox:
    """Commands in the order they were asked. Of one process: a second one is refused."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = path
        self._owner = owner
        self._waiting: dict[str, Waiting] = {}
        self._conflicts: dict[str, Conflict] = {}
        self._lock = _locked(path)
        try:
            self._read()
            self._file = self._rewrite()
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        self._file.close()
        self._lock.close()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._waiting

    @property
    def first(self) -> Waiting | None:
        """The command to send next."""
        return next(iter(self._waiting.values()), None)

    @property
    def conflicts(self) -> list[Conflict]:
        """Those that nobody has acknowledged, oldest first."""
        return [*self._conflicts.values()]

    def add(self, waiting: Waiting) -> None:
        """Keep a command; when this returns, it is on disk. Raises OutboxFull."""
        line = _encode(waiting)
        if len(self._waiting) >= MAX_COMMANDS or self._file.tell() + len(line) > MAX_BYTES:
            raise OutboxFull(
                f"The outbox {self._path} holds {len(self)} commands, and no more fit; wait for the bus."
            )
        self._append(line)
        self._waiting[waiting.command_id] = waiting

    def sent(self, command_id: str) -> None:
        """The command was carried out."""
        self._append(_encode(Sent(command_id)))
        self._waiting.pop(command_id, None)
        self._tidy()

    def refused(self, waiting: Waiting, error: CoordError) -> Conflict:
        """The command does not fit any more: it leaves the queue, and stays as a conflict."""
        conflict = Conflict(
            command_id=waiting.command_id,
            verb=waiting.verb,
            asked_at=waiting.asked_at,
            assumed=waiting.fields,
            code=error.code,
            message=str(error),
            now=error.facts,
        )
        self._append(_encode(Refused(conflict)))
        self._waiting.pop(waiting.command_id, None)
        self._conflicts[conflict.command_id] = conflict
        return conflict

    def acknowledge(self, command_id: str) -> None:
        """Somebody knows of the conflict; it is told of no more."""
        if command_id in self._conflicts:
            self._append(_encode(Seen(command_id)))
            del self._conflicts[command_id]
            self._tidy()

    def _append(self, line: bytes) -> None:
        before = self._file.tell()
        try:
            _write(self._file, line + b"\n")
        except OSError:
            os.ftruncate(self._file.fileno(), before)  # half a line would spoil the next
            self._file.seek(before)
            raise

    def _tidy(self) -> None:
        """Begin the file anew when nothing in it is still needed."""
        if not self._waiting and not self._conflicts:
            self._file.close()
            self._file = self._rewrite()

    def _read(self) -> None:
        content = self._path.read_bytes() if self._path.exists() else b""
        *lines, _cut_off = content.split(b"\n")
        for number, text in enumerate(lines, 1):
            try:
                self._apply(_decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise OutboxDamaged(
                    f"Line {number} of the outbox {self._path} cannot be read ({error}); mend or move it."
                ) from error

    def _apply(self, line: Line) -> None:
        match line:
            case Owner():
                if line != self._owner:
                    raise OutboxLocked(
                        f"The outbox {self._path} is of agent {line.agent} in project {line.project}; "
                        "use a file for each."
                    )
            case Waiting():
                self._waiting[line.command_id] = line
            case Sent():
                self._waiting.pop(line.command_id, None)
            case Refused():
                self._waiting.pop(line.conflict.command_id, None)
                self._conflicts[line.conflict.command_id] = line.conflict
            case Seen():
                self._conflicts.pop(line.command_id, None)

    def _rewrite(self) -> FileIO:
        """Replace the file, in one step, by one that holds only what still counts; open it to be added to."""
        counting: Iterable[Line] = (
            self._owner,
            *self._waiting.values(),
            *(Refused(each) for each in self._conflicts.values()),
        )
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        with _private(fresh, "xb") as file:  # never one that somebody else has laid there
            _write(file, b"".join(_encode(line) + b"\n" for line in counting))
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return _private(self._path, "ab")


def _locked(path: Path) -> FileIO:
    """The lock beside the outbox, held for as long as it is open. Raises OutboxLocked."""
    try:
        import fcntl
    except ImportError as error:
        raise NotConfigured("An outbox needs file locks as Unix has them.") from error
    lock = _private(path.with_name(path.name + ".lock"), "ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise OutboxLocked(f"Another process uses the outbox {path}; give each a file of its own.") from error
    return lock


def _private(path: Path, mode: str) -> FileIO:
    """A file without a buffer in which something could linger; the opener sets the mode of a new one."""
    return FileIO(path, mode, opener=lambda name, flags: os.open(name, flags, _PRIVATE))


def _write(file: FileIO, content: bytes) -> None:
    """All of it, safe on disk. Raises OSError."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())
