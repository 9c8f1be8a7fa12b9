"""`coordctl bookmark`: names for points in the project's past."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import NEGATIVE_NUMBERS, acting, given, paged, searched
from cli.output import print_answer
from cli.points import resolved
from cli.session import ask, opened_log
from cli.types import ParamType
from cli.views import list_view


class BookmarkName(ParamType):
    """What a bookmark may be called; anything else would read as another kind of point."""

    name = "bookmark"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from domain.bookmarks import is_bookmark

        if not is_bookmark(value):
            self.fail(
                f"{value!r} cannot be a bookmark's name: it must begin with a letter, hold only letters,"
                " digits, _, - and dots, and be no word of time (now, today).",
                param,
                ctx,
            )
        return str(value)


BOOKMARK = BookmarkName()


@click.group()
def bookmark() -> None:
    """Name points of the project's past, and use the names wherever a POINT is asked for."""


@bookmark.command("set", context_settings=NEGATIVE_NUMBERS)
@click.argument("name", type=BOOKMARK)
@click.argument("point", default="now")
@click.option("--note", help="What is worth knowing about this point.")
@acting
@pass_context
def set_(context: Context, name: str, point: str, note: str | None, actor: str) -> None:
    """Give a POINT a NAME, or move the NAME there; without a POINT it stands where the project is now.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    another bookmark, or 'now'.

    For example: coordctl bookmark set before-merge --note "all drafts are in"
    """
    with opened_log(context) as log:
        sequence = log.sequence_at(context.project, resolved(log, context.project, point))
    fields = given(bookmark=name, sequence=sequence, note=note)
    answer = ask(context, actor, "bookmark.set", fields)
    at = f"#{sequence}"
    print_answer(context, answer, f"{name} stands at {at}.", f"{name} stood at {at} already.")


@bookmark.command("list")
@click.option("--all", "every", is_flag=True, help="Those that were removed as well.")
@searched
@paged
@pass_context
def list_(context: Context, /, every: bool, **params: Any) -> None:
    """List the bookmarks in the order of their points."""
    status = () if every else ("placed",)
    list_view(context, "bookmarks", "There is no such bookmark.", status=status, **params)


@bookmark.command()
@click.argument("name", type=BOOKMARK)
@acting
@pass_context
def remove(context: Context, name: str, actor: str) -> None:
    """Take a bookmark away. The point it stood at stays, as every point does."""
    answer = ask(context, actor, "bookmark.remove", {"bookmark": name})
    print_answer(context, answer, f"Bookmark {name} is removed.")
