"""`coordctl sql`: any question, of any point of the project's past."""

from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.options import MAX_ROWS
from cli.output import print_rows, warn
from cli.points import resolved
from cli.session import new_codec, opened_log
from cli.types import DURATION

if TYPE_CHECKING:
    from services.reading.sql import Answer

LIMIT_ROWS = 1_000
MAX_TIMEOUT_S = 3_600.0


@click.command()
@click.argument("statement")
@click.option(
    "--at", "point", metavar="POINT", default="now", help="The point to ask about; now if not given."
)
@click.option(
    "--limit", type=click.IntRange(1, MAX_ROWS), default=LIMIT_ROWS, show_default=True,
    help="How many rows at most.",
)  # fmt: skip
@click.option(
    "--timeout", "timeout_s", type=DURATION, default="30s", show_default=True, help="How long it may take."
)
@pass_context
def sql(context: Context, statement: str, point: str, limit: int, timeout_s: float) -> None:
    """Run SQL over the read models as they were at a POINT. It reads, and can change nothing.

    STATEMENT is one SELECT, WITH, VALUES, TABLE or EXPLAIN. agents, queue, handoffs and every other read
    model stand for the rows of the project at that point. In JSON a column whose name comes twice has a
    number.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl sql --at "1h ago" "select status, count(*) from queue group by status"
    """
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise click.BadParameter(f"more than 0 s and at most {MAX_TIMEOUT_S:g} s.", param_hint="'--timeout'")
    answer = _ask(context, statement, point, limit, timeout_s)
    if answer.more:
        warn(f"There are more than these {limit} rows; --limit shows more.")
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    print_rows(context, rows, answer.columns, "No rows.")


def _ask(context: Context, statement: str, point: str, limit: int, timeout_s: float) -> "Answer":
    from services.projector.tables import connected
    from services.reading.sql import ask
    from services.reading.travel import Travel

    with opened_log(context) as log, connected(context.doors().database_url) as connection:
        position = resolved(log, context.project, point)
        travel = Travel(log, new_codec(), connection)
        return ask(
            connection, travel, context.project, position, statement, limit_rows=limit, timeout_s=timeout_s
        )
