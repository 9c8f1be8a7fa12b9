"""`coordctl bench`: the real services under load, each figure beside its target and its limit."""

import asyncio
from typing import TYPE_CHECKING

import click

from cli.context import environ, json_option, program
from cli.output import print_json, print_table

if TYPE_CHECKING:
    from services.bench.suite import Figure

COMMANDS, REPLAY, RECALL, LANDING = "commands", "replay", "recall", "landing"
MIN_EVENTS, MAX_EVENTS = 3_000, 20_000_000


@click.command()
@click.argument("what", type=click.Choice([COMMANDS, REPLAY, RECALL, LANDING]), default=COMMANDS)
@click.option("--quick", is_flag=True, help="Smaller sizes, in a minute or two.")
@click.option(
    "--events", metavar="N", type=click.IntRange(MIN_EVENTS, MAX_EVENTS),
    help="How long the history is to be.  [default: 1000000; with --quick 100000]",
)  # fmt: skip
@json_option
def bench(what: str, quick: bool, events: int | None, as_json: bool) -> None:
    """Measure a fresh system in a temporary directory, with load from this process.

    With `replay`, a long history is made instead, and how fast its past can be seen is measured beside plain
    replay from its beginning. With `recall`, how well and how fast what was learned is found; with
    `landing`, how soon a session that starts knows what there is to know.

    For example: coordctl bench replay --quick
    """
    import uvloop

    from services.bench.report import COLUMNS, REPLAY_COLUMNS, document, machine, row

    if events and (quick or what != REPLAY):
        raise click.UsageError("--events goes with `bench replay`, and without --quick.")
    measured = {
        REPLAY: lambda: _replay(events, quick),
        RECALL: lambda: _recall(quick),
        LANDING: lambda: _landing(quick),
    }
    figures = uvloop.run(measured.get(what, lambda: _commands(quick))())
    if as_json:
        print_json(document(figures))
        return
    shown = [row(figure) for figure in figures if not figure.detail]
    print_table(shown, REPLAY_COLUMNS if what == REPLAY else COLUMNS)
    about = machine()
    click.echo(f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}")


async def _commands(quick: bool) -> "list[Figure]":
    from services.bench.starting import starting
    from services.bench.suite import FULL, QUICK, measure
    from services.bench.system import running_system
    from services.bench.takeover import taking_over

    sizes = QUICK if quick else FULL
    _note("starts")
    figures = [*starting(program(), environ())]
    with running_system(program(), environ()) as system:
        figures += [figure async for figure in measure(system, sizes, _note)]
    with running_system(program(), environ()) as system:
        _note(f"a writer that takes over {sizes.live_tasks:,} live tasks")
        figures.append(await taking_over(system, sizes.live_tasks))
    return figures


async def _replay(events: int | None, quick: bool) -> "list[Figure]":
    from services.bench.replaying import FULL_EVENTS, QUICK_EVENTS, measure
    from services.bench.system import running_system

    size = events or (QUICK_EVENTS if quick else FULL_EVENTS)
    with running_system(program(), environ()) as system:
        return [figure async for figure in measure(system, size, _note)]


async def _recall(quick: bool) -> "list[Figure]":
    from services.bench.recalling import FULL, QUICK, RECORDS, measure
    from services.bench.system import running_system

    if not await asyncio.to_thread(RECORDS.exists):
        raise click.ClickException(f"The queries to judge by are not installed; run it where {RECORDS} is.")
    with running_system(program(), environ()) as system:
        return [figure async for figure in measure(system, QUICK if quick else FULL, _note)]


async def _landing(quick: bool) -> "list[Figure]":
    from services.bench.landing import FULL, QUICK, measure
    from services.bench.system import running_system

    with running_system(program(), environ()) as system:
        return [figure async for figure in measure(system, QUICK if quick else FULL, _note)]


def _note(what: str) -> None:
    click.echo(f"measuring {what} …", err=True)
