"""Reading a backup: every event is checked before it is given, and the end says whether that was all.

Reads the file it is given, once and from its beginning to its end; holds a block of it.
"""

from collections import deque
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, BinaryIO

import msgspec

from services.backup.blocks import BadBackup, Block, read_blocks
from services.backup.contents import (
    END,
    EVENTS,
    FORKS,
    HEADER,
    KINDS,
    PROJECTS,
    BrokenLog,
    Chains,
    End,
    Event,
    Forked,
    Header,
    Kept,
)
from services.backup.writing import Backup, Begun
from services.log.codec import Codec, Row
from services.log.migrations import MIGRATIONS, DataNewer
from services.log.transfer import Advance

_DECODERS: dict[bytes, msgspec.json.Decoder[Any]] = {
    HEADER: msgspec.json.Decoder(Header),
    FORKS: msgspec.json.Decoder(Forked),
    EVENTS: msgspec.json.Decoder(Event),
    PROJECTS: msgspec.json.Decoder(Kept),
    END: msgspec.json.Decoder(End),
}


class BackupReader:
    """A backup that was opened. Raises BadBackup, or DataNewer if a newer coordctl made it."""

    def __init__(self, file: BinaryIO, name: str, codec: Codec) -> None:
        self._name = name
        self._codec = codec
        self._blocks = read_blocks(file, name)
        first = next(self._blocks)
        found = self._lines(first) if first.kind == HEADER else []
        if len(found) != 1:
            raise self._refused(f"{first.place} is not its header")
        self.header: Header = found[0]
        newest = MIGRATIONS[-1].number
        if self.header.schema > newest:
            raise DataNewer(found=self.header.schema, known=newest, by=self.header.coordctl)

    def rows(self, advance: Advance) -> Iterator[Row]:
        """The events in the order of the log; when all were given, `backup` tells what the file held.

        `advance` is told how many positions were gone through. Raises BadBackup.
        """
        chains = Chains(self._codec)
        kept: list[Kept] = []
        for block in self._in_order():
            lines, before = self._lines(block), chains.position
            if block.kind == FORKS:
                for fork in lines:
                    chains.expect(fork)
            elif block.kind == EVENTS:
                yield from self._events(block, lines, chains)
                advance(chains.position - before)
            elif block.kind == PROJECTS:
                kept += lines
            else:
                self._end(chains, kept, lines)

    def _in_order(self) -> Iterator[Block]:
        """The blocks after the header: no kind comes again after a later one."""
        kind = FORKS
        for block in self._blocks:
            if KINDS.find(block.kind) < KINDS.find(kind):
                raise self._refused(f"{block.place} is not where it belongs")
            kind = block.kind
            yield block

    def _lines(self, block: Block) -> list[Any]:
        try:
            return _DECODERS[block.kind].decode_lines(block.lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._refused(f"{block.place} does not say what it should ({error})") from error

    def _events(self, block: Block, lines: list[Event], chains: Chains) -> Iterator[Row]:
        for each in lines:
            row = (each.position, each.project, each.sequence, each.topic, bytes(each.body))
            try:
                chains.take(row)
            except BrokenLog as error:
                raise self._refused(f"{block.place} holds what no log does: {error.facts['why']}") from error
            yield row

    def _end(self, chains: Chains, kept: list[Kept], lines: list[End]) -> None:
        """Compare what the file says that it holds with what came by."""
        found = [*chains.kept()]
        for told, came in zip_longest(kept, found):
            if told != came:
                project = (told or came).project
                raise self._refused(f"what it says of project {project} is not what it holds of it")
        if chains.position != self.header.head:
            raise self._refused(f"it ends at position {chains.position}, and not at {self.header.head}")
        if lines != [End(events=chains.events, projects=len(found))]:
            raise self._refused("its last line counts otherwise than what it holds")
        self.backup = Backup(header=self.header, projects=found, events=chains.events)

    def _refused(self, why: str) -> BadBackup:
        return BadBackup(file=self._name, why=why)


def check_backup(file: BinaryIO, name: str, codec: Codec, begun: Begun) -> Backup:
    """What a backup holds, all of which is as it was written. Raises BadBackup or DataNewer."""
    reader = BackupReader(file, name, codec)
    deque(reader.rows(begun(reader.header)), maxlen=0)
    return reader.backup
