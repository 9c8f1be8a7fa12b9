"""Logs that older versions wrote, kept for ever, and what they are to come to: `tests/data/log-<number>.*`.

    python -m tests.services.old_log NUMBER

makes the next one, with every event type as it is now; or, if there is one of this number, writes anew what
is expected of it (for when a read model has changed on purpose; look at the difference).
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalog import EVENTS
from domain.knowledge.patterns import DefinePattern, UsePattern
from domain.learning import CloseEstimate, RecordEstimate
from domain.memory import ArchiveMemories, ShareMemory, StoreMemory, Used, UseMemories
from projections.catalog import PROJECTIONS
from projections.framework import Projection
from services.backup.reading import BackupReader
from services.backup.restoring import restore_backup
from services.backup.writing import Backup, write_backup
from services.embedded import EmbeddedPostgres
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.log.logfile import replacing
from services.reading.replay import replay
from tests.conftest import temporary_data, temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.saga import Saga, random_saga

DATA = Path(__file__).parent.parent / "data"
MADE_AT = datetime(2026, 11, 21, tzinfo=UTC)
SEED, LENGTH = 43, 1_000
VALUES: Sequence[Any] = (None, 1, 2.5, "x", [1], {"a": "ä"})
TEXTS = ("x", "Wörter", "a longer text")


class ReadModel(Struct, frozen=True, kw_only=True):
    """The rows of a projection of this version, and their hash."""

    version: int
    rows: int
    hash: str


class Expected(Struct, frozen=True, kw_only=True):
    """What an old log comes to. `topics` are the event types with their versions that it holds."""

    head: int
    events: int
    chains: dict[str, str]
    topics: list[str]
    read_models: dict[str, ReadModel]


def numbers() -> list[int]:
    return sorted(int(path.stem.removeprefix("log-")) for path in DATA.glob("log-*.backup"))


def backup_of(number: int) -> Path:
    return DATA / f"log-{number}.backup"


def expected_of(number: int) -> Expected:
    return msgspec.json.decode(backup_of(number).with_suffix(".json").read_bytes(), type=Expected)


def restored(number: int, url: str, codec: Codec = CODEC) -> Backup:
    with backup_of(number).open("rb") as file:
        reader = BackupReader(file, file.name, codec)
        return restore_backup(url, reader, lambda _: lambda _: None)


def found(log: EventLog, backup: Backup, codec: Codec = CODEC) -> Expected:
    """What a restored log has come to."""
    replayed = replay(log, codec, PROJECTIONS, None, log.head())
    return Expected(
        head=backup.header.head,
        events=backup.events,
        chains={each.project: each.hash for each in backup.projects},
        topics=sorted({row[3] for row in log.read(0, backup.events)}),
        read_models={each.name: _summed(each, replayed[each.name]) for each in PROJECTIONS},
    )


def _summed(projection: Projection[Any], rows: dict[Any, Any]) -> ReadModel:
    lines = b"\n".join(msgspec.json.encode(rows[key]) for key in sorted(rows))
    return ReadModel(version=projection.version, rows=len(rows), hash=sha256(lines).hexdigest())


def _played() -> Saga:
    """Everything that can happen, in several projects, with forks and restores."""
    saga = random_saga(Random(SEED), LENGTH, VALUES, TEXTS)
    saga.begin("last")
    saga.staff("last")
    (estimate,) = saga.stories["last"].do("a1", RecordEstimate(feature="x", sessions=2, complexity=3))
    saga.do("last", "a1", CloseEstimate(estimate=estimate.entity, sessions=3))
    saga.do("last", "a1", DefinePattern(pattern="short", description="x"))
    saga.do("last", "a1", UsePattern(pattern="short", file="a.py", compliance=80))
    (fact,) = saga.stories["last"].do("a1", StoreMemory(text="x", visibility="private"))
    saga.do("last", "a1", UseMemories(uses=(Used(memory=fact.entity),)))
    saga.do("last", "a1", ShareMemory(memory=fact.entity, to_agent="a2"))
    newer, _ = saga.stories["last"].do("a1", StoreMemory(text="y", supersedes=(fact.entity,)))
    saga.do("last", "a1", ArchiveMemories(memories=(newer.entity,)))
    missing = EVENTS.keys() - {recorded.event.name for recorded in saga.happened}
    assert not missing, f"choose another seed, or play them: {missing}"
    return saga


def _make(number: int, url: str) -> None:
    with opened_log(url) as log, replacing(backup_of(number)) as file:
        _played().append(log)
        write_backup(url, CODEC, file, MADE_AT, lambda _: lambda _: None)


def main(number: int) -> None:
    with ExitStack() as stack:
        server = EmbeddedPostgres(stack.enter_context(temporary_data()))
        server.start()
        stack.callback(server.stop)
        if not backup_of(number).exists():
            _make(number, stack.enter_context(temporary_database(server)))
        url = stack.enter_context(temporary_database(server))
        backup = restored(number, url)
        with opened_log(url) as log:
            content = msgspec.json.format(msgspec.json.encode(found(log, backup)))
    backup_of(number).with_suffix(".json").write_bytes(content + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
