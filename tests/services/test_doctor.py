"""The doctor on systems that are ill: each illness is found and comes with what to do about it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nats.js.api import StreamConfig

from domain.bookmarks import BookmarkPlaced
from domain.messages import Context
from projections.catalog import PROJECTIONS
from services.bus.connection import connect
from services.config import STATE_FILE, Config
from services.embedded import EmbeddedNats
from services.embedded.nats import free_addresses
from services.health.doctor import Check, examine
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.projector.tracking import set_up
from services.relay.relay import STREAM
from tests.services.running import CODEC


def found(config: Config) -> dict[str, Check]:
    return {check.name: check for check in asyncio.run(examine(config))}


def test_nothing_running_is_said_and_what_to_run(data: Path) -> None:
    check = found(Config(data=data))["running"]
    assert check.verdict == "failed"
    assert "coordctl up" in check.remedy


def test_logins_that_others_may_read_are_found(data: Path) -> None:
    state = data / STATE_FILE
    state.write_text("{}")
    state.chmod(0o644)
    url = f"nats://{free_addresses()[0]}"
    check = found(Config(data=data, database_url="postgresql:///none", nats_url=url))["data directory"]
    assert check.verdict == "failed"
    assert "chmod 600" in check.remedy


def test_servers_that_do_not_answer_are_named_and_everything_else_is_examined_all_the_same(
    data: Path,
) -> None:
    nobody = free_addresses()[0]
    checks = found(
        Config(data=data, database_url=f"postgresql://nobody@{nobody}/none", nats_url=f"nats://{nobody}")
    )
    for name in ("postgres", "nats", "writer", "relay", "projector", "services"):
        assert checks[name].verdict == "failed", name
        assert checks[name].remedy, name
    assert checks["python"].verdict == "ok"


def test_a_stream_that_takes_other_subjects_is_found(
    data: Path, database_url: str, fresh_nats: EmbeddedNats
) -> None:
    async def spoil() -> None:
        client = await connect(fresh_nats.url, "test")
        await client.jetstream().add_stream(StreamConfig(name=STREAM, subjects=["elsewhere.>"]))
        await client.close()

    asyncio.run(spoil())
    place = data / "none"
    check = found(Config(data=place, database_url=database_url, nats_url=fresh_nats.url))["stream"]
    assert check.verdict == "failed"
    assert "elsewhere" in check.found


def test_a_log_that_was_restored_is_so_many_events_behind_and_not_as_late_as_it_is_old(
    data: Path, database_url: str, nats_url: str, log: EventLog
) -> None:
    written = datetime.now(UTC) - timedelta(days=400)
    context = Context(project="old", actor="operator", at=written, command_id="c1")
    events = [BookmarkPlaced(bookmark=f"b{number}", sequence=1) for number in range(1, 4)]
    log.append([CODEC.encode(event, context, number) for number, event in enumerate(events, 1)])
    with connected(database_url) as connection:
        set_up(connection, PROJECTIONS)
    lag = found(Config(data=data, database_url=database_url, nats_url=nats_url))["lag"]
    assert lag.verdict == "warning"
    assert lag.found.endswith("projector 3 events behind")
