"""`coordctl setting`: what can be set for the system, for a project and for a user."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from cli.context import Context, pass_context
from cli.options import NEGATIVE_NUMBERS, acting, given, paged
from cli.output import cell, print_answer, print_json
from cli.session import ask, read
from cli.types import JSON_OR_TEXT, KEY, NAME
from cli.views import list_view

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

SCOPES = ("system", "project", "user")


def scoped(command: Decorated) -> Decorated:
    """`--scope` and `--user`."""
    scope = click.option(
        "--scope", type=click.Choice(SCOPES), help="Whose setting it is: the project's, if nothing is said."
    )
    user = click.option("--user", type=NAME, help="Which user's; whoever asks, with --scope user alone.")
    return scope(user(command))


@click.group()
def setting() -> None:
    """Read and change settings, see how they came about."""


@setting.command()
@click.argument("key", type=KEY)
@scoped
@acting
@pass_context
def get(context: Context, key: str, scope: str | None, user: str | None, actor: str) -> None:
    """Print the value that holds: the one that was set, or the default."""
    from domain.errors import NotFound

    scope = _scope(scope, user)
    whose = {"scope": "user", "user": user or actor} if scope == "user" else {"scope": "project"}
    found = read(_where(context, scope), "settings", entity=key, **whose)
    if not found:
        raise NotFound(kind="setting", id=key)
    if context.as_json:
        print_json(found[0])
    else:
        click.echo(cell(found[0]["value"]))


@setting.command("set", context_settings=NEGATIVE_NUMBERS)
@click.argument("key", type=KEY)
@click.argument("value")
@scoped
@acting
@pass_context
def set_(context: Context, key: str, value: str, scope: str | None, user: str | None, actor: str) -> None:
    """Give a setting a value: JSON, or else text; from a file with @FILE, from stdin with -.

    For example: coordctl setting set max_agents 40
    """
    content = JSON_OR_TEXT.convert(value, None, click.get_current_context())
    scope = _scope(scope, user)
    fields = {"key": key, "value": content, **given(scope=scope, user=user)}
    answer = ask(_where(context, scope), actor, "setting.set", fields)
    print_answer(context, answer, f"{key} is {cell(content)}.", f"{key} was {cell(content)} already.")


@setting.command()
@click.argument("key", type=KEY)
@scoped
@acting
@pass_context
def unset(context: Context, key: str, scope: str | None, user: str | None, actor: str) -> None:
    """Take a setting's value away, so that its default holds again."""
    scope = _scope(scope, user)
    fields = given(key=key, scope=scope, user=user)
    answer = ask(_where(context, scope), actor, "setting.unset", fields)
    print_answer(context, answer, f"{key} has its default again.", f"{key} was not set.")


@setting.command("list")
@scoped
@paged
@pass_context
def list_(context: Context, /, scope: str | None, user: str | None, **page: Any) -> None:
    """List what holds in the project, with --user also for that user, with --scope system by default."""
    where = _where(context, scope)
    params = given(scope=None if scope == "system" else scope, user=user)
    list_view(where, "settings", "There are no such settings.", **params, **page)


@setting.command()
@click.argument("key", type=KEY, required=False)
@scoped
@paged
@pass_context
def history(context: Context, /, key: str | None, scope: str | None, user: str | None, **page: Any) -> None:
    """List the changes of one setting or of all, the latest first, with the old and the new value."""
    params = given(entity=key, scope=scope, user=user)
    list_view(_where(context, scope), "setting_history", "Nothing was ever set.", **params, **page)


def _scope(scope: str | None, user: str | None) -> str | None:
    """Who names a user means a user's setting."""
    return "user" if scope is None and user is not None else scope


def _where(context: Context, scope: str | None) -> Context:
    """The system's settings stand in a project of their own."""
    from domain.messages import SYSTEM_PROJECT

    return replace(context, project=SYSTEM_PROJECT) if scope == "system" else context
