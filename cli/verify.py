"""`coordctl verify`: log, stream and read models against each other."""

import asyncio
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.exits import FAULT
from cli.options import named_project
from cli.output import clean, print_json
from cli.progress import bar, bars
from cli.session import new_codec, opened_log
from cli.types import NAME

if TYPE_CHECKING:
    from services.audit.audit import Check
    from services.log.event_log import EventLog


@click.command()
@click.option(
    "--project", "only", type=NAME, metavar="NAME",
    help="Of the log, check this project alone. [default: all; stream and read models are checked whole]",
)  # fmt: skip
@pass_context
def verify(context: Context, only: str | None) -> None:
    """Check log, stream and read models against each other, and name the first difference of each.

    Log: the events of each project are whole, in order and readable; their chain hash is printed, which an
    import of them elsewhere has too. Stream: JetStream holds the events of the log, each once and in order.
    Read models: the tables are what a replay of the log gives, row for row.

    The exit code is 1 if anything differs.
    """
    import msgspec

    checks = []
    for check in _checks(context, named_project(only)):
        checks.append(check)
        if not context.as_json:
            _show(check)
    whole = all(check.ok for check in checks)
    if context.as_json:
        print_json({"ok": whole, "checks": [msgspec.to_builtins(check) for check in checks]})
    if not whole:
        sys.exit(FAULT)


def _checks(context: Context, only: str | None) -> "Iterator[Check]":
    """One after the other, as each is done."""
    from projections.catalog import PROJECTIONS
    from services.audit.audit import audit_read_models, audit_stream

    doors = context.doors()
    with opened_log(context) as log:
        for project in [only] if only else log.projects():
            yield _of_log(context, log, project)
        yield asyncio.run(audit_stream(log, doors.nats_url))
        yield audit_read_models(log, new_codec(), doors.database_url, PROJECTIONS)


def _of_log(context: Context, log: "EventLog", project: str) -> "Check":
    from services.audit.audit import audit_log

    with bars(shown=not context.as_json) as progress:
        total = log.project_head(project)[0]
        return audit_log(log, new_codec(), project, bar(progress, project, total))


def _show(check: "Check") -> None:
    verdict = click.style("ok      ", fg="green") if check.ok else click.style("differs ", fg="red")
    subject = f"{check.name} of {check.project}" if check.project else check.name
    click.echo(f"{verdict}{subject}: {clean(check.found)}")
