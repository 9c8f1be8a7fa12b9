"""What `coordctl status` tells: the processes, where everything stands, and how much there is of what."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from services import processes
from services.bus.link import Link
from services.config import Doors, State
from services.errors import Unavailable
from services.health import health
from services.health.health import Part
from services.health.standing import Lag
from services.reading.reads import Reads, Tally
from services.roster import SERVICES


class Service(Struct, frozen=True, kw_only=True):
    """One process; `working` is what it says of itself, None if it was not asked or does not answer."""

    name: str
    pid: int | None
    since: datetime | None
    working: bool | None


class Status(Struct, frozen=True, kw_only=True):
    """The whole system; `services` are those of the `up` on this machine."""

    data: str
    supervisor: int | None
    since: datetime | None
    http_url: str | None
    ready: bool
    parts: dict[str, Part]
    services: list[Service]
    head: int | None
    relay: Lag | None
    projector: Lag | None
    counts: dict[str, dict[str, int]]


async def status(data: Path, doors: Doors, state: State | None) -> Status:
    """Ask everyone; what does not answer shows as such."""
    link = Link(doors.nats_url, "coordctl-status")
    try:
        found, tallies = await asyncio.gather(
            _ask(doors, link), asyncio.to_thread(_tallies, doors.database_url)
        )
    finally:
        await link.close()
    return Status(
        data=str(data),
        supervisor=state.pid if state else None,
        since=state.started_at if state else None,
        http_url=doors.http_url,
        ready=found.ready,
        parts=found.parts,
        services=_services(state, found),
        head=found.standing.head if found.standing else None,
        relay=found.relay,
        projector=found.standing.projected if found.standing else None,
        counts=_counts(tallies),
    )


async def _ask(doors: Doors, link: Link) -> health.Health:
    with suppress(Unavailable):  # that is then what the check finds
        await link.connect(patient=False)
    return await health.check(doors.database_url, link)


def _tallies(database_url: str) -> list[Tally]:
    with Reads(database_url, pool_connections=1) as reads:
        try:
            return reads.tallies()
        except Unavailable:
            return []


def _services(state: State | None, found: health.Health) -> list[Service]:
    """Those of the supervisor first, then those that answer from elsewhere."""
    working = {_pid(report.instance): report.working for report in found.reports}
    pids = state.services if state else {}
    ours = [
        Service(name=name, pid=pid, since=_born(pid), working=working.get(pid)) for name, pid in pids.items()
    ]
    if state:
        missing = [name for name in SERVICES if name not in pids]
        ours += [Service(name=name, pid=None, since=None, working=None) for name in missing]
    others = [
        Service(name=f"{report.service} ({report.instance})", pid=None, since=None, working=report.working)
        for report in found.reports
        if _pid(report.instance) not in pids.values()
    ]
    return ours + others


def _pid(instance: str) -> int:
    return int(instance.rpartition(":")[2])


def _born(pid: int) -> datetime | None:
    born = processes.created(pid)
    return None if born is None else datetime.fromtimestamp(born, UTC)


def _counts(tallies: list[Tally]) -> dict[str, dict[str, int]]:
    """By kind and status, all projects together."""
    counts: dict[str, dict[str, int]] = {}
    for tally in tallies:
        kind = counts.setdefault(tally.kind, {})
        kind[tally.status] = kind.get(tally.status, 0) + tally.count
    return counts
