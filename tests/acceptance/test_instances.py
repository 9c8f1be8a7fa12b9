"""Several instances of the services in one `coordctl up`: each has its name, and all of them end."""

import os
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # psutil ships no types

from tests.acceptance.system import System, eventually

INSTANCES = {"writer", "writer-2", "relay", "relay-2", "projector", "projector-2", "gateway", "recall"}


def test_every_instance_is_known_by_its_name_and_none_outlives_the_system(data: Path) -> None:
    system = System(data)
    counts = ("--writers", "2", "--relays", "2", "--projectors", "2")
    try:
        system.run("up", "--detach", *counts)
        assert set(system.state["services"]) == INSTANCES | {"postgres", "nats"}
        second = system.pid("writer-2")
        assert second is not None
        os.kill(second, signal.SIGKILL)
        eventually(lambda: system.pid("writer-2") not in (None, second), "another second writer")

        system.run("task", "add", "Outline act two")
        system.run("down")
        said = system.log
        assert not system.processes()
        assert "the relay goes on from there" not in said

        system.run("up", "--detach", *counts)
        os.kill(system.state["pid"], signal.SIGKILL)
        left = [pid for name, pid in system.state["services"].items() if name in INSTANCES]
        eventually(lambda: not any(map(psutil.pid_exists, left)), "no instance outlives its supervisor")
    finally:
        system.run("down")
        assert not system.processes()
