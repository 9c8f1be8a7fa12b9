"""`coordctl migrate`: the log's own tables brought to the schema of this program."""

import sys
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.exits import FAULT
from cli.output import print_json

if TYPE_CHECKING:
    from services.log.migrations import Migration


@click.command()
@click.option("--check", is_flag=True, help="Only look; the exit code is 1 if something is missing.")
@pass_context
def migrate(context: Context, check: bool) -> None:
    """Bring the log's tables to the schema of this coordctl.

    Services do so themselves when they start, so this is for those who want it done, or seen, before. Each
    missing migration is applied in a transaction of its own, under a lock. Data that are newer than this
    coordctl are refused and left alone.
    """
    from services.alone import database_of
    from services.backup.database import opened
    from services.log.migrations import MIGRATIONS, missing
    from services.log.migrations import migrate as apply

    with database_of(context.config()) as url, opened(url) as connection:
        found = missing(connection, MIGRATIONS) if check else apply(connection, MIGRATIONS)
    _tell(context, found, check=check)
    if check and found:
        sys.exit(FAULT)


def _tell(context: Context, found: "list[Migration]", *, check: bool) -> None:
    from services.log.migrations import MIGRATIONS

    named = [{"number": each.number, "name": each.name} for each in found]
    schema = MIGRATIONS[-1].number
    if context.as_json:
        print_json({"schema": schema, "missing" if check else "applied": named})
        return
    for each in found:
        click.echo(f"{'missing' if check else 'applied'}: {each.number} {each.name}")
    if not found:
        click.echo(f"The tables have schema {schema}, as this coordctl needs it.")
