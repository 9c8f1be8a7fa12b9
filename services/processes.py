"""Processes told apart by pid and birth, so that a pid used again is never taken for the process meant.

Asks the operating system about processes and may signal those it is given; starts none.
"""

import signal
from collections.abc import Sequence

import psutil  # type: ignore[import-untyped]  # psutil ships no types

KILL_TIMEOUT_S = 5.0
CREATED_TOLERANCE_S = 2.0  # the birth is computed from the boot time, which moves when the clock is set


def created(pid: int) -> float | None:
    """When the process was born, in seconds since the epoch; None if there is no such process."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, born: float) -> bool:
    """Whether the process of that pid and birth still runs; a zombie does not."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - born) <= CREATED_TOLERANCE_S
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def named(name: str) -> list[psutil.Process]:
    """Every process whose program has this name."""
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == name]


def working_directory(process: psutil.Process) -> str:
    """Where the process stands; empty if it is gone or not ours to ask."""
    try:
        return str(process.cwd())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def arguments(process: psutil.Process) -> list[str]:
    """The command line of the process; empty if it is gone or not ours to ask."""
    try:
        return [str(argument) for argument in process.cmdline()]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def stop(processes: Sequence[psutil.Process], gently: signal.Signals, timeout_s: float) -> None:
    """Ask every process to end, and kill those that have not when the time is over."""
    _send(processes, gently)
    _, stubborn = psutil.wait_procs(processes, timeout=timeout_s)
    _send(stubborn, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=KILL_TIMEOUT_S)


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue  # it ended by itself, which is what was wanted
