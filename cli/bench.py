"""`coordctl bench`: the real services under load, each figure beside its target and its limit."""

from typing import TYPE_CHECKING

import click

from cli.context import environ, json_option, program
from cli.output import print_json, print_table

if TYPE_CHECKING:
    from services.bench.suite import Figure


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes, in about a minute.")
@json_option
def bench(quick: bool, as_json: bool) -> None:
    """Measure a fresh system in a temporary directory, with load from this process."""
    import uvloop

    from services.bench.report import COLUMNS, document, machine, row

    figures = uvloop.run(_measure(quick))
    if as_json:
        print_json(document(figures))
        return
    print_table([row(figure) for figure in figures], COLUMNS)
    about = machine()
    click.echo(f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}")


async def _measure(quick: bool) -> "list[Figure]":
    from services.bench.suite import FULL, QUICK, measure
    from services.bench.system import running_system

    with running_system(program(), environ()) as system:
        return [figure async for figure in measure(system, QUICK if quick else FULL, _note)]


def _note(what: str) -> None:
    click.echo(f"measuring {what} …", err=True)
