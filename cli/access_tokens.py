"""`coordctl access token`: bearer tokens, for those who come over HTTP."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.output import print_json, print_rows
from cli.types import DURATION, NAME

if TYPE_CHECKING:
    from services.gateway.tokens import Token, Tokens

ROLES = ("worker", "planner", "operator", "observer")
LIFE_DAYS = 90
MAX_LIFE_DAYS = 3_650


@click.group()
def token() -> None:
    """Bearer tokens for HTTP: the API, its streams, and MCP over HTTP."""


@token.command("create")
@click.argument("actor", type=NAME)
@click.option("--role", type=click.Choice(ROLES), required=True, help="What may be done with it.")
@click.option("--all-projects", is_flag=True, help="For every project, not for --project alone.")
@click.option(
    "--expires", type=DURATION, default=LIFE_DAYS * 86_400.0, show_default="90d", metavar="DURATION",
    help=f"How long it is valid: 12h, 90d; at most {MAX_LIFE_DAYS} days.",
)  # fmt: skip
@pass_context
def create(context: Context, actor: str, role: Any, all_projects: bool, expires: float) -> None:
    """Make a token that acts as ACTOR, and print it: it is shown this once, and kept nowhere.

    For example: coordctl --project novel access token create writer-1 --role worker
    """
    if not 0 < expires <= MAX_LIFE_DAYS * 86_400:
        raise click.UsageError(f"--expires must be more than nothing and at most {MAX_LIFE_DAYS} days.")
    projects = ["*"] if all_projects else [context.project]
    made, text = _tokens(context).create(actor, role, projects, timedelta(seconds=expires))
    if context.as_json:
        print_json({"token": text, **_told(made)})
    else:
        click.echo(text)
        click.echo(f"Token {made.id} acts as {actor}; keep it, it is not shown again.", err=True)


@token.command("list")
@click.option("--all", "everyone", is_flag=True, help="Also those that were revoked or expired.")
@pass_context
def list_(context: Context, everyone: bool) -> None:
    """Tell which tokens there are, whom they act as, and when they were used last."""
    tokens = _tokens(context)
    used = tokens.last_used()
    found = tokens.all() if everyone else tokens.valid()
    rows = [{**_told(each), "last_used": used.get(each.id)} for each in found]
    columns = ("id", "actor", "role", "projects", "created_at", "expires_at", "last_used")
    print_rows(context, rows, columns, "There are no tokens.")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@pass_context
def revoke(context: Context, token_id: str) -> None:
    """Let a token open nothing any more, from now on."""
    revoked = _tokens(context).revoke(token_id)
    if context.as_json:
        print_json(_told(revoked))
    else:
        click.echo(f"Token {revoked.id} of {revoked.actor} opens nothing any more.")


def _tokens(context: Context) -> "Tokens":
    from services.gateway.tokens import Tokens

    return Tokens(context.config().data)


def _told(made: "Token") -> dict[str, Any]:
    """All of it but the hash."""
    fields = ("id", "actor", "role", "projects", "created_at", "expires_at", "revoked_at")
    return {name: getattr(made, name) for name in fields}
