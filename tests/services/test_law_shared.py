"""The law when projectors share the read models: processes of their own that are killed at any moment.

Groups of projections then stand at different positions, in different processes, while marks are cut.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random

from projections.catalog import PROJECTIONS
from services.audit.verify import verify
from services.log.event_log import EventLog
from services.projector.checkpoints import checkpoints
from services.projector.tables import connected
from services.projector.tracking import tracked
from tests.services.running import CODEC
from tests.services.saga import random_saga
from tests.services.test_law_turns import Trial

PROJECTORS = 2
COMMANDS = 450
PART_EVENTS = 120
CHECKPOINT_EVENTS = 25
POSITIONS = 3
WAIT_S = 30.0
POLL_S = 0.02
PROGRAM = f"""
import sys
from random import randint
from threading import Event
from projections.catalog import PROJECTIONS
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.wiring import codec
url = sys.argv[1]
projector = Projector(
    EventLog(url), codec(), url, PROJECTIONS,
    batch_events=randint(2, 40), checkpoint_events={CHECKPOINT_EVENTS},
)
projector.run(Event())
"""


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(POLL_S)


@contextmanager
def projector_process(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A projector in a process of its own, killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, url])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def positions(url: str) -> list[int]:
    with connected(url) as connection:
        return [each.position for each in tracked(connection).values()]


def test_projectors_that_share_the_read_models_and_are_killed_keep_the_law(
    log: EventLog, database_url: str
) -> None:
    random = Random()
    values, texts = [1, "x", None, {"a": [1]}], ["a", "b", "ü", "long text"]
    trial, saga = Trial(log, database_url, random), random_saga(random, COMMANDS, values, texts)
    with ExitStack() as stack:
        living = [stack.enter_context(projector_process(database_url)) for _ in range(PROJECTORS)]
        while saga.append(log, random.randint(1, PART_EVENTS)):
            reached = random.randint(min(positions(database_url)), log.head())
            eventually(lambda: max(positions(database_url)) >= reached, "some go on")  # noqa: B023  # at once
            if random.random() < 0.5:
                struck = random.randrange(PROJECTORS)
                living[struck].kill()
                living[struck] = stack.enter_context(projector_process(database_url))
        eventually(lambda: set(positions(database_url)) == {log.head()}, "all have come to the end")
    assert verify(log, CODEC, database_url, PROJECTIONS) == []
    with connected(database_url) as connection:
        assert len(checkpoints(connection)) > log.head() / CHECKPOINT_EVENTS / 4
        for position in [random.randint(0, log.head() + 1) for _ in range(POSITIONS)]:
            for project in saga.stories:
                trial.check(connection, project, position)
