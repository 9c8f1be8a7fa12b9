"""`coordctl status` and `doctor`: how the system is, and what to do about what is wrong."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.context import Context, json_option, pass_context
from services.roster import SERVICES, service_of

if TYPE_CHECKING:
    from services.health.doctor import Check
    from services.health.standing import Lag
    from services.health.status import Status

NOT_READY = 5
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@json_option
@pass_context
def status(context: Context, as_json: bool) -> None:
    """Show the services, where they stand, and how much there is of what.

    The exit code is 0 if everything works and 5 if something does not.
    """
    from services.config import State
    from services.health.status import status as ask

    config = context.config()
    found = asyncio.run(ask(config.data, context.doors(), State.load(config.data)))
    _show(found) if as_json else click.echo("\n".join(_describe(found)))
    sys.exit(0 if found.ready else NOT_READY)


@click.command()
@json_option
@pass_context
def doctor(context: Context, as_json: bool) -> None:
    """Examine everything and say what to do about what is wrong.

    The exit code is 0 unless something has failed.
    """
    from services.health.doctor import examine

    checks = asyncio.run(examine(context.config()))
    if as_json:
        _show(checks)
    else:
        for check in checks:
            click.echo(_verdict(check))
    sys.exit(1 if any(check.verdict == "failed" for check in checks) else 0)


def _show(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)))


def _describe(found: "Status") -> Iterator[str]:
    yield click.style("ready", fg="green") if found.ready else click.style("not ready", fg="red")
    yield f"data      {found.data}"
    if found.supervisor and found.since:
        yield f"up        {_ago(found.since)} (process {found.supervisor})"
    yield f"http      {found.http_url}"
    yield ""
    for service in found.services:
        since = f"up {_ago(service.since)}" if service.since else ""
        silent = "does not answer" if service_of(service.name) in SERVICES else ""
        says = {True: "works", False: "stands by", None: silent}[service.working]
        yield f"{service.name:<12}{service.pid or '':>8}  {since:<16}{says}".rstrip()
    yield ""
    for name, part in found.parts.items():
        if not part.ok:
            yield click.style(f"{name}: {part.why}", fg="red")
    yield f"log       position {'unknown' if found.head is None else found.head}"
    yield f"relay     {_lag(found.relay)}"
    yield f"projector {_lag(found.projector)}"
    for kind, counts in found.counts.items():
        yield f"{kind:<10}" + ", ".join(f"{count} {status}" for status, count in counts.items())


def _lag(lag: "Lag | None") -> str:
    if lag is None:
        return "unknown"
    if not lag.events:
        return f"position {lag.position}, up to date"
    return f"position {lag.position}, {lag.events} positions and {lag.seconds:.1f} s behind"


def _ago(since: datetime) -> str:
    """How long that is, in the two units that matter."""
    seconds = max(int((datetime.now(UTC) - since).total_seconds()), 0)
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _verdict(check: "Check") -> str:
    line = f"{click.style(f'{check.verdict:<8}', fg=COLOURS[check.verdict])} {check.name:<18} {check.found}"
    return f"{line}\n{'':>9}→ {check.remedy}" if check.remedy else line
