"""Pages of events over a real Postgres: all that was published of a project, in order, whole and bounded."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.errors import BadInput
from services.log.event_log import EventLog
from services.log.event_pages import MAX_PAGE_BYTES
from services.reading.reads import Reads, parse
from tests.services.running import CODEC
from tests.services.sample import Stored, append
from tests.services.stage import Stage


@pytest.fixture
def reads(database_url: str) -> Iterator[Reads]:
    with Reads(database_url) as reads:
        yield reads


def pages(reads: Reads, project: str, **params: Any) -> list[list[dict[str, Any]]]:
    """All pages, as one who listens reads them."""
    found: list[list[dict[str, Any]]] = []
    after = params.pop("after", 0)
    while page := reads.read(project, "events", {**params, "after": after}):
        found.append(page)
        after = page[-1]["sequence"]
    return found


def test_pages_hold_all_that_was_published_through_forks_and_restores(
    reads: Reads, log: EventLog, database_url: str
) -> None:
    stage = Stage(log, database_url)
    first = stage.work()
    stage.work()
    stage.fork("main", first, "twig")
    stage.restore("twig", first)
    stage.project()
    for project in ("main", "twig"):
        told = [event for page in pages(reads, project, limit=5) for event in page]
        rows = log.read_project(project, 0)
        assert [(e["position"], e["sequence"], f"{e['event']}@{e['version']}") for e in told] == [
            (row[0], row[2], row[3]) for row in rows
        ]
        assert [e["command_id"] for e in told] == [CODEC.decode(row).command_id for row in rows]
    middle = log.at_sequence("twig", first + 1)
    (event, *_) = reads.read("twig", "events", {"after_position": middle})
    assert event["sequence"] == first + 2


def test_a_page_is_bounded_in_bytes_but_never_empty_for_it(reads: Reads, log: EventLog) -> None:
    large = "x" * (MAX_PAGE_BYTES + 1)
    append(log, "main", [Stored(item=str(n), shelf="s", label=large if n == 2 else None) for n in range(4)])
    found = [[event["sequence"] for event in page] for page in pages(reads, "main")]
    assert found == [[1, 2], [3], [4]]


def test_what_a_page_cannot_be_is_refused() -> None:
    for params in ({"limit": 1_001}, {"offset": 1}, {"after": -1}, {"after": 2**63}):
        with pytest.raises(BadInput):
            parse("events", params)


def test_a_project_without_events_has_an_empty_page(reads: Reads, log: EventLog) -> None:
    assert reads.read("nobody", "events") == []
