"""`coordctl prove`: try to break a system of its own, and check what is left with a checker of its own."""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.context import environ, json_option, program
from cli.exits import FAULT
from cli.output import print_json, print_table
from cli.prove_fuzz import fuzz

if TYPE_CHECKING:
    from services.prove.claims import Options

ALL, NONE = "all", "none"
MAX_AGENTS, MAX_TASKS, MAX_PROJECTS = 1_000, 10_000_000, 64
MAX_SEED = 2**31 - 1

T = TypeVar("T")


@click.group()
def prove() -> None:
    """Try to break coordctl, and see whether it holds.

    Each runs a system of its own in a temporary directory and touches no other.
    """


prove.add_command(fuzz)


@prove.command()
@click.option(
    "--agents", type=click.IntRange(2, MAX_AGENTS), default=64, show_default=True,
    help="How many agents there are, in all projects together.",
)  # fmt: skip
@click.option(
    "--tasks", type=click.IntRange(1, MAX_TASKS), default=100_000, show_default=True,
    help="How many tasks they are to complete.",
)  # fmt: skip
@click.option(
    "--faults", metavar="LIST", default=ALL, show_default=True,
    help="What happens meanwhile: all, none, or names with commas between them.",
)  # fmt: skip
@click.option(
    "--projects", type=click.IntRange(1, MAX_PROJECTS), default=4, show_default=True,
    help="Over how many projects the agents and tasks are spread.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), help="What chance is made of.  [default: another each time]"
)
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Leave the evidence in this folder.",
)  # fmt: skip
@json_option
def claims(
    agents: int, tasks: int, faults: str, projects: int, seed: int | None, keep: Path | None, as_json: bool
) -> None:
    """Let a fleet work while parts are killed, and check that nothing was lost or done twice.

    The log, the stream, the tables and all that the clients were told are gone through by a checker that
    shares no code with the services. The exit code is 1 if it finds a violation; the evidence is then kept.

    Faults: kill-writer, pause-writer, kill-relay, kill-projector, kill-nats, kill-postgres, kill-servers.

    For example: coordctl prove claims --agents 8 --tasks 5000 --seed 1
    """
    from services.prove.claims import Options
    from services.prove.script import Script

    if projects > agents:
        raise click.UsageError("--projects may be as many as --agents at most.")
    chosen = random.randrange(MAX_SEED) if seed is None else seed  # noqa: S311  # dice, no secret
    script = Script(seed=chosen, agents=agents, tasks=tasks, projects=projects)
    _claims(Options(script=script, faults=_faults(faults), keep=keep), as_json)


@prove.command()
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), default=1, show_default=True, help="What chance is made of."
)
@json_option
def selftest(seed: int, as_json: bool) -> None:
    """Plant every kind of violation into a sound history, and see that the checker finds each.

    The exit code is 1 if it misses one, or finds one where there is none.
    """
    import msgspec

    from services.prove.selftest import selftest as run_selftest

    planted = run_selftest(seed)
    whole = all(each.found for each in planted)
    if as_json:
        print_json({"ok": whole, "planted": [msgspec.to_builtins(each) for each in planted]})
    else:
        rows = [
            {
                "planted": each.kind,
                "check": each.check,
                "found": "yes" if each.found else "NO",
                "said": each.said,
            }
            for each in planted
        ]
        print_table(rows, ("planted", "check", "found", "said"))
    if not whole:
        sys.exit(FAULT)


@prove.command()
@click.option(
    "--minutes", type=click.FloatRange(0.5, 24 * 60), default=10.0, show_default=True,
    help="How long the pace is held.",
)  # fmt: skip
@click.option(
    "--load", "share", type=click.FloatRange(0.05, 1.0), default=0.5, show_default=True,
    help="Which part of full load is held.",
)  # fmt: skip
@json_option
def soak(minutes: float, share: float, as_json: bool) -> None:
    """Hold a part of full load for minutes, and see whether memory and lag stay flat.

    Full load is found first: what 1,000 agents at once can claim and complete. The exit code is 1 if anything
    grows that should not.

    For example: coordctl prove soak --minutes 2
    """
    from services.prove.flatness import judge
    from services.prove.report import soak_page
    from services.prove.soak import soak as run_soak

    verdict = judge(*_run(run_soak(minutes, share, program(), environ(), _note)))
    if as_json:
        print_json(verdict.document())
    else:
        click.echo(soak_page(verdict))
    if not verdict.ok:
        sys.exit(FAULT)


def _claims(options: "Options", as_json: bool) -> None:
    from services.prove.claims import prove_claims
    from services.prove.report import page

    result = _run(prove_claims(options, program(), environ(), _note))
    if as_json:
        print_json(result.document())
    else:
        click.echo(page(result))
    if not result.ok:
        sys.exit(FAULT)


def _faults(text: str) -> tuple[str, ...]:
    from services.prove.faults import FAULTS

    if text in (ALL, NONE):
        return tuple(FAULTS) if text == ALL else ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in FAULTS:
            raise click.UsageError(f"There is no fault {name}; there are {', '.join(FAULTS)}.")
    return names


def _run(main: Coroutine[Any, Any, T]) -> T:
    """What it returns; SIGTERM ends it as Ctrl-C does, so that nothing is left running."""
    import uvloop

    from services.prove.client import expect_losses

    expect_losses()
    return uvloop.run(_until_told(main))


async def _until_told(main: Coroutine[Any, Any, T]) -> T:
    work = asyncio.ensure_future(main)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await work
    raise click.Abort


def _note(what: str) -> None:
    click.echo(what, err=True)
