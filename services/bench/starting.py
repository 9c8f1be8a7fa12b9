"""How long `coordctl up` takes until it answers, in a directory that is new and in one that is not.

Starts and stops everything in a temporary directory of its own, and leaves nothing behind.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from services.bench.suite import Figure
from services.supervisor.temporary import UP_TIMEOUT_S

STARTS_AGAIN = 3
TARGET_S = 4


def starting(program: Sequence[str], environ: Mapping[str, str]) -> Iterator[Figure]:
    """From the command to its end, with servers and services ready: seconds."""
    data = Path(tempfile.mkdtemp(prefix="coordctl-bench-"))
    data.chmod(0o755)  # as root, the database runs as another account and must get in
    own = {name: value for name, value in environ.items() if not name.startswith("COORD_")}
    command = [*program, "--data", str(data)]
    try:
        yield _figure("up, new directory", _start(command, own))
        again = []
        for _ in range(STARTS_AGAIN):
            _run([*command, "down"], own)
            again.append(_start(command, own))
        yield _figure("up, directory used before: median", median(again))
    finally:
        subprocess.run([*command, "down"], check=False, timeout=UP_TIMEOUT_S, env=own, stdout=sys.stderr)
        shutil.rmtree(data)


def _start(command: Sequence[str], environ: Mapping[str, str]) -> float:
    began = perf_counter()
    _run([*command, "up", "--detach"], environ)
    return perf_counter() - began


def _run(command: Sequence[str], environ: Mapping[str, str]) -> None:
    subprocess.run(command, check=True, timeout=UP_TIMEOUT_S, env=environ, stdout=sys.stderr)


def _figure(name: str, seconds: float) -> Figure:
    return Figure(name=name, value=seconds, unit="s", target=TARGET_S, at_most=True)
