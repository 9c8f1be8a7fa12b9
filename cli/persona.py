"""`coordctl persona`: the roles that agents can have."""

from typing import Any

import click

from cli.context import Context, pass_context
from cli.options import acting, as_of, given, paged, searched
from cli.output import print_answer, print_item
from cli.session import ask, read
from cli.types import KEY, NAME
from cli.views import list_view


@click.group()
def persona() -> None:
    """See the personas there are, define more."""


@persona.command("list")
@searched
@paged
@pass_context
def list_(context: Context, /, **params: Any) -> None:
    """List the personas: those built in and the project's own."""
    list_view(context, "personas", "No persona is like that.", **params)


@persona.command()
@click.argument("name", type=NAME)
@click.argument("definition")
@click.option(
    "--capability", "capabilities", type=KEY, multiple=True, help="What those of it can do; repeatable."
)
@acting
@pass_context
def define(context: Context, /, name: str, actor: str, **fields: Any) -> None:
    """Add a persona to the project, or change one of the project's own.

    For example: coordctl persona define illustrator "Draws what the text describes."
    """
    answer = ask(context, actor, "persona.define", given(persona=name, **fields))
    print_answer(context, answer, f"Persona {name} is defined.")


@persona.command()
@click.argument("name", type=NAME)
@as_of
@pass_context
def show(context: Context, name: str, as_of: str | None) -> None:
    """Show one persona."""
    from domain.errors import UnknownPersona

    found = read(context, "personas", as_of, entity=name)
    if not found:
        raise UnknownPersona(persona=name)
    print_item(context, found[0], name)
