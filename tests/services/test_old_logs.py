"""Logs of older versions: restored, read and projected as ever, also when events have newer versions."""

import io
from typing import Any

import psycopg
import pytest

from domain.catalog import EVENTS, upcast
from domain.tasks.events import TaskEnqueued
from projections.catalog import PROJECTIONS
from services.audit.verify import verify
from services.backup.reading import check_backup
from services.backup.writing import write_backup
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.projector import Projector
from tests.services import old_log
from tests.services.running import CODEC

RENAME = """
UPDATE coord.events
SET state = convert_to(replace(convert_from(state, 'UTF8'), '"title":', '"headline":'), 'UTF8')
WHERE topic = 'task.enqueued@1'
"""


@pytest.mark.parametrize("number", old_log.numbers())
def test_an_old_log_comes_to_what_it_always_came_to(log: EventLog, database_url: str, number: int) -> None:
    """If a read model was changed on purpose, tests/services/old_log.py says how to expect that."""
    backup = old_log.restored(number, database_url)
    assert old_log.found(log, backup) == old_log.expected_of(number)
    Projector(log, CODEC, database_url, PROJECTIONS).catch_up()
    assert verify(log, CODEC, database_url, PROJECTIONS) == []


@pytest.mark.parametrize("number", old_log.numbers())
def test_events_of_an_older_version_are_read_as_those_of_the_present_one(
    log: EventLog, database_url: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a task's title had once been its headline."""

    def present(name: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
        if (name, version) == ("task.enqueued", 1):
            return {"title": data["headline"], **upcast(name, version, data)}
        return upcast(name, version, data)

    old_log.restored(number, database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute(RENAME).rowcount > 0
    monkeypatch.setattr(TaskEnqueued, "version", 2)
    codec = Codec(EVENTS, present)
    again = io.BytesIO()
    backup = write_backup(database_url, codec, again, old_log.MADE_AT, lambda _: lambda _: None)
    again.seek(0)
    assert check_backup(again, "again", codec, lambda _: lambda _: None) == backup
    expected = old_log.expected_of(number)
    found = old_log.found(log, backup, codec)
    assert found.read_models == expected.read_models
    assert found.topics == expected.topics  # what is stored stays as it was
    assert found.chains != expected.chains


def test_every_event_type_of_today_is_in_some_kept_log() -> None:
    """A new event, or a new version of one, asks for another: `python -m tests.services.old_log NUMBER`."""
    kept = {topic for number in old_log.numbers() for topic in old_log.expected_of(number).topics}
    assert {f"{name}@{event.version}" for name, event in EVENTS.items()} <= kept
