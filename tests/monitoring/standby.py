"""A replica of a PostgreSQL of ours: it begins with a copy of all that has, and follows it from then on."""

import subprocess
from pathlib import Path

import psycopg

from services.embedded import EmbeddedPostgres
from services.embedded.owner import Owner, make_private_dir
from services.embedded.server import as_owner

COPY_TIMEOUT_S = 60


class Standby(EmbeddedPostgres):
    """A server that replays what its primary, which must be running, writes."""

    def __init__(self, data: Path, primary: EmbeddedPostgres) -> None:
        super().__init__(data)
        self._primary = primary

    def stand_still(self) -> None:
        """From now on it receives what is written, and replays none of it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_pause()")

    def _initialise(self, binaries: Path, owner: Owner) -> None:
        make_private_dir(self._cluster, owner)
        subprocess.run(
            [binaries / "pg_basebackup", f"--dbname={self._primary.url}", f"--pgdata={self._cluster}",
             "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            capture_output=True, check=True, timeout=COPY_TIMEOUT_S,
            cwd="/", env={"LC_ALL": "C"}, umask=0o077, **as_owner(owner),
        )  # fmt: skip
