"""The faults: what is killed or held still. Touches processes of the system under trial, by their pids."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # psutil ships no types
from msgspec import Struct

from services.prove.site import Site

PAUSE_S = 4.0
"""How long a paused writer is held still: twice the silence after which another takes its place."""


class Fault(Struct, frozen=True):
    """What is done to whom. `working`: only an instance that works, and does not stand by, is a victim."""

    victims: tuple[str, ...]
    says: str
    pause: bool = False
    working: bool = False


FAULTS: Mapping[str, Fault] = {
    "kill-writer": Fault(("writer",), "a writer that works is killed", working=True),
    "pause-writer": Fault(
        ("writer",), f"a writer that works is stopped for {PAUSE_S:g} s", pause=True, working=True
    ),
    "kill-relay": Fault(("relay",), "the relay that works is killed", working=True),
    "kill-projector": Fault(("projector",), "the projector is killed"),
    "kill-nats": Fault(("nats",), "nats-server is killed"),
    "kill-postgres": Fault(("postgres",), "PostgreSQL's first process is killed"),
    "kill-servers": Fault(("nats", "postgres"), "nats-server and PostgreSQL are killed at once"),
}


class Injected(Struct, frozen=True):
    """What was done: victims by name and pid, and what lets a paused one go on."""

    victims: dict[str, int]
    ending: "asyncio.Task[None] | None" = None


async def inject(site: Site, name: str, choice: float) -> Injected:
    """Do it; `choice` (0 to 1) picks one of the instances that may be meant."""
    fault = FAULTS[name]
    victims = {}
    for service in fault.victims:
        instance, pid = await _victim(site, service, choice, working=fault.working)
        victims[instance] = pid
    for pid in victims.values():
        os.kill(pid, signal.SIGSTOP if fault.pause else signal.SIGKILL)
    ending = asyncio.create_task(_go_on(list(victims.values()))) if fault.pause else None
    return Injected(victims, ending)


async def _victim(site: Site, service: str, choice: float, *, working: bool) -> tuple[str, int]:
    instances = sorted(site.instances(service).items())
    if working:
        at_work = await site.working(service)
        instances = [each for each in instances if each[1] in at_work] or instances
    return instances[int(choice * len(instances))]


async def _go_on(pids: list[int]) -> None:
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                os.kill(pid, signal.SIGCONT)
