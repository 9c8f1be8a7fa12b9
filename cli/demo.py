"""`coordctl demo`: a fleet of agents at work on a system of its own, and the proof of what it did."""

import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.context import environ, json_option, program

if TYPE_CHECKING:
    from cli.demo_stage import Stage
    from services.demo.performance import Outcome


@click.command()
@click.option("--fast", is_flag=True, help="Work faster than an audience could follow.")
@click.option("--keep", is_flag=True, help="Keep the data, to look into them afterwards.")
@json_option
def demo(fast: bool, keep: bool, as_json: bool) -> None:
    """Watch twelve agents write a novel, see it proven, and look back into the middle of it.

    Everything runs in a temporary directory on servers of its own. Exit code 0: every task was done once, by
    one agent at a time, after all it depends on; no claim was lost; and a replay of the log gives the read
    models row for row.
    """
    import msgspec

    from cli.demo_stage import new_stage, tell

    data = Path(tempfile.mkdtemp(prefix="coordctl-demo-"))
    data.chmod(0o755)  # as root, the database runs as another account and must get in
    stage = new_stage(silent=as_json)
    try:
        outcome = asyncio.run(_perform(data, fast, stage))
    except asyncio.CancelledError as error:
        raise click.Abort from error
    except BaseException:
        click.echo("\n".join(stage.said), err=True)
        raise
    finally:
        if not keep:
            shutil.rmtree(data)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_document(outcome)), indent=2))
    else:
        tell(stage.console, outcome)
    if keep:
        click.echo(_how_to_look(data, outcome), err=as_json)
    sys.exit(0 if outcome.holds else 1)


async def _perform(data: Path, fast: bool, stage: "Stage") -> "Outcome":
    from services.config import Config
    from services.demo import agent, performance

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    stage.note("starting PostgreSQL, NATS and every service …")
    own = {name: value for name, value in environ().items() if not name.startswith("COORD_")}
    async with performance.running(Config(data=data), program(), own, stage.service) as state:
        board = performance.new_board(stage.event)
        with stage.open(board):
            outcome = await performance.perform(state, board, agent.FAST if fast else agent.Pace())
    stage.note("every process has ended")
    return outcome


def _document(outcome: "Outcome") -> dict[str, object]:
    import msgspec

    facts: dict[str, object] = msgspec.to_builtins(outcome)
    return {"holds": outcome.holds, **facts}


def _how_to_look(data: Path, outcome: "Outcome") -> str:
    from services.demo.novel import PROJECT

    return "\n".join((
        f"The data stay in {data}. Look into them:",
        f"  export COORD_DATA={data} COORD_PROJECT={PROJECT}",
        "  coordctl up --detach",
        "  coordctl events --entity draft.ch02",
        f"  coordctl replay --until {outcome.middle.position} --view agents",
        "  coordctl down",
    ))  # fmt: skip
