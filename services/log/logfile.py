"""Files that hold a project's log: what stands in them, and how they are written and read as JSON lines.

    the first line   what the file is and whose log it holds: `Header`
    a line an event  {"sequence":…,"position":…,"topic":…,"hash":…,"body":…}; the body comes last and verbatim
    the last line    the count and the hash of the whole chain: `End`

Parquet holds the same (services/log/parquet.py). Touches the files it is given.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec
from msgspec import Struct

from domain.errors import CoordError
from services.log.codec import Row

FORMAT = "coordctl.log"
VERSION = 1
MAX_LINE_BYTES = 8 * 2**20
PARQUET_MAGIC = b"PAR1"

Format = Literal["jsonl", "parquet"]
Chunk = Sequence[tuple[Row, bytes]]
"""Events, each with the hash of the chain after it."""


class BadLogFile(CoordError):
    """`place` names the first line (of Parquet: row) that is wrong."""

    code = "bad_log_file"
    says = "{place} of {file}: {why}. Such a file is not imported; export the log again."


class ParquetMissing(CoordError):
    code = "parquet_missing"
    says = "Parquet files need pyarrow, which is not installed: `pip install 'coordctl[parquet]'`."


class Header(Struct, frozen=True, kw_only=True):
    format: str = FORMAT
    version: int = VERSION
    project: str
    first_sequence: int = 1
    last_sequence: int
    last_position: int
    count: int
    exported_at: datetime
    coordctl: str


class End(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    count: int
    hash: str


class Entry(Struct, frozen=True, gc=False):
    """An event as a file has it; `place` is where, `hash` is the chain's after it, as hexadecimal digits."""

    place: str
    row: Row
    hash: str


class LogFile(Protocol):
    """A file that was opened, and is whole as far as its beginning and its end can tell."""

    name: str
    header: Header
    end: End

    def entries(self) -> Iterator[Entry]:
        """Its events from the first, every time anew. Raises BadLogFile."""


class Writer(Protocol):
    def __call__(self, file: BinaryIO, header: Header, chunks: Iterator[Chunk]) -> End:
        """Write a file from its first byte to its last."""


class _Line(Struct, forbid_unknown_fields=True):
    sequence: int
    position: int
    topic: str
    hash: str
    body: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(_Line)
_end = msgspec.json.Decoder(End)


def writer_of(kind: Format) -> Writer:
    """Raises ParquetMissing."""
    if kind == "jsonl":
        return write_lines
    _need_pyarrow()
    from services.log.parquet import write_parquet

    return write_parquet


@contextmanager
def opened(path: Path) -> Iterator[LogFile]:
    """A file of either format, told by its first bytes. Raises BadLogFile, ParquetMissing or OSError."""
    with path.open("rb") as file:
        if file.read(len(PARQUET_MAGIC)) != PARQUET_MAGIC:
            yield JsonLines(file, path.name)
            return
        _need_pyarrow()
        from services.log.parquet import Parquet

        yield Parquet(file, path.name)


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` in one step and only when all went well.

    `mode` is what it may be made with; the umask takes away from it.
    """
    path = path.resolve()  # a link goes on pointing where it does
    temporary = path.with_name(f".{path.name[:200]}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_header(content: bytes, refuse: Callable[[str], BadLogFile]) -> Header:
    """Raises what `refuse` makes of a reason."""
    try:
        header = msgspec.json.decode(content, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(f"it is not that of an exported log ({error})") from error
    if (header.format, header.version) != (FORMAT, VERSION):
        raise refuse(f"it is of the format {header.format} {header.version}, and not {FORMAT} {VERSION}")
    if not 1 == header.first_sequence <= header.last_sequence == header.count:
        raise refuse("its figures do not fit each other")
    return header


def write_lines(file: BinaryIO, header: Header, chunks: Iterator[Chunk]) -> End:
    file.write(_encode(header) + b"\n")
    last = b""
    for chunk in chunks:
        file.write(b"".join(_as_line(row, digest) for row, digest in chunk))
        last = chunk[-1][1]
    end = End(count=header.count, hash=last.hex())
    file.write(_encode(end) + b"\n")
    return end


def _as_line(row: Row, digest: bytes) -> bytes:
    position, _, sequence, topic, body = row
    return b'{"sequence":%d,"position":%d,"topic":%b,"hash":"%b","body":%b}\n' % (
        sequence, position, _encode(topic), digest.hex().encode(), body,
    )  # fmt: skip


class JsonLines:
    """A file of JSON lines. Raises BadLogFile if its first or its last line is not as it should be."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        file.seek(0)
        first = file.readline(MAX_LINE_BYTES)
        self.header = read_header(first, lambda why: self._refused("Line 1", why))
        self._last_line = self._read_last_line()
        try:
            self.end = _end.decode(self._last_line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = "it does not tell the count and the hash of the whole log, so the file was cut off"
            raise self._refused("The last line", why) from error
        if self.end.count != self.header.count:
            why = f"it counts {self.end.count} events, and the first line {self.header.count}"
            raise self._refused("The last line", why)

    def entries(self) -> Iterator[Entry]:
        self._file.seek(0)
        self._file.readline(MAX_LINE_BYTES)
        first, last = 2, self.header.count + 2
        for number in range(first, last):
            yield self._entry(number)
        if self._read_line(last) != self._last_line or self._file.read(1):
            why = f"it should be the last one, as the first line counts {self.header.count} events"
            raise self._refused(f"Line {last}", why)

    def _entry(self, number: int) -> Entry:
        place = f"Line {number}"
        content = self._read_line(number)
        if content == self._last_line:
            why = f"it is the last one, and the first line counts {self.header.count} events"
            raise self._refused(place, why)
        try:
            line = _line.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._refused(place, f"it is no event ({error})") from error
        row = (line.position, self.header.project, line.sequence, line.topic, bytes(line.body))
        return Entry(place, row, line.hash)

    def _read_line(self, number: int) -> bytes:
        content = self._file.readline(MAX_LINE_BYTES)
        if len(content) == MAX_LINE_BYTES:
            raise self._refused(f"Line {number}", f"it is longer than {MAX_LINE_BYTES} bytes")
        return content.removesuffix(b"\n")

    def _read_last_line(self) -> bytes:
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(size - MAX_LINE_BYTES, 0))
        return self._file.read(MAX_LINE_BYTES).removesuffix(b"\n").rpartition(b"\n")[2]

    def _refused(self, place: str, why: str) -> BadLogFile:
        return BadLogFile(place=place, file=self.name, why=why)


def _need_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise ParquetMissing
