"""What a supervisor that was killed left running on its data directory, told by the processes' command lines.

Ends processes; touches nothing else. The next start of the embedded servers clears theirs in the same way.
"""

import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # psutil ships no types

from services import processes

STOP_TIMEOUT_S = 20.0


def service_arguments(data: Path, name: str) -> list[str]:
    """The end of a service's command line, by which it is known again."""
    return ["--data", str(data), "serve", name]


def end_services(data: Path) -> list[int]:
    """End the services that no supervisor looks after any more; returns their pids."""
    found = [process for process in psutil.process_iter() if _is_service(process, data)]
    processes.stop(found, signal.SIGTERM, STOP_TIMEOUT_S)
    return [process.pid for process in found]


def end_servers(data: Path) -> list[int]:
    """End the embedded servers that no supervisor looks after any more; returns their pids."""
    nats = [
        process
        for process in processes.named("nats-server")
        if str(data / "nats" / "server.conf") in processes.arguments(process)
    ]
    postgres = [
        process
        for process in processes.named("postgres")
        if str(data / "postgres") in processes.arguments(process)
    ]
    processes.stop(nats, signal.SIGTERM, STOP_TIMEOUT_S)
    processes.stop(postgres, signal.SIGINT, STOP_TIMEOUT_S)
    return [process.pid for process in (*nats, *postgres)]


def _is_service(process: psutil.Process, data: Path) -> bool:
    arguments = processes.arguments(process)
    return bool(arguments) and arguments[-4:] == service_arguments(data, arguments[-1])
