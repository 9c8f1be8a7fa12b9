"""`coordctl checkpoint`: where looking back begins; a cache that may be given up at any time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.options import DEFAULT_ROWS, MAX_ROWS
from cli.output import Item, moment, print_json, print_rows, warn
from cli.points import resolved
from cli.session import opened_log

if TYPE_CHECKING:
    from services.projector.checkpoints import Checkpoint, Kept

_MEGABYTE = 1_000_000


@click.group()
def checkpoint() -> None:
    """See, cut and give up checkpoints, which make looking back fast. They change no answer."""


@checkpoint.command("list")
@click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=DEFAULT_ROWS, show_default=True,
    help="How many at most, the latest.",
)  # fmt: skip
@pass_context
def list_(context: Context, limit: int) -> None:
    """List the checkpoints, the latest last, and say what they take.

    A checkpoint is a cut through the read models of all projects. What it takes are the rows as they were
    there, each kept when it is changed for the first time afterwards.
    """
    from projections.catalog import PROJECTIONS
    from services.projector.checkpoints import checkpoints, kept
    from services.projector.tables import connected

    with connected(context.doors().database_url) as connection:
        found, size = checkpoints(connection), kept(connection, PROJECTIONS)
    rows = [*map(_row, found[-limit:])]
    if context.as_json:
        totals = {"count": len(found), "rows": size.rows, "bytes": size.bytes, "log_bytes": size.log_bytes}
        print_json({**totals, "checkpoints": rows})
        return
    if len(found) > limit:
        warn(f"There are more; these are the last {limit}. --limit shows more.")
    print_rows(context, rows, ("position", "at", "cut_at"), "There is no checkpoint.")
    click.echo(_summary(found, size))


@checkpoint.command()
@pass_context
def cut(context: Context) -> None:
    """Cut a checkpoint now, where the read models stand. The projector does so by itself as it goes on."""
    from projections.catalog import PROJECTIONS
    from services.projector.checkpoints import cut as cut_now
    from services.projector.tables import connected

    with connected(context.doors().database_url) as connection:
        made = cut_now(connection, PROJECTIONS)
    if context.as_json:
        print_json(_row(made))
    else:
        at = f" of {moment(made.at)}" if made.at else ""
        click.echo(f"A checkpoint stands at position {made.position}, right after the event{at}.")


@checkpoint.command()
@click.option("--keep", type=click.IntRange(0), metavar="N", help="All but the last N.")
@click.option("--before", "point", metavar="POINT", help="Those before this point.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@pass_context
def prune(context: Context, keep: int | None, point: str | None, everything: bool) -> None:
    """Give up checkpoints, and the rows that were kept for them alone.

    Looking back to where none is left takes longer and finds the same. What forks and restores stand on
    stays.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl checkpoint prune --before "30 days ago"
    """
    from projections.catalog import PROJECTIONS
    from services.projector.checkpoints import checkpoints
    from services.projector.checkpoints import prune as give_up
    from services.projector.tables import connected

    if (keep is not None) + (point is not None) + everything != 1:
        raise click.UsageError("Say which: --keep N, --before POINT or --all.")
    end = _end(context, point) if point is not None else None
    with connected(context.doors().database_url) as connection:
        found = [each.position for each in checkpoints(connection)]
        if keep is not None:
            chosen = found[: max(len(found) - keep, 0)]
        else:
            chosen = [each for each in found if end is None or each < end]
        rows = give_up(connection, PROJECTIONS, chosen)
    if context.as_json:
        print_json({"checkpoints": len(chosen), "rows": rows, "left": len(found) - len(chosen)})
    else:
        click.echo(f"{_count(len(chosen), 'checkpoint')} given up, and {_count(rows, 'row')} with them.")


def _end(context: Context, point: str) -> int:
    with opened_log(context) as log:
        return resolved(log, context.project, point)


def _row(checkpoint: "Checkpoint") -> Item:
    return {"position": checkpoint.position, "at": checkpoint.at, "cut_at": checkpoint.cut_at}


def _summary(found: "Sequence[Checkpoint]", size: "Kept") -> str:
    return (
        f"{_count(len(found), 'checkpoint')}, {size.rows} rows, {size.bytes / _MEGABYTE:.1f} MB kept,"
        f" {size.share:.1%} of the log"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
