"""A system of its own in a temporary directory, for what measures or tries to break one.

Starts `coordctl up` by its command line, as a user would, and leaves nothing behind.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from services.errors import Unavailable

UP_TIMEOUT_S = 120.0


class Temporary(Struct, frozen=True):
    """Where it is, the command that speaks to it, and the environment of that."""

    data: Path
    command: list[str]
    environ: dict[str, str]


@contextmanager
def temporary_system(
    program: Sequence[str], environ: Mapping[str, str], up: Sequence[str] = ()
) -> Iterator[Temporary]:
    """Everything afresh, by `program`; `up` are further options of `coordctl up`. Raises Unavailable."""
    data = Path(tempfile.mkdtemp(prefix="coordctl-temporary-"))
    data.chmod(0o755)  # as root, the database runs as another account and must get in
    own = {name: value for name, value in environ.items() if not name.startswith("COORD_")}
    command = [*program, "--data", str(data)]
    try:
        if code := _ran([*command, "up", "--detach", *up], own):
            raise Unavailable(what="`coordctl up`", why=f"it ended with {code}")
        yield Temporary(data, command, own)
    finally:
        _ran([*command, "down"], own)
        shutil.rmtree(data)


def _ran(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run it to its end, in a session of its own: Ctrl-C ends us in order, and not what we wait for."""
    done = subprocess.run(
        command, check=False, timeout=UP_TIMEOUT_S, env=environ, stdout=sys.stderr, start_new_session=True
    )
    return done.returncode
