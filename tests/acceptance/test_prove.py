"""`coordctl prove` as people run it: a small run with every fault, broken off, and the checker's own test."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services.prove.faults import FAULTS
from tests.acceptance.system import System

START_TIMEOUT_S = 90
PROOF_TIMEOUT_S = 200
CHECKS = {
    "log-order", "one-holder", "one-told-holder", "acknowledged", "once", "fences", "stream", "rows",
    "finished", "verify: stream", "verify: read models",
}  # fmt: skip


@pytest.fixture
def system(data: Path) -> System:
    """The command line, with a folder of its own for everything temporary."""
    return System(data, TMPDIR=str(data))


def proof(system: System, *arguments: str) -> Any:
    """What a proof that finds nothing wrong tells; it may take its time on a machine that has none."""
    command = [sys.executable, "-m", "cli.main", "prove", *arguments, "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=system.environ, timeout=PROOF_TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(PROOF_TIMEOUT_S + 30)
def test_nothing_is_lost_whatever_is_killed(system: System) -> None:
    told = proof(system, "claims", "--agents", "8", "--tasks", "400", "--seed", "7")
    assert told["ok"]
    assert told["done"]["completed"] == 400
    assert {each["fault"] for each in told["faults"]} == set(FAULTS)
    assert all(each["answered"].keys() == {"p1", "p2", "p3", "p4"} for each in told["faults"])
    checks = {check["check"]: check for check in told["checks"]}
    assert checks.keys() >= CHECKS
    assert all(check["examined"] > 0 for check in checks.values())
    outcomes = told["done"]["outcomes"]
    assert outcomes["task.complete"]["stale_fence"] > 0
    assert {"task.fail", "task.release", "handoff.accept", "handoff.reject", "task.retry"} <= outcomes.keys()
    assert system.processes() == []
    assert list(system.data.iterdir()) == []


def test_a_run_that_is_broken_off_leaves_nothing_behind(system: System) -> None:
    running = system.start("prove", "claims", "--agents", "4", "--tasks", "100000", "--faults", "none")
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not list(system.data.glob("coordctl-evidence-*/transcript-*")):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=START_TIMEOUT_S)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert system.processes() == []
    assert list(system.data.iterdir()) == []


def test_the_checker_finds_every_violation_that_is_planted(system: System) -> None:
    told = proof(system, "selftest")
    assert told["ok"]
    assert len(told["planted"]) > 20


def test_what_cannot_be_run_is_refused_before_anything_is_started(system: System) -> None:
    system.run("prove", "claims", "--faults", "kill-everyone", code=2)
    system.run("prove", "claims", "--agents", "2", "--projects", "3", code=2)
    used = system.data / "evidence"
    used.mkdir()
    (used / "log.jsonl").touch()
    system.run("prove", "claims", "--keep", str(used), code=1)
    assert list(system.data.iterdir()) == [used]
