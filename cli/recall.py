"""`coordctl recall`: searching what is known, and the index for it, which can be made anew at any time."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.output import print_json, print_rows
from cli.recalling import SOURCES, STATUSES
from cli.session import opened_log
from cli.types import KEY, NAME, PAST_MOMENT


@click.group()
def recall() -> None:
    """Search what is known; see how far the search index is, and make it anew."""


@recall.command()
@click.argument("text", required=False)
@click.option("--source", type=click.Choice(SOURCES), multiple=True, help="Only these; repeatable.")
@click.option("--by", type=click.Choice(["meaning", "text"]), help="Only this way; both if not given.")
@click.option("--kind", type=KEY, multiple=True, help="Only memories of this kind; repeatable.")
@click.option("--tag", type=KEY, multiple=True, help="Only memories with this tag; repeatable.")
@click.option("--from", "agent", type=NAME, help="Only what this agent recorded.")
@click.option("--for", "reader", type=NAME, help="Also what is private to this agent, or shared with it.")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; repeatable.")
@click.option("--since", type=PAST_MOMENT, help="Only what is not older: 2h, or an ISO time.")
@click.option("--until", type=PAST_MOMENT, help="Only what is older: 2h, or an ISO time.")
@click.option("--as-of", metavar="POINT", help="What was known at this point.")
@click.option("--least", type=click.FloatRange(0, 1), help="How alike it must be, from 0 to 1.")
@click.option("--limit", type=click.IntRange(1, 100), help="How many at most; 10 if not given.")
@pass_context
def search(context: Context, /, **params: Any) -> None:
    """Find memories, failures, decisions, concluded spikes and patterns, by what they mean or say.

    For example: coordctl recall search "who tells the second act" --source decision --source spike
    """
    from cli.recalling import print_hits
    from cli.recalling import recall as find

    print_hits(context, find(context, **params), "Nothing like it is known.")


@recall.command()
@pass_context
def status(context: Context) -> None:
    """Show the models whose vectors there are, and how far each is behind the log."""
    from services.projector.tables import connected
    from services.recall import tables
    from services.recall.sources import CODE

    with opened_log(context) as log, connected(context.doors().database_url) as connection:
        tables.create(connection)
        head = log.head()
        texts = tables.progress(connection, tables.TEXTS, CODE) or 0
        rows = [{"what": "texts", "position": texts, "behind": max(0, head - texts)}]
        rows += [
            {"what": each.model, "position": each.position, "behind": max(0, head - each.position)}
            for each in tables.models(connection)
        ]
    print_rows(context, rows, ("what", "position", "behind"), "")


@recall.command()
@click.option("--texts", is_flag=True, help="The texts too, from the first event of the log.")
@pass_context
def rebuild(context: Context, texts: bool) -> None:
    """Have every vector made anew by the running recall service, with the embedder that it has.

    Until that is done, less is found by meaning; with --texts, by words as well.
    """
    from services.projector.tables import connected
    from services.recall import tables

    with connected(context.doors().database_url) as connection:
        tables.create(connection)
        dropped = [each.model for each in tables.models(connection)]
        if texts:
            tables.clear_texts(connection)
        for each in tables.models(connection):
            tables.drop_vectors(connection, each)
    if context.as_json:
        print_json({"dropped": dropped, "texts": texts})
    else:
        click.echo("The index is being made anew; `coordctl recall status` tells how far it is.")
