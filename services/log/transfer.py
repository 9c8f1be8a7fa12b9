"""Taking a project's log out of one system and into another: the same sequences, the same chain hash.

Reads the log; an import appends to it, in the stream of its own project alone.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from typing import BinaryIO

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from domain.errors import CoordError, Rejection, UnknownProject
from domain.messages import SYSTEM_PROJECT
from services.bus.wire import check_name, holds_nul
from services.errors import BadName
from services.log.chain import BrokenHistory, Chain
from services.log.codec import Codec, Row
from services.log.event_log import EventLog
from services.log.logfile import BadLogFile, Chunk, End, Entry, Header, LogFile, Writer

READ_EVENTS = 4_096
APPEND_EVENTS = 1_000
APPEND_BYTES = 8 * 2**20

Advance = Callable[[int], None]
"""Told how many events were gone through since it was told last."""


class NothingToExport(Rejection):
    code = "nothing_to_export"
    says = "Project {project} has no events up to position {position}; choose a later point."


class ProjectDiffers(Rejection):
    code = "project_differs"
    says = (
        "Project {project} has events of its own: its #{sequence} is another than that of the file. Nothing"
        " was imported; choose another name with --as."
    )


class ImportCutShort(CoordError):
    code = "import_cut_short"
    says = (
        "The import ended after {done} of {count} events; run the same command again, and it goes on from"
        " there. The cause: {why}"
    )
    retryable = True


class Imported(Struct, frozen=True, kw_only=True):
    """What an import came to; `known` events were there before it, `hash` is the file's."""

    project: str
    count: int
    known: int
    new: int
    hash: str


def header_of(log: EventLog, project: str, position: int, now: datetime) -> Header:
    """What an export up to a position will hold. Raises UnknownProject or NothingToExport."""
    last = log.sequence_at(project, position)
    if last == 0:
        if log.project_head(project)[0] == 0:
            raise UnknownProject(project=project)
        raise NothingToExport(project=project, position=position)
    return Header(
        project=project,
        last_sequence=last,
        last_position=log.at_sequence(project, last),
        count=last,
        exported_at=now,
        coordctl=version("coordctl"),
    )


def export_log(
    log: EventLog, codec: Codec, header: Header, write: Writer, file: BinaryIO, advance: Advance
) -> End:
    """Write the log that the header tells of. Raises BrokenHistory if an import would refuse the file."""
    return write(file, header, _chunks(log, codec, header, advance))


def import_log(
    log: EventLog, codec: Codec, file: LogFile, project: str, checked: Advance, appended: Advance
) -> Imported:
    """Make a project of the file, or go on where an earlier import of it was cut short.

    Goes through the file twice: nothing is written before all of it is known to be right. Raises BadName,
    BadLogFile, ProjectDiffers or ImportCutShort.
    """
    _check_project(project)
    for number, _ in enumerate(verified(file, codec), 1):
        if number % READ_EVENTS == 0:
            checked(READ_EVENTS)
    known = _known(log, file, project)
    appended(known)
    _append(log, codec, file, project, known, appended)
    count = file.header.count
    return Imported(project=project, count=count, known=known, new=count - known, hash=file.end.hash)


def verified(file: LogFile, codec: Codec) -> Iterator[Row]:
    """The events of a file, none of which is given before it is checked. Raises BadLogFile."""
    chain = Chain(codec)
    for entry in file.entries():
        _check(entry, chain, file)
        yield entry.row
    header = file.header
    if (chain.sequence, chain.position) != (header.last_sequence, header.last_position):
        why = f"it ends at position {chain.position}, and its beginning says {header.last_position}"
        raise BadLogFile(place="The end", file=file.name, why=why)
    if chain.hash.hex() != file.end.hash:
        raise BadLogFile(place="The end", file=file.name, why="its hash is not that of the events before it")


def rows_of(log: EventLog, project: str, last: int | None = None) -> Iterator[list[Row]]:
    """A project's events up to a sequence, in batches."""
    after = 0
    while last is None or after < last:
        limit = READ_EVENTS if last is None else min(READ_EVENTS, last - after)
        rows = log.read_project(project, after, limit_events=limit)
        if not rows:
            return
        yield rows
        after = rows[-1][2]


def _check_project(name: str) -> None:
    """The system's own project has settings that hold everywhere: they are no file's to bring."""
    check_name("project", name)
    if name == SYSTEM_PROJECT:
        raise BadName(kind="project", name=name)


def _chunks(log: EventLog, codec: Codec, header: Header, advance: Advance) -> Iterator[Chunk]:
    chain = Chain(codec)
    for rows in rows_of(log, header.project, header.last_sequence):
        yield [(row, chain.take(row)) for row in rows]
        advance(len(rows))
    if chain.sequence != header.last_sequence:
        why = f"#{chain.sequence + 1} is missing, and there is a #{header.last_sequence}"
        raise BrokenHistory(sequence=chain.sequence + 1, why=why)


def _check(entry: Entry, chain: Chain, file: LogFile) -> None:
    try:
        digest = chain.take(entry.row)
    except BrokenHistory as error:
        raise BadLogFile(place=entry.place, file=file.name, why=error.facts["why"]) from error
    if holds_nul(entry.row[4]):
        why = f"a text of #{entry.row[2]} holds a NUL character, which the tables cannot"
        raise BadLogFile(place=entry.place, file=file.name, why=why)
    if digest.hex() != entry.hash:
        why = f"the hash is not that of #{entry.row[2]} and all before it, so one of them was changed"
        raise BadLogFile(place=entry.place, file=file.name, why=why)


def _known(log: EventLog, file: LogFile, project: str) -> int:
    """How many of the file's events the project has already. Raises ProjectDiffers."""
    known, entries = 0, file.entries()
    for rows in rows_of(log, project, file.header.count):
        for row in rows:
            if next(entries).row[2:] != row[2:]:
                raise ProjectDiffers(project=project, sequence=row[2])
        known = rows[-1][2]
    return known


def _append(log: EventLog, codec: Codec, file: LogFile, project: str, known: int, advance: Advance) -> None:
    """Append what follows the known events; what is checked on the way was found right before."""
    done = known
    try:
        for batch in _batches(verified(file, codec), project, known):
            log.append(batch)
            done += len(batch)
            advance(len(batch))
    except CoordError as error:
        raise ImportCutShort(done=done, count=file.header.count, why=str(error)) from error


def _batches(rows: Iterator[Row], project: str, known: int) -> Iterator[list[StoredEvent]]:
    batch: list[StoredEvent] = []
    size = 0
    for _, _, sequence, topic, body in rows:
        if sequence <= known:
            continue
        batch.append(StoredEvent(project, sequence, topic, body))
        size += len(body)
        if len(batch) == APPEND_EVENTS or size >= APPEND_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
