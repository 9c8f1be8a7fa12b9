"""A project's log as a Parquet file: a column for each field of an event, header and end in its metadata.

Written and read a row group or less at a time. Needs pyarrow; touches the file it is given.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # nor for this part

from services.log.logfile import BadLogFile, Chunk, End, Entry, Header, read_header

READ_ROWS = 4_096

_HEADER, _END = b"coordctl.header", b"coordctl.end"
_SCHEMA = pa.schema(
    [
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("body", pa.string(), nullable=False),
    ]
)


def write_parquet(file: BinaryIO, header: Header, chunks: Iterator[Chunk]) -> End:
    """Each chunk becomes a row group."""
    schema = _SCHEMA.with_metadata({_HEADER: msgspec.json.encode(header)})
    last = b""
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(pa.table(_columns(chunk), schema=schema))
            last = chunk[-1][1]
        end = End(count=header.count, hash=last.hex())
        writer.add_key_value_metadata({_END: msgspec.json.encode(end)})
    return end


def _columns(chunk: Chunk) -> dict[str, list[Any]]:
    return {
        "sequence": [row[2] for row, _ in chunk],
        "position": [row[0] for row, _ in chunk],
        "topic": [row[3] for row, _ in chunk],
        "hash": [digest.hex() for _, digest in chunk],
        "body": [row[4].decode() for row, _ in chunk],
    }


class Parquet:
    """A Parquet file of a log. Raises BadLogFile if it is not one, or not whole."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        try:
            self._file = pq.ParquetFile(file)
            told = self._file.metadata.metadata or {}
            schema = self._file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise self._refused("The end", f"it is no whole Parquet file ({error})") from error
        if _HEADER not in told or not schema.equals(_SCHEMA):
            raise self._refused("The metadata", "it is not that of an exported log")
        self.header = read_header(told[_HEADER], lambda why: self._refused("The header", why))
        try:
            self.end = msgspec.json.decode(told.get(_END, b""), type=End)
        except msgspec.DecodeError as error:
            raise self._refused("The metadata", "the count and the hash of the log are missing") from error
        rows = self._file.metadata.num_rows
        if not rows == self.header.count == self.end.count:
            why = f"it has {rows} rows, and should have {self.header.count} or {self.end.count}"
            raise self._refused("The metadata", why)

    def entries(self) -> Iterator[Entry]:
        number = 0
        for columns in self._batches():
            for sequence, position, topic, digest, body in zip(*columns, strict=True):
                number += 1
                row = (position, self.header.project, sequence, topic, body.encode())
                yield Entry(f"Row {number}", row, digest)

    def _batches(self) -> Iterator[list[list[Any]]]:
        """The columns in the order of the schema, so many rows at a time."""
        rows = 0
        try:
            for group in range(self._file.num_row_groups):  # given several, it would keep them all
                for batch in self._file.iter_batches(READ_ROWS, [group], _SCHEMA.names):
                    batch.validate(full=True)
                    yield [column.to_pylist() for column in batch.columns]
                    rows += batch.num_rows
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._refused(f"What follows row {rows}", f"it cannot be read ({error})") from error

    def _refused(self, place: str, why: str) -> BadLogFile:
        return BadLogFile(place=place, file=self.name, why=why)
