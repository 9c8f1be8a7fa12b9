"""The database of a data directory for a piece of work, whether its `up` runs or not.

Without one, the embedded server is started for as long as the work lasts, and no `up` can start meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.config import Config, NotRunning
from services.embedded import EmbeddedPostgres
from services.embedded.owner import make_data_dir
from services.supervisor import control
from services.supervisor.supervisor import up_lock


@contextmanager
def database_of(config: Config, *, create: bool = False) -> Iterator[str]:
    """The URL of the log's database: the operator's own, that of a running `up`, or one started alone.

    A data directory that holds none is an error unless it may be created. Raises NotRunning, DataDirInUse or
    ServerFailed.
    """
    if config.database_url:
        yield config.database_url
    elif state := control.find(config.data):
        yield state.database_url
    elif create or (config.data / "postgres").exists():
        with _started(config.data) as url:
            yield url
    else:
        raise NotRunning(data=str(config.data))


@contextmanager
def _started(data: Path) -> Iterator[str]:
    make_data_dir(data)
    lock = up_lock(data)
    lock.acquire()
    server = EmbeddedPostgres(data)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()
        lock.release()
