"""The system that the fuzzer shoots at: started afresh, and all that may not change while it is shot at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # psutil ships no types
import psycopg
from msgspec import Struct

from services.config import State
from services.errors import Unavailable
from services.roster import SERVICES, service_of
from services.supervisor.control import LOG_FILE
from services.supervisor.temporary import temporary_system

MAX_READ_BYTES = 16 * 1024 * 1024
SERVERS = ("nats", "nats-server")

_EVENTS = "SELECT count(*), coalesce(max(notification_id), 0) FROM coord.events"


class Standing(Struct, frozen=True):
    """What is true of the system at a moment; `rss_bytes` by the name of each process."""

    events: int
    head: int
    pids: dict[str, int]
    rss_bytes: dict[str, int]
    log_bytes: int


class Target:
    """A running system, looked at from outside."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.nats_url = self._state().nats_door
        self.http_url = self._state().http_url or ""

    def standing(self) -> Standing:
        pids = {
            name: pid
            for name, pid in self._state().services.items()
            if service_of(name) in (*SERVICES, *SERVERS)
        }
        events, head = self.events()
        return Standing(
            events=events,
            head=head,
            pids=pids,
            rss_bytes={name: int(psutil.Process(pid).memory_info().rss) for name, pid in pids.items()},
            log_bytes=(self._data / LOG_FILE).stat().st_size,
        )

    def events(self) -> tuple[int, int]:
        """How many events the log holds, and the position of the last."""
        with psycopg.connect(self._state().database_url) as connection:
            events, head = connection.execute(_EVENTS).fetchone() or (0, 0)
            return events, head

    def words_since(self, log_bytes: int) -> str:
        """What the services have said since their log had so many bytes."""
        with (self._data / LOG_FILE).open("rb") as log:
            log.seek(log_bytes)
            return log.read(MAX_READ_BYTES).decode(errors="replace")

    def _state(self) -> State:
        state = State.load(self._data)
        if state is None:
            raise Unavailable(what="The system under fire", why="it is not running any more")
        return state


@contextmanager
def running_target(program: Sequence[str], environ: Mapping[str, str]) -> Iterator[Target]:
    """Start everything in a temporary directory, by `program`, and leave nothing behind."""
    with temporary_system(program, environ) as started:
        yield Target(started.data)
