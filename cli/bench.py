"""`coordctl bench`: the real services under load, each figure beside its target and its limit."""

import asyncio
from typing import TYPE_CHECKING

import click

from cli.context import environ, json_option, program

if TYPE_CHECKING:
    from services.bench.suite import Figure


@click.command()
@click.option("--quick", is_flag=True, help="Smaller sizes, in about a minute.")
@json_option
def bench(quick: bool, as_json: bool) -> None:
    """Measure a fresh system in a temporary directory, with load from this process."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from services.bench.report import document, machine, row

    figures = asyncio.run(_measure(quick))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(document(figures)), indent=2))
        return
    table = Table("measured", "value", "target", "limit", "", title="coordctl bench")
    for figure in figures:
        table.add_row(*row(figure))
    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)
    about = machine()
    console.print(
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}"
    )


async def _measure(quick: bool) -> "list[Figure]":
    from services.bench.suite import FULL, QUICK, measure
    from services.bench.system import running_system

    with running_system(program(), environ()) as system:
        return [figure async for figure in measure(system, QUICK if quick else FULL, _note)]


def _note(what: str) -> None:
    click.echo(f"measuring {what} …", err=True)
