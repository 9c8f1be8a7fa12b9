"""`coordctl docs`: documentation that was looked up, kept until it is stale."""

import sys
from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, given, paged, searched
from cli.output import print_answer, print_json, warn
from cli.session import ask, read
from cli.views import list_view


@click.group()
def docs() -> None:
    """Keep what documentation says, look there first, and see what is stale."""


@docs.command()
@click.argument("library")
@click.option("--content", required=True, help="What it says; - reads it from stdin.")
@click.option("--release", help="Of which release it is.")
@click.option("--topic", help="What it is about, if not the whole.")
@click.option("--source", help="Where it was found.")
@click.option("--days", type=float, help="How long it can be relied on; 7 if not given.")
@acting
@pass_context
def cache(context: Context, /, actor: str, content: str, **fields: Any) -> None:
    """Keep what is documented of a LIBRARY.

    For example: coordctl docs cache msgspec --release 0.22 --content "Structs take gc=False"
    """
    text = sys.stdin.read() if content == "-" else content
    answer = ask(context, actor, "docs.cache", given(content=text, **fields))
    print_answer(context, answer, f"Kept until {answer.result['expires_at']}.")


@docs.command()
@click.argument("library")
@click.option("--release", help="Of this release.")
@click.option("--topic", help="About this.")
@pass_context
def lookup(context: Context, library: str, release: str | None, topic: str | None) -> None:
    """Print what is kept of a LIBRARY, before you look it up elsewhere; exit code 4 if there is nothing.

    What is stale is printed with a warning; with --json, `stale` says so.
    """
    from datetime import UTC, datetime

    from domain.errors import NotFound

    rows = read(context, "documentation", **given(library=(library,), release=release, topic=topic))
    if not rows:
        raise NotFound(kind="documentation", id=library)
    now = datetime.now(UTC)
    if context.as_json:
        print_json([row | {"stale": row["expires_at"] <= now} for row in rows])
        return
    for row in rows:
        if row["expires_at"] <= now:
            warn(f"{row['library']} {row['release']} {row['topic']} is stale since {row['expires_at']}.")
        click.echo(row["content"])


@docs.command()
@paged
@pass_context
def stale(context: Context, /, **page: Any) -> None:
    """List what can no longer be relied on, the longest expired first."""
    list_view(context, "stale_documentation", "Nothing is stale.", **page)


@docs.command("list")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List all that is kept."""
    list_view(context, "documentation", "Nothing such is kept.", **params)
