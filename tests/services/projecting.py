"""Projectors for tests: one that has caught up, one at work, and what can be seen of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event as Flag
from threading import Thread
from typing import Any

from hypothesis import HealthCheck, settings

from projections.framework import Projection
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import connected
from services.projector.tracking import (
    NoReadModels,
    Tracked,
    tracked,
)
from tests.services.sample import (
    ALL,
    CODEC,
    append,
    stores,
)

WAIT_S = 30

thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def project(
    log: EventLog, url: str, projections: Sequence[Projection[Any]] = ALL, batch_events: int = 100
) -> Projector:
    """Bring the read models up to date."""
    projector = Projector(log, CODEC, url, projections, batch_events=batch_events)
    projector.catch_up()
    return projector


@contextmanager
def running(
    log: EventLog, url: str, projections: Sequence[Projection[Any]] = ALL, batch_events: int = 20
) -> Iterator[Projector]:
    """A projector at work in a thread; what it raised is raised here."""
    projector, stop, failures = Projector(log, CODEC, url, projections, batch_events=batch_events), Flag(), []

    def run() -> None:
        try:
            projector.run(stop)
        except Exception as error:  # noqa: BLE001  # raised below, in the thread of the test
            failures.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield projector
    finally:
        stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


@contextmanager
def writing(log: EventLog) -> Iterator[None]:
    """Events are appended all the time, by a thread."""
    done = Flag()

    def write() -> None:
        for n in range(10_000):
            if done.is_set():
                return
            append(log, "p", stores(5, first=n % 100))

    thread = Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(WAIT_S)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def standing(url: str) -> dict[str, Tracked]:
    with connected(url) as connection:
        return tracked(connection)


def positions(url: str) -> set[int]:
    try:
        return {each.position for each in standing(url).values()}
    except NoReadModels:  # no projector has come so far
        return set()


def select(url: str, statement: Any) -> list[Any]:
    with connected(url) as connection:
        return connection.execute(statement).fetchall()
