"""Whether everything works: each part asked in its own way, with a sentence about the parts that do not."""

import asyncio

import psycopg
from msgspec import Struct
from nats.errors import Error as NatsError

from domain.errors import CoordError
from services.bus.link import Link
from services.doors.reports import Report, gather
from services.health import standing
from services.health.standing import Lag, Standing
from services.writer.shards import SHARDS

MAX_LAG_S = 10.0
TIMEOUT_S = 6.0
"""For a server that hangs: longer than connecting to it may take, which says better what is wrong."""


class Part(Struct, frozen=True, omit_defaults=True):
    """One part; `why` says what is wrong, if it is not `ok`."""

    ok: bool
    why: str = ""
    lag: Lag | None = None


class Health(Struct, frozen=True, kw_only=True):
    """Every part by name, and what was learned on the way."""

    parts: dict[str, Part]
    standing: Standing | None
    relay: Lag | None
    reports: list[Report]

    @property
    def ready(self) -> bool:
        return all(part.ok for part in self.parts.values())


async def check(database_url: str, link: Link) -> Health:
    """Ask every part, side by side."""
    (database, stood), (nats, position, reports) = await asyncio.gather(
        _ask_database(database_url), _ask_nats(link)
    )
    relay, published = await _ask_relay(database_url, stood, position, reports)
    return Health(
        parts={
            "postgres": database,
            "nats": nats,
            "writer": _writer(reports, nats),
            "relay": relay,
            "projector": _projector(stood, reports),
        },
        standing=stood,
        relay=published,
        reports=reports,
    )


async def _ask_database(database_url: str) -> tuple[Part, Standing | None]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            stood = await asyncio.to_thread(standing.look, database_url)
    except TimeoutError:
        return Part(ok=False, why=f"no answer within {TIMEOUT_S:g} s"), None
    except psycopg.Error as error:
        return Part(ok=False, why=_in_a_line(error)), None
    if stood.full:
        return Part(ok=False, why=f"its disk has no room, so commands are refused: {stood.full}"), stood
    return Part(ok=True), stood


async def _ask_nats(link: Link) -> tuple[Part, int | None, list[Report]]:
    """NATS itself, the end of the stream, and what the services say."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reports = await gather(link.client)
            position = await standing.relayed(link.client)
    except TimeoutError:
        return Part(ok=False, why="it does not answer in time, or its JetStream does not"), None, []
    except (CoordError, NatsError, OSError) as error:
        return Part(ok=False, why=_in_a_line(error)), None, []
    return Part(ok=True), position, reports


async def _ask_relay(
    database_url: str, stood: Standing | None, position: int | None, reports: list[Report]
) -> tuple[Part, Lag | None]:
    if stood is None or position is None:
        missing = [name for name, told in (("postgres", stood), ("nats", position)) if told is None]
        return Part(ok=False, why=f"cannot be told without {' and '.join(missing)}"), None
    try:
        lag = await asyncio.to_thread(standing.lag_of, database_url, position)
    except psycopg.Error as error:
        return Part(ok=False, why=_in_a_line(error)), None
    return _troubled("relay", reports, lag) or _within_bounds("the relay", lag), lag


def _projector(stood: Standing | None, reports: list[Report]) -> Part:
    if stood is None:
        return Part(ok=False, why="cannot be told without postgres")
    if stood.projected is None:
        return Part(ok=False, why="no projection has been built yet")
    troubled = _troubled("projector", reports, stood.projected)
    return troubled or _within_bounds("the projector", stood.projected)


def _troubled(service: str, reports: list[Report], lag: Lag) -> Part | None:
    """What a service says is wrong, if none of its instances works without trouble and it is behind."""
    ours = [report for report in reports if report.service == service]
    trouble = next((report.trouble for report in ours if report.trouble), "")
    if not trouble or lag.events == 0 or any(each.working and not each.trouble for each in ours):
        return None
    return Part(ok=False, why=f"{lag.events} positions behind the log: {trouble}", lag=lag)


def _writer(reports: list[Report], nats: Part) -> Part:
    if not nats.ok:
        return Part(ok=False, why="cannot be told without nats")
    if not any(report.working for report in reports if report.service == "writer"):
        return Part(ok=False, why="no writer answers that it decides commands")
    owned = {shard for report in reports for shard in report.shards}
    orphaned = sorted(set(range(SHARDS)) - owned)
    if orphaned:
        shards = ", ".join(map(str, orphaned))
        return Part(ok=False, why=f"no writer decides for {len(orphaned)} of {SHARDS} shards: {shards}")
    return Part(ok=True)


def _within_bounds(who: str, lag: Lag) -> Part:
    if lag.seconds > MAX_LAG_S:
        why = f"{who} is {lag.events} positions and {lag.seconds:.0f} s behind the log"
        return Part(ok=False, why=why, lag=lag)
    return Part(ok=True, lag=lag)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
