"""What a backup's file is made of: blocks of lines, compressed, each sealed by a hash of all before it.

    the first line   `coordctl backup 1`
    each block       its kind, a letter; the length of what follows it, 4 bytes with the highest first; lines,
                     compressed by zlib; the SHA-256 of the hash before and of all this block's bytes
    the last block   is of the kind `z`, so that a file that was cut off is told from a whole one

The hash before the first block is that of the first line. A byte that changed is found in its block, before
anything of that block is read. Touches the files it is given.
"""

import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO

from msgspec import Struct

from domain.errors import CoordError

FORMAT = b"coordctl backup "
VERSION = b"1"
LAST = b"z"
BLOCK_BYTES = 2**20
"""A block is closed when its lines have so many bytes; the last of them may be long."""

MAX_BLOCK_BYTES = 64 * 2**20

_FIRST_LINE = FORMAT + VERSION + b"\n"
_MAX_FIRST_LINE_BYTES = 64
_HASH_BYTES = 32
_LEVEL = 3  # twice as fast as the usual 6, for a file that is a tenth larger


class BadBackup(CoordError):
    """`why` is the first thing that is wrong with the file."""

    code = "bad_backup"
    says = "{file} is no whole backup: {why}. Use another one."


class Block(Struct, frozen=True):
    """What a block held; `place` tells people where it is."""

    kind: bytes
    place: str
    lines: bytes


class BlockWriter:
    """Writes a file of blocks, from its first byte on; holds one block."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._file.write(_FIRST_LINE)
        self._seal = sha256(_FIRST_LINE).digest()
        self._kind = b""
        self._lines: list[bytes] = []
        self._size_bytes = 0

    def add(self, kind: bytes, line: bytes) -> None:
        """Add a line, without its end, to a block of this kind."""
        if kind != self._kind or self._size_bytes >= BLOCK_BYTES:
            self._close()
            self._kind = kind
        self._lines.append(line)
        self._size_bytes += len(line) + 1

    def end(self, line: bytes) -> None:
        """Write the last block; nothing may follow it."""
        self.add(LAST, line)
        self._close()

    def _close(self) -> None:
        if not self._lines:
            return
        body = zlib.compress(b"\n".join(self._lines), _LEVEL)
        head = _head(self._kind, len(body))
        self._seal = sha256(self._seal + head + body).digest()
        self._file.write(head + body + self._seal)
        self._lines, self._size_bytes = [], 0


def read_blocks(file: BinaryIO, name: str) -> Iterator[Block]:
    """The blocks of a whole file, each known to be as it was written. Raises BadBackup."""
    seal = sha256(_read_first_line(file, name)).digest()
    number, first_byte = 0, len(_FIRST_LINE)
    kind = b""
    while kind != LAST:
        number += 1
        head = _read(file, len(_head(b"-", 0)), name, number)
        kind, length = head[:1], int.from_bytes(head[1:], "big")
        place = f"block {number}, which begins at byte {first_byte},"
        if length > MAX_BLOCK_BYTES:
            raise BadBackup(file=name, why=f"{place} is not as it was written")
        body = _read(file, length, name, number)
        seal = sha256(seal + head + body).digest()
        if _read(file, _HASH_BYTES, name, number) != seal:
            raise BadBackup(file=name, why=f"{place} is not as it was written")
        yield Block(kind, place, _decompressed(body, name, place))
        first_byte += len(head) + length + _HASH_BYTES
    if file.read(1):
        raise BadBackup(file=name, why=f"something follows its end, which is at byte {first_byte}")


def _head(kind: bytes, length: int) -> bytes:
    return kind + length.to_bytes(4, "big")


def _read_first_line(file: BinaryIO, name: str) -> bytes:
    line = file.readline(_MAX_FIRST_LINE_BYTES)
    if line == _FIRST_LINE:
        return line
    if line.startswith(FORMAT) and line.endswith(b"\n"):
        told = line.removeprefix(FORMAT).strip().decode(errors="replace")
        why = f"it is of the format {told!r}, and this coordctl reads the format {VERSION.decode()!r}"
        raise BadBackup(file=name, why=why)
    raise BadBackup(file=name, why="it does not begin as a backup of coordctl does")


def _read(file: BinaryIO, size: int, name: str, number: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise BadBackup(file=name, why=f"it was cut off: it ends within block {number}")
    return content


def _decompressed(body: bytes, name: str, place: str) -> bytes:
    """The lines, which are bounded whatever the file says."""
    unpacking = zlib.decompressobj()
    try:
        lines = unpacking.decompress(body, MAX_BLOCK_BYTES)
    except zlib.error as error:
        raise BadBackup(file=name, why=f"{place} cannot be unpacked ({error})") from error
    if not unpacking.eof:
        raise BadBackup(file=name, why=f"{place} unpacks to too much, or to too little")
    return lines
